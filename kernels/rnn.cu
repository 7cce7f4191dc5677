// Elman RNN: h' = tanh(gates_x + gates_h), or relu. Formulas: PyTorch, torch.nn.RNN. The twin of src/cell/rnn.rs.
#include "recurrent.cuh"

struct Tanh {
    static __device__ __forceinline__ float value(float a) { return math::tanh(a); }
    static __device__ __forceinline__ float gradient(float h, float dh) { return dh * (1.0f - h * h); }
};

// max(x, 0); NaN stays, and the derivative at 0 is 0, as in PyTorch.
struct Relu {
    static __device__ __forceinline__ float value(float a) { return a < 0.0f ? 0.0f : a; }
    static __device__ __forceinline__ float gradient(float h, float dh) { return 0.0f < h ? dh : 0.0f; }
};

template <class Activation>
struct Rnn {
    static constexpr int GATES = 1, SAVED = 0;
    static constexpr bool HAS_C = false, RESET = false;

    static __device__ __forceinline__ State forward(const float (&gates_x)[MOST], const float (&gates_h)[MOST],
                                                    State before, float (&)[MOST]) {
        return {Activation::value(gates_x[0] + gates_h[0]), before.c};
    }

    static __device__ __forceinline__ Gradients backward(const float (&)[MOST], State, State after, State dafter) {
        const float d = Activation::gradient(after.h, dafter.h);
        return {{d, d, d, d}, {d, d, d, d}, {0.0f, dafter.c}};
    }
};

#ifdef RELU
using Elman = Rnn<Relu>;
#else
using Elman = Rnn<Tanh>;
#endif

#if defined(FORWARD)
// budget rnn_forward registers weights+152 shared 8192
extern "C" __global__ void __launch_bounds__(THREADS, 1) rnn_forward(Forward args) { forward<Elman>(args); }
#elif defined(BACKWARD)
// budget rnn_backward registers weights+96 shared 8192 newest +8
extern "C" __global__ void __launch_bounds__(THREADS, 1) rnn_backward(Backward args) { backward<Elman>(args); }
#elif defined(WHOLE)
// budget rnn_train registers 255 shared 16384
extern "C" __global__ void __launch_bounds__(BLOCK, 1) rnn_train(Whole args) { train<Elman>(args); }
#else
// budget rnn_step registers 24 shared 0
extern "C" __global__ void __launch_bounds__(THREADS) rnn_step(Step args) { step<Elman>(args); }
// budget rnn_step_backward registers 24 shared 0
extern "C" __global__ void __launch_bounds__(THREADS) rnn_step_backward(StepBackward args) { step_backward<Elman>(args); }
#endif
