// The part of a product that a warp of many_blocks.cuh has, by tensor cores: --dtype bf16, f16 or tf32, and eight or more
// sequences. Weights stay in registers as fragments; see prelude.cuh for which lane holds what.
//
// Rows of the product are (value, unit): VALUES x UNITS of them, in tiles of 16; columns are sequences, in tiles of 8; k is
// the vector. With 8 warps and H 1024 a warp has 8 steps of 16 for LSTM in bf16, two tiles of rows: 64 registers of weights
// and 16 products for each eight sequences, some 32 cycles of the tensor cores where plain FMA takes 1024 x 2.
#pragma once

template <int VALUES, int LENGTH>
struct TensorPart {
#ifdef TF32
    static constexpr int WORD = 1; // values of k in a word
#else
    static constexpr int WORD = 2;
#endif
    static constexpr int STEP = 8 * WORD; // values of k in a product
    static constexpr int SPAN = (LENGTH + 16 * WARPS - 1) / (16 * WARPS) * 16;
    static constexpr int STEPS = SPAN / STEP;
    static constexpr int TILES = (VALUES * UNITS + 15) / 16, COLUMNS = ROWS / 8;
    static_assert(ROWS % 8 == 0, "sequences come in eights");
    // 4 further words: eight rows of four neighbouring words then lie in 32 banks
    using Row = unsigned[SPAN / WORD + 4];

    unsigned weights[TILES][STEPS][4];

    static __device__ __forceinline__ unsigned word(float low, float high) {
#if defined(BF16)
        return to_bf16(low) | (unsigned)to_bf16(high) << 16;
#elif defined(F16)
        return to_f16_pair(low, high);
#else
        return __float_as_uint(to_tf32(low));
#endif
    }

    static __device__ __forceinline__ void product(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if defined(BF16)
        mma_bf16(d, a, b);
#elif defined(F16)
        mma_f16(d, a, b);
#else
        mma_tf32(d, a, b);
#endif
    }

    // `weight(unit, value, n)` is the weight of value n of the vector.
    template <class Weight>
    __device__ __forceinline__ void load(Weight weight) {
        const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
        for (int tile = 0; tile < TILES; ++tile)
#pragma unroll
            for (int step = 0; step < STEPS; ++step)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    // eight rows belong to one value, and the compiler knows whether they exist
                    const int eight = tile * 16 + i % 2 * 8, n = step * STEP + (t + i / 2 * 4) * WORD;
                    const int value = eight / UNITS, unit = eight % UNITS + g;
                    if (value < VALUES)
                        weights[tile][step][i] = word(weight(unit, value, n), WORD == 2 ? weight(unit, value, n + 1) : 0.0f);
                    else
                        weights[tile][step][i] = 0;
                }
    }

    static __device__ __forceinline__ void put(Row& row, int i, float4 x) {
        if (WORD == 2) {
            row[i / 2] = word(x.x, x.y);
            row[i / 2 + 1] = word(x.z, x.w);
        } else {
            row[i] = word(x.x, 0.0f), row[i + 1] = word(x.y, 0.0f);
            row[i + 2] = word(x.z, 0.0f), row[i + 3] = word(x.w, 0.0f);
        }
    }

    // Writes the sums of this warp to its part of the block's sums.
    __device__ __forceinline__ void multiply(const Row* vector, float (&sums)[VALUES][ROWS * UNITS]) const {
        const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
        float d[TILES][COLUMNS][4] = {};
#pragma unroll
        for (int step = 0; step < STEPS; ++step)
#pragma unroll
            for (int column = 0; column < COLUMNS; ++column) {
                const unsigned* from = vector[column * 8 + g] + step * 8 + t;
                const unsigned b[2] = {from[0], from[4]};
#pragma unroll
                for (int tile = 0; tile < TILES; ++tile)
                    product(d[tile][column], weights[tile][step], b);
            }
#pragma unroll
        for (int tile = 0; tile < TILES; ++tile)
#pragma unroll
            for (int column = 0; column < COLUMNS; ++column)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const int eight = tile * 16 + i / 2 * 8, sequence = column * 8 + 2 * t + i % 2;
                    if (eight / UNITS < VALUES)
                        sums[eight / UNITS][sequence * UNITS + eight % UNITS + g] = d[tile][column][i];
                }
    }
};
