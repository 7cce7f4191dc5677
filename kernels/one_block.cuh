// The frame of one block: a block runs ROWS sequences of the batch from the first step to the last.
//
// All weights are on chip, h and dgates pass through shared memory in two buffers used in turn, so there is one barrier a
// step. After it come, one waiting for the other: read the vector (29 cycles), 4 CHUNKS x VALUES FMAs, log2(LANES)
// shuffles (24 each), the activations (two of about 50 in a row for an LSTM), the write. At H 64 that is some 400 cycles
// or 0.24 us on an H100 and of these the FMAs are 64; at H 32 some 300. What is read from and written to global memory,
// G·Hp floats in and (SAVED + 2)·Hp out, is off that path: read two steps ahead, written after the barrier.
#pragma once
#include "passes.cuh"

// Which unit and sequence a thread of a block is left with after a product.
struct Own {
    int unit, share, twin, row;
    bool exists; // a block's last sequences may not: they follow the last one that does, and are never stored

    __device__ __forceinline__ explicit Own(int batch) {
        unit = threadIdx.x / LANES;
        share = threadIdx.x % LANES / TWINS;
        twin = threadIdx.x % TWINS;
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

    const size_t state_step = (size_t)args.batch * HP;
    const size_t state_at = (size_t)own.row * HP + own.unit;
    const float* gates_x = args.gates_x + (size_t)own.row * G * HP + packed<G>(own.unit, 0);
    float* h = args.h + state_at;
    float* c = Cell::HAS_C ? args.c + state_at : nullptr;
    float* saved = args.saved ? args.saved + (size_t)own.row * Cell::SAVED * HP + packed<Cell::SAVED>(own.unit, 0) : nullptr;

    State state = {*h, Cell::HAS_C ? *c : 0.0f};
    for (int i = threadIdx.x; i < 2 * ROWS * Weights::VECTOR; i += THREADS)
        (&vector[0][0][0])[i] = 0.0f; // a vector's end beyond Hp is read, and must be a number
    block_barrier();
    if (own.twin == 0)
        vector[0][own.share][own.unit] = factor(state.h);

    // gates_x is read two steps ahead, into two sets in turn: to move one set into the other would wait for the reading
    float even[MOST] = {}, odd[MOST] = {};
    read_gates<G>(gates_x, even);
    if (args.steps > 1)
        read_gates<G>(gates_x + G * state_step, odd);
    block_barrier();

    const auto step = [&](int t, const float (*now)[Weights::VECTOR], float (*next)[Weights::VECTOR], float (&x)[MOST]) {
        float sums[1][G], gates_h[MOST] = {}, leaves[MOST];
        weights.sums(now, sums);
#pragma unroll
        for (int gate = 0; gate < G; ++gate)
            gates_h[gate] = sums[0][gate] + bias[gate];
        state = Cell::forward(x, gates_h, state, leaves);
        if (own.twin == 0)
            next[own.share][own.unit] = factor(state.h);
        block_barrier();

        // what nobody waits for
        if (t + 2 < args.steps)
            read_gates<G>(gates_x + 2 * G * state_step, x);
        gates_x += G * state_step;
        h += state_step;
        if (own.exists && own.twin == 0)
            *h = state.h;
        if (Cell::HAS_C) {
            c += state_step;
            if (own.exists && own.twin == 1 % TWINS)
                *c = state.c;
        }
        if (Cell::SAVED > 0 && saved) {
            if (own.exists)
                write_gates<Cell::SAVED>(saved, leaves, own.twin, TWINS);
            saved += Cell::SAVED * state_step;
        }
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

    const size_t state_step = (size_t)args.batch * HP;
    const size_t state_at = (size_t)own.row * HP + own.unit;
    const size_t last = args.steps - 1;
    const size_t gates_at = (size_t)own.row * G * HP + packed<G>(own.unit, 0);
    const float* h = args.h + state_at;
    const float* c = Cell::HAS_C ? args.c + state_at : nullptr;
    const float* dabove = args.dabove + state_at;
    const float* saved = args.saved + (Cell::SAVED > 0 ? (size_t)own.row * Cell::SAVED * HP + packed<Cell::SAVED>(own.unit, 0) : 0);
    float* dgates_x = args.dgates_x + last * G * state_step + gates_at;
    float* dgates_h = Cell::RESET ? args.dgates_h + last * G * state_step + gates_at : nullptr;

    struct Left { // what forward left of one step, and the gradient from above
        float saved[MOST];
        State before;
        float dabove;
    };
    const auto read = [&](Left& found, int t) {
        read_gates<Cell::SAVED>(saved + (size_t)t * Cell::SAVED * state_step, found.saved);
        found.before.h = left(h + (size_t)t * state_step);
        found.before.c = Cell::HAS_C ? left(c + (size_t)t * state_step) : 0.0f;
        found.dabove = left(dabove + (size_t)t * state_step);
    };

    State after = {h[args.steps * state_step], Cell::HAS_C ? c[args.steps * state_step] : 0.0f};
    State dafter = {args.dh[state_at], Cell::HAS_C ? args.dc[state_at] : 0.0f};
    for (int i = threadIdx.x; i < 2 * ROWS * Weights::VECTOR; i += THREADS)
        (&vector[0][0][0])[i] = 0.0f;
    Left even = {}, odd = {}; // read two steps ahead, as in forward
    read(even, args.steps - 1);
    if (args.steps > 1)
        read(odd, args.steps - 2);
    block_barrier();

    const auto step = [&](int t, float (*now)[Weights::VECTOR], Left& found) {
        dafter.h += found.dabove;
        const Gradients d = Cell::backward(found.saved, found.before, after, dafter);
        float factors[MOST];
#pragma unroll
        for (int gate = 0; gate < G; ++gate)
            factors[gate] = factor(d.dgates_h[gate]);
        write_gates<G>(&now[own.share][packed<G>(own.unit, 0)], factors, own.twin, TWINS);
        block_barrier();

        after = found.before;
        if (t >= 2)
            read(found, t - 2);
        if (own.exists) {
            write_gates<G>(dgates_x, d.dgates_x, own.twin, TWINS);
            if (Cell::RESET)
                write_gates<G>(dgates_h, d.dgates_h, own.twin, TWINS);
        }
        // after the last of all they would point in front of the arrays
        if (t > 0) {
            dgates_x -= G * state_step;
            if (Cell::RESET)
                dgates_h -= G * state_step;
        }
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
        args.dh[state_at] = dafter.h;
        if (Cell::HAS_C)
            args.dc[state_at] = dafter.c;
    }
}
