// Minimal gated unit, reset after the product: n = tanh(x_n + f h_n), h' = (1 - f) h + f n, gates f n: a GRU whose one gate
// both resets and updates. Formulas: Zhou, Wu, Zhang and Zhou, "Minimal gated unit for recurrent neural networks", 2016,
// with f behind the product as the r of torch.nn.GRU is. The twin of src/cell/mgu.rs.
#include "recurrent.cuh"

struct Mgu {
    static constexpr int GATES = 2, SAVED = 3;
    static constexpr bool HAS_C = false, RESET = true;

    static __device__ __forceinline__ State forward(const float (&gates_x)[MOST], const float (&gates_h)[MOST],
                                                    State before, float (&saved)[MOST]) {
        const float f = math::sigmoid(gates_x[0] + gates_h[0]);
        const float h_n = gates_h[1];
        const float n = math::tanh(__fmaf_rn(f, h_n, gates_x[1]));
        const float h = __fmaf_rn(1.0f - f, before.h - n, n);
        saved[0] = f, saved[1] = n, saved[2] = h_n;
        return {h, before.c};
    }

    static __device__ __forceinline__ Gradients backward(const float (&saved)[MOST], State before, State,
                                                         State dafter) {
        const float f = saved[0], n = saved[1], h_n = saved[2];
        const float dh = dafter.h;
        const float dn = dh * f * (1.0f - n * n);
        const float df = __fmaf_rn(dn, h_n, dh * (n - before.h)) * f * (1.0f - f);
        return {{df, dn, dn, dn}, {df, dn * f, dn, dn}, {dh * (1.0f - f), dafter.c}};
    }
};

#if defined(FORWARD)
// budget mgu_forward registers weights+116 shared 16384 newest +36
extern "C" __global__ void __launch_bounds__(THREADS, 1) mgu_forward(Forward args) { forward<Mgu>(args); }
#elif defined(BACKWARD)
// budget mgu_backward registers weights+96 shared 8192 newest +28
extern "C" __global__ void __launch_bounds__(THREADS, 1) mgu_backward(Backward args) { backward<Mgu>(args); }
#elif defined(WHOLE)
// budget mgu_train registers 255 shared 8192
extern "C" __global__ void __launch_bounds__(BLOCK, 1) mgu_train(Whole args) { train<Mgu>(args); }
#else
// budget mgu_step registers 24 shared 0
extern "C" __global__ void __launch_bounds__(THREADS) mgu_step(Step args) { step<Mgu>(args); }
// budget mgu_step_backward registers 24 shared 0
extern "C" __global__ void __launch_bounds__(THREADS) mgu_step_backward(StepBackward args) { step_backward<Mgu>(args); }
#endif
