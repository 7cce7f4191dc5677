struct WrongArgs {
    float* out;
};

#if defined(WRONG_HEADER)
inline int broken() { return missing; }
#endif
