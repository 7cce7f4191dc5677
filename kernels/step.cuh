// The step-wise frame: the cell of one time step, after gemm.cu has made gates_h, and backward before it makes dh. A
// thread works on one unit of one sequence. It moves (2 G + SAVED + 2)·Hp floats a sequence and computes next to nothing:
// a launch (1.3 us in a graph) costs more than that up to some 10^5 units. LSTM 4096, one sequence: 14 numbers a unit,
// 229 KB, 0.04 us of an H100's L2 and 1.1 us of an Orin's memory; the weights of the product before it, 268 MB, take 80 us
// and 1.3 ms.
#pragma once
#include "passes.cuh"

// One time step. Pointers are at its first sequence.
struct Step {
    const float* gates_x; // [B][G·Hp]
    const float* gates_h; // the same, bias included
    const float* h;       // [B][Hp], before the step
    const float* c;
    float* h_after;
    float* c_after;
    float* saved;         // [B][tile][SAVED][lane], or null
    int batch;
};

// One time step, backward.
struct StepBackward {
    const float* saved;
    const float* h;       // before the step
    const float* c;
    const float* h_after;
    const float* c_after;
    const float* dabove;  // [B][Hp]
    float* dgates_x;      // [B][G·Hp]
    float* dgates_h;
    float* dh;            // [B][Hp]: gradient at the state after the step, then at the one before it, without the part
    float* dc;            // that runs through gates_h
    int batch;
};

template <class Cell>
__device__ __forceinline__ void step(const Step& args) {
    const size_t at = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (at >= (size_t)args.batch * HP)
        return;
    const size_t row = at / HP;
    const int unit = at % HP;
    float gates_x[MOST] = {}, gates_h[MOST] = {}, leaves[MOST];
    read_gates<Cell::GATES>(args.gates_x + row * Cell::GATES * HP + packed<Cell::GATES>(unit, 0), gates_x);
    read_gates<Cell::GATES>(args.gates_h + row * Cell::GATES * HP + packed<Cell::GATES>(unit, 0), gates_h);
    State state = Cell::forward(gates_x, gates_h, {args.h[at], Cell::HAS_C ? args.c[at] : 0.0f}, leaves);
    state = is_unit(unit) ? state : State{0.0f, 0.0f};
    args.h_after[at] = state.h;
    if (Cell::HAS_C)
        args.c_after[at] = state.c;
    if (Cell::SAVED > 0 && args.saved)
        write_gates<Cell::SAVED>(args.saved + row * Cell::SAVED * HP + packed<Cell::SAVED>(unit, 0), leaves, 0, 1);
}

template <class Cell>
__device__ __forceinline__ void step_backward(const StepBackward& args) {
    const size_t at = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (at >= (size_t)args.batch * HP)
        return;
    const size_t row = at / HP;
    const int unit = at % HP;
    float saved[MOST] = {};
    if (Cell::SAVED > 0)
        read_gates<Cell::SAVED>(args.saved + row * Cell::SAVED * HP + packed<Cell::SAVED>(unit, 0), saved);
    const State before = {args.h[at], Cell::HAS_C ? args.c[at] : 0.0f};
    const State after = {args.h_after[at], Cell::HAS_C ? args.c_after[at] : 0.0f};
    const State dafter = {args.dh[at] + args.dabove[at], Cell::HAS_C ? args.dc[at] : 0.0f};
    Gradients d = Cell::backward(saved, before, after, dafter);
    d = is_unit(unit) ? d : Gradients{};
    const size_t gates_at = row * Cell::GATES * HP + packed<Cell::GATES>(unit, 0);
    write_gates<Cell::GATES>(args.dgates_x + gates_at, d.dgates_x, 0, 1);
    if (Cell::RESET)
        write_gates<Cell::GATES>(args.dgates_h + gates_at, d.dgates_h, 0, 1);
    args.dh[at] = d.dstate.h;
    if (Cell::HAS_C)
        args.dc[at] = d.dstate.c;
}
