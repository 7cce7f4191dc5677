// GRU, reset after the product: n = tanh(x_n + r h_n), h' = n + z (h - n), gates r z n. Formulas: PyTorch,
// torch.nn.GRU. The twin of src/cell/gru.rs.
#include "recurrent.cuh"

struct Gru {
    static constexpr int GATES = 3, SAVED = 4;
    static constexpr bool HAS_C = false, RESET = true;

    static __device__ __forceinline__ State forward(const float (&gates_x)[MOST], const float (&gates_h)[MOST],
                                                    State before, float (&saved)[MOST]) {
        const float r = math::sigmoid(gates_x[0] + gates_h[0]);
        const float z = math::sigmoid(gates_x[1] + gates_h[1]);
        const float h_n = gates_h[2];
        const float n = math::tanh(__fmaf_rn(r, h_n, gates_x[2]));
        const float h = __fmaf_rn(z, before.h - n, n);
        saved[0] = r, saved[1] = z, saved[2] = n, saved[3] = h_n;
        return {h, before.c};
    }

    static __device__ __forceinline__ Gradients backward(const float (&saved)[MOST], State before, State,
                                                         State dafter) {
        const float r = saved[0], z = saved[1], n = saved[2], h_n = saved[3];
        const float dh = dafter.h;
        const float dn = dh * (1.0f - z) * (1.0f - n * n);
        const float dz = dh * (before.h - n) * z * (1.0f - z);
        const float dr = dn * h_n * r * (1.0f - r);
        return {{dr, dz, dn, dn}, {dr, dz, dn * r, dn}, {dh * z, dafter.c}};
    }
};

#if defined(FORWARD)
// budget gru_forward registers weights+144 shared 24576
extern "C" __global__ void __launch_bounds__(THREADS, 1) gru_forward(Forward args) { forward<Gru>(args); }
#elif defined(BACKWARD)
// budget gru_backward registers weights+148 shared 8192 newest +12
extern "C" __global__ void __launch_bounds__(THREADS, 1) gru_backward(Backward args) { backward<Gru>(args); }
#elif defined(WHOLE)
// budget gru_train registers 255 shared 16384
extern "C" __global__ void __launch_bounds__(BLOCK, 1) gru_train(Whole args) { train<Gru>(args); }
#else
// budget gru_step registers 28 shared 0
extern "C" __global__ void __launch_bounds__(THREADS) gru_step(Step args) { step<Gru>(args); }
// budget gru_step_backward registers 28 shared 0
extern "C" __global__ void __launch_bounds__(THREADS) gru_step_backward(StepBackward args) { step_backward<Gru>(args); }
#endif
