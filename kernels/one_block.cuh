// The frame of one block: a block runs ROWS sequences of the batch from the first step to the last.
//
// All weights are on chip, h and dgates pass through shared memory in two buffers used in turn, so there is one barrier a
// step. After it come, one waiting for the other: read the vector (29 cycles), 4 CHUNKS x VALUES FMAs, log2(LANES)
// shuffles (24 each), the activations (two of about 50 in a row for an LSTM), the write.
//
// A step of one sequence moves G·Hp floats in and (SAVED + 2)·Hp out forward, (SAVED + 3)·Hp in and G·Hp out backward, off
// that path: read two steps ahead, written after the barrier. LSTM 64 moves 2.5 KiB: 8 GB/s a multiprocessor. It computes
// G·H·H FMAs, 128 a cycle: the floor. What the disassembly of the time loop shows (NVRTC 12.9, sm_90; sm_87 within 3 %),
// for one step, and cycles by a model of an in-order machine with one block on a multiprocessor (no measurement):
//
//                  instructions  FFMA  LDS.128  SHFL  MUFU   cycles of the floor, of the model   us: H100 1.7, Orin 1.3 GHz
//   rnn_forward 32           79    37        8     0     2           32        223                 0.13       0.17
//   rnn_backward 32          72    33        2     3     0           32        222                 0.13       0.17
//   lstm_forward 32         142    43        2     8    10           32        358                 0.21       0.28
//   lstm_backward 32        120    40        2     5     2           32        318                 0.19       0.24
//   lstm_forward 64         175    75        4     8    10          128        544                 0.32       0.42
//   lstm_backward 64        153    72        4     5     2          128        474                 0.28       0.36
//   gru_forward 64          135    55        4     6     6           96        439                 0.26       0.34
//   gru_backward 64         123    49        3     5     0           96        403                 0.24       0.31
//
// (RNN 32 is one warp, which does 32 FMAs a cycle.) No spills, no local memory; `.ci/kernels` holds that.
#pragma once
#include "passes.cuh"

// Which unit and sequence a thread of a block is left with after a product.
struct Own {
    int unit, share, twin, row;
    bool exists; // a block's last sequences may not exist: they repeat the last one that does, and are never stored

    __device__ __forceinline__ explicit Own(int batch) {
        const unsigned thread = opaque(threadIdx.x); // a program of complete training steps comes here again and again
        unit = thread / LANES;
        share = thread % LANES / TWINS;
        twin = thread % TWINS;
        row = blockIdx.x * ROWS + share;
        exists = row < batch;
        row = exists ? row : batch - 1;
    }
};

template <class Cell>
__device__ __forceinline__ void forward_one_block(const Forward& args) {
    constexpr int G = Cell::GATES;
    using Weights = Tile<G, HP, FORWARD_OUT>;
    static_assert(PER == 1 || BLOCKS > 1, "a thread carries the state of one sequence");
    SHARED(float, vector, [2][ROWS][Weights::VECTOR]);
    DYNAMIC_SHARED(float4, spilled);
    const Own own(args.batch);

    Weights weights;
    weights.load(spilled, [&](int out, int gate, int k) {
        return packed_weight<G>(args.weight_hh, packed<G>(own.unit ^ out, gate), k);
    });
    float bias[MOST] = {};
    if (args.bias_hh)
        read_gates<G>(args.bias_hh + packed<G>(own.unit, 0), bias);

    // one number says where a thread is in all arrays: a pointer into each would take two registers each
    const auto gates_x = [&](int row) { return args.gates_x + (size_t)row * (G * HP) + packed<G>(own.unit, 0); };
    const auto saved = [&](int row) { return args.saved + (size_t)row * (Cell::SAVED * HP) + packed<Cell::SAVED>(own.unit, 0); };
    const auto state_at = [&](int row) { return (size_t)row * HP + own.unit; };
    int row = own.row; // of the current step, and of the state before it

    State state = {args.h[state_at(row)], Cell::HAS_C ? args.c[state_at(row)] : 0.0f};
    for (int i = threadIdx.x; i < 2 * ROWS * Weights::VECTOR; i += THREADS)
        (&vector[0][0][0])[i] = 0.0f; // a vector's end beyond Hp is read, and must be a number
    block_barrier();
    if (own.twin == 0)
        vector[0][own.share][own.unit] = factor(state.h);

    // gates_x is read two steps ahead, into two sets in turn: to move one set into the other would wait for the reading
    float even[MOST] = {}, odd[MOST] = {};
    read_gates<G>(gates_x(row), even);
    if (args.steps > 1)
        read_gates<G>(gates_x(row + args.batch), odd);
    block_barrier();

    const auto step = [&](int t, const float (*now)[Weights::VECTOR], float (*next)[Weights::VECTOR], float (&x)[MOST]) {
        float sums[1][G], gates_h[MOST] = {}, leaves[MOST];
        weights.sums(now, sums);
#pragma unroll
        for (int gate = 0; gate < G; ++gate)
            gates_h[gate] = sums[0][gate] + bias[gate];
        state = Cell::forward(x, gates_h, state, leaves);
        state = is_unit(own.unit) ? state : State{0.0f, 0.0f};
        if (own.twin == 0)
            next[own.share][own.unit] = factor(state.h);
        block_barrier();

        // what nobody waits for
        if (t + 2 < args.steps)
            read_gates<G>(gates_x(row + 2 * args.batch), x);
        if (Cell::SAVED > 0 && args.saved && own.exists)
            write_gates<Cell::SAVED>(saved(row), leaves, own.twin, TWINS);
        row += args.batch;
        if (own.exists && own.twin == 0)
            args.h[state_at(row)] = state.h;
        if (Cell::HAS_C && own.exists && own.twin == 1 % TWINS)
            args.c[state_at(row)] = state.c;
    };
    int t = 0;
#pragma unroll 1
    for (; t + 2 <= args.steps; t += 2) {
        step(t, vector[0], vector[1], even);
        step(t + 1, vector[1], vector[0], odd);
    }
    if (t < args.steps)
        step(t, vector[0], vector[1], even);
}

template <class Cell>
__device__ __forceinline__ void backward_one_block(const Backward& args) {
    constexpr int G = Cell::GATES;
    using Weights = Tile<1, G * HP, BACKWARD_OUT>;
    static_assert(PER == 1 || BLOCKS > 1, "a thread carries the gradient of one sequence");
    SHARED(float, vector, [2][ROWS][Weights::VECTOR]);
    DYNAMIC_SHARED(float4, spilled);
    const Own own(args.batch);

    Weights weights;
    weights.load(spilled, [&](int out, int, int n) { return packed_weight<G>(args.weight_hh, n, own.unit ^ out); });

    // of row = t·B + b: as in forward, one number says where a thread is
    const auto gates_at = [&](int row) { return (size_t)row * (G * HP) + packed<G>(own.unit, 0); };
    const auto saved_at = [&](int row) { return (size_t)row * (Cell::SAVED * HP) + packed<Cell::SAVED>(own.unit, 0); };
    const auto state_at = [&](int row) { return (size_t)row * HP + own.unit; };
    int row = (args.steps - 1) * args.batch + own.row; // of the current step, and of the state before it

    struct Left { // what forward left of one step, and the gradient from above
        float saved[MOST];
        State before;
        float dabove;
    };
    const auto read = [&](Left& found, int row) {
        if (Cell::SAVED > 0)
            read_gates<Cell::SAVED>(args.saved + saved_at(row), found.saved);
        found.before.h = left(args.h + state_at(row));
        found.before.c = Cell::HAS_C ? left(args.c + state_at(row)) : 0.0f;
        found.dabove = left(args.dabove + state_at(row));
    };

    State after = {args.h[state_at(row + args.batch)], Cell::HAS_C ? args.c[state_at(row + args.batch)] : 0.0f};
    State dafter = {args.dh[state_at(own.row)], Cell::HAS_C ? args.dc[state_at(own.row)] : 0.0f};
    for (int i = threadIdx.x; i < 2 * ROWS * Weights::VECTOR; i += THREADS)
        (&vector[0][0][0])[i] = 0.0f;
    Left even = {}, odd = {}; // read two steps ahead, as in forward
    read(even, row);
    if (args.steps > 1)
        read(odd, row - args.batch);
    block_barrier();

    const auto step = [&](int t, float (*now)[Weights::VECTOR], Left& found) {
        dafter.h += found.dabove;
        Gradients d = Cell::backward(found.saved, found.before, after, dafter);
        d = is_unit(own.unit) ? d : Gradients{};
        float factors[MOST];
#pragma unroll
        for (int gate = 0; gate < G; ++gate)
            factors[gate] = factor(d.dgates_h[gate]);
        write_gates<G>(&now[own.share][packed<G>(own.unit, 0)], factors, own.twin, TWINS);
        block_barrier();

        after = found.before;
        if (t >= 2)
            read(found, row - 2 * args.batch);
        if (own.exists) {
            write_gates<G>(args.dgates_x + gates_at(row), d.dgates_x, own.twin, TWINS);
            if (Cell::RESET)
                write_gates<G>(args.dgates_h + gates_at(row), d.dgates_h, own.twin, TWINS);
        }
        row -= args.batch;
        float sums[1][1];
        weights.sums(now, sums);
        dafter = {sums[0][0] + d.dstate.h, d.dstate.c};
    };
    int t = args.steps - 1;
#pragma unroll 1
    for (; t >= 1; t -= 2) {
        step(t, vector[0], even);
        step(t - 1, vector[1], odd);
    }
    if (t == 0)
        step(0, vector[0], even);
    if (own.exists && own.twin == 0) {
        args.dh[state_at(own.row)] = dafter.h;
        if (Cell::HAS_C)
            args.dc[state_at(own.row)] = dafter.c;
    }
}
