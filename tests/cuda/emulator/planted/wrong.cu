// Does not compile, and the line of the mistake is known to the test.
#include "wrong.cuh"

extern "C" __global__ void wrong(WrongArgs args) {
    args.out[0] = no_such_word;
}
