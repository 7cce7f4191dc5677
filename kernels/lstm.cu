// LSTM: c' = f c + i g, h' = o tanh(c'), gates i f g o. Formulas: PyTorch, torch.nn.LSTM. The twin of src/cell/lstm.rs.
#include "recurrent.cuh"

struct Lstm {
    static constexpr int GATES = 4, SAVED = 4;
    static constexpr bool HAS_C = true, RESET = false;

    static __device__ __forceinline__ State forward(const float (&gates_x)[MOST], const float (&gates_h)[MOST],
                                                    State before, float (&saved)[MOST]) {
        const float i = math::sigmoid(gates_x[0] + gates_h[0]);
        const float f = math::sigmoid(gates_x[1] + gates_h[1]);
        const float g = math::tanh(gates_x[2] + gates_h[2]);
        const float o = math::sigmoid(gates_x[3] + gates_h[3]);
        const float c = __fmaf_rn(f, before.c, i * g);
        const float h = o * math::tanh(c);
        saved[0] = i, saved[1] = f, saved[2] = g, saved[3] = o;
        return {h, c};
    }

    static __device__ __forceinline__ Gradients backward(const float (&saved)[MOST], State before, State after,
                                                         State dafter) {
        const float i = saved[0], f = saved[1], g = saved[2], o = saved[3];
        const float tanh_c = math::tanh(after.c);
        const float dc = __fmaf_rn(dafter.h * o, 1.0f - tanh_c * tanh_c, dafter.c);
        const float di = dc * g * i * (1.0f - i);
        const float df = dc * before.c * f * (1.0f - f);
        const float dg = dc * i * (1.0f - g * g);
        const float do_ = dafter.h * tanh_c * o * (1.0f - o);
        return {{di, df, dg, do_}, {di, df, dg, do_}, {0.0f, dc * f}};
    }
};

#if defined(FORWARD)
// budget lstm_forward registers weights+136 shared 32768 newest +20
extern "C" __global__ void __launch_bounds__(THREADS, 1) lstm_forward(Forward args) { forward<Lstm>(args); }
#elif defined(BACKWARD)
// budget lstm_backward registers weights+112 shared 8192 newest +4
extern "C" __global__ void __launch_bounds__(THREADS, 1) lstm_backward(Backward args) { backward<Lstm>(args); }
#elif defined(WHOLE)
// budget lstm_train registers 255 shared 16384
extern "C" __global__ void __launch_bounds__(BLOCK, 1) lstm_train(Whole args) { train<Lstm>(args); }
#else
// budget lstm_step registers 28 shared 0
extern "C" __global__ void __launch_bounds__(THREADS) lstm_step(Step args) { step<Lstm>(args); }
// budget lstm_step_backward registers 28 shared 0
extern "C" __global__ void __launch_bounds__(THREADS) lstm_step_backward(StepBackward args) { step_backward<Lstm>(args); }
#endif
