// Matrix products over the packed layouts of the arena, compiled once for each product dtype:
//   -D PRODUCT=F32    plain fused multiply-add
//   -D PRODUCT=TF32, F16 or BF16    operands rounded on the way into shared memory, sums in f32; tensor cores where the
//                     GPU has them (f16 from sm_75, all from sm_80), else the same rounding and plain multiply-add
// Everything in global memory is f32. Each element is summed in one fixed order: the same bits run after run.
//
// A packed weight of columns k and packed gates n, in panels of P = 16·G: W(k, n) lies at (n/P · K + k) · P + n % P.
//
// Three tiles, of which the host takes one by shape alone, never by device: a product has the same bits on every GPU of one
// architecture. (A recurrent layer does not: src/cuda/plan/fit.rs spreads it over the multiprocessors that there are.)
//   small   16 × 32 of the result, 8 warps that share the sum: k in blocks of 16 by turns, added up in order at the end
//   medium  64 × 64, 2 warps, 8 × 8 results a thread
//   large   128 × 128 on tensor cores, 8 warps; 128 × 64 else, 4 warps, 8 × 8 results a thread
// Medium and large sum in the same order: their results are the same bits.
// Rule for a result of M × N summed over K: large if it has 128 tiles of 128 × 128 or more; else small if M or N is 32
// or less, or if there are fewer than 64 tiles of 64 × 64 and K is 64 or more (gemm_tn: never for that); else medium.
// gemm_tn cuts its sum over R rows into slices: as many as make 256 blocks, of 128 rows at least.
// Grid: x = tiles of N, y = tiles of M (blocks that run together share rows of the long operand), z = slices (1 but for
// gemm_tn). Threads: 256, 64, 256 (128 without tensor cores).
//
// Floors, with MB moved and GFMA computed: H100 3.35 TB/s (L2 about 5.5), 29.6 TFMA/s in f32, at most about 60 % of
// 247 (tf32) and 495 (f16, bf16) TFMA/s through mma.sync; Orin AGX 0.205 TB/s, 2.66 TFMA/s, about 13 and 26.
//   gates_x of LSTM 256, T 100, B 64: 6400 × 1024 × 256, 1.68 GFMA, 34 MB: H100 57 µs in f32 (10 µs for bytes alone),
//   Orin 630 µs. W_hh h at H 1024, B 1: 16.8 MB of weights once: H100 3.1 µs from L2, Orin 82 µs.
#include "prelude.cuh"

enum class Dtype { F32, TF32, F16, BF16 };
constexpr Dtype DTYPE = Dtype::PRODUCT;
constexpr bool TENSOR_CORES = DTYPE == Dtype::F16 ? ARCH >= 75 : DTYPE != Dtype::F32 && ARCH >= 80;

constexpr int WORD_K = TENSOR_CORES && DTYPE != Dtype::TF32 ? 2 : 1;      // values of k in a word of shared memory
// Rows of shared memory, one a word of k, are this much longer than a tile. 8 makes the 4 × 8 scattered reads of a
// fragment fall on 32 banks; 4 keeps 16-byte reads aligned and the transposing writes (two k apart by 4) apart.
constexpr int PAD = TENSOR_CORES ? 8 : 4;

template <int TILE_M, int TILE_N, int WARP_TILE_M, int WARP_TILE_N, int SHARERS, int K>
struct Tile {
    static constexpr int M = TILE_M, N = TILE_N;                          // result of a block
    static constexpr int WARP_M = WARP_TILE_M, WARP_N = WARP_TILE_N;      // result of a warp
    static constexpr int STEP = K, DEPTH = STEP / WORD_K;                 // k taken together, and words of k
    static constexpr int GROUPS = SHARERS;                                // warps (or the one block) that share a sum
    static constexpr int WARPS_N = N / WARP_N;
    static constexpr int THREADS = M / WARP_M * WARPS_N * 32;             // of a group
    static constexpr int STAGES = GROUPS == 1 ? 2 : 1;                    // of shared memory
    static constexpr int ROW_M = M + PAD, ROW_N = N + PAD;                // lengths of rows of shared memory
    static constexpr int STAGE = DEPTH * (ROW_M + ROW_N);
    static_assert(GROUPS == 1 || (THREADS == 32 && GROUPS * M * N <= GROUPS * STAGES * STAGE), "room for partial sums");
};
using Small = Tile<16, 32, 16, 32, 8, 16>;
using Medium = Tile<64, 64, 32, 64, 1, 16>;
// Multiply-add is bound by registers, three blocks of 128 × 64 on a multiprocessor; tensor cores by what comes from L2.
using Large = Tile<128, TENSOR_CORES ? 128 : 64, 32, 64, 1, 16>;
// Blocks on a multiprocessor. The compiler is told: otherwise it spends the time of the loop on saving registers.
constexpr int SMALL_BLOCKS = 2, MEDIUM_BLOCKS = TENSOR_CORES ? 6 : ARCH < 60 || ARCH >= 120 ? 4 : 5, LARGE_BLOCKS = TENSOR_CORES ? 2 : 3;
constexpr int SMALL_THREADS = Small::GROUPS * Small::THREADS;

// ---- from f32 to the words of shared memory

__device__ __forceinline__ float round_to_product(float v) {
    if constexpr (DTYPE == Dtype::TF32) return to_tf32(v);
    if constexpr (DTYPE == Dtype::F16) return from_f16(to_f16(v));
    if constexpr (DTYPE == Dtype::BF16) return from_bf16(to_bf16(v));
    return v;
}

/// Two neighbours in k as one word; the bits of a float that is none.
__device__ __forceinline__ float pair(float low, float high) {
    if constexpr (DTYPE == Dtype::F16) return __uint_as_float(to_f16_pair(low, high));
    return __uint_as_float(to_bf16(low) | (unsigned)to_bf16(high) << 16);
}

// ---- operands in global memory. step(k) is where a step of 16 begins, for k a multiple of 16 and the same for all
// threads; at(lane, k) is where, from there, four values of this step begin, for lane = m or n counted from the tile's
// first. Lanes beyond the last read the last again: their sums are thrown away. inside(k) says whether there is a k.

constexpr float4 ZEROS = {0.f, 0.f, 0.f, 0.f};

/// n / P of packed gates n, by a multiplication: exact for n below half a million.
struct Panels {
    int panel, reciprocal;
    __device__ __forceinline__ explicit Panels(int p) : panel(p), reciprocal((65535 + p / 16) / (p / 16)) {}
    __device__ __forceinline__ int of(int n) const { return int(unsigned(n / 16 * reciprocal) >> 16); }
};

/// a[m][k]: four values along k. Rows are padded with zeros to a multiple of 16.
struct RowsAlongK {
    static constexpr bool ALONG_K = true;
    const float* first;
    int rows, row;
    __device__ __forceinline__ const float* step(int k) const { return first + k; }
    __device__ __forceinline__ int at(int m, int k) const { return min(m, rows - 1) * row + k; }
    __device__ __forceinline__ bool inside(int) const { return true; }
};

/// a[k][m]: four values along m.
struct RowsAlongLanes {
    static constexpr bool ALONG_K = false;
    const float* first;
    int lanes, depth, row;
    __device__ __forceinline__ const float* step(int k) const { return first + (long long)k * row; }
    __device__ __forceinline__ int at(int m, int k) const { return k * row + min(m, (lanes - 1) & ~3); }
    __device__ __forceinline__ bool inside(int k) const { return k < depth; }
};

/// W(k, n): four values along n.
struct PackedAlongLanes {
    static constexpr bool ALONG_K = false;
    const float* weight;
    int n0, columns, depth;
    Panels panels;
    __device__ __forceinline__ const float* step(int k) const { return weight + (long long)k * panels.panel; }
    __device__ __forceinline__ int at(int lane, int k) const {
        const int n = min(n0 + lane, columns - 4);
        return (panels.of(n) * (depth - 1) + k) * panels.panel + n;
    }
    __device__ __forceinline__ bool inside(int k) const { return k < depth; }
};

/// W(n, k), where k is the packed gate and n the column: four values along k.
struct PackedAlongK {
    static constexpr bool ALONG_K = true;
    const float* weight;
    int n0, columns;
    Panels panels;
    __device__ __forceinline__ const float* step(int k) const {
        return weight + ((long long)panels.of(k) * (columns - 1) * panels.panel + k);
    }
    __device__ __forceinline__ int at(int lane, int k) const { return min(n0 + lane, columns - 1) * panels.panel + k; }
    __device__ __forceinline__ bool inside(int) const { return true; }
};

// ---- one operand on its way from global to shared memory

/// What a thread holds of LANES × STEP values. In shared memory: [word of k][lane].
template <class Source, int LANES, int THREADS, int STEP>
struct Slab {
    static constexpr int QUADS = LANES * STEP / 4 / THREADS;
    float4 quad[QUADS];
    int at[QUADS];

    // Quads along k are transposed while they are stored, word by word: lanes of a warp take 16 rows, two quads of
    // each (32 bytes, a whole sector of memory), whose words lie 4 · PAD = 16 banks apart (2 · PAD for pairs). With 8
    // of padding and one k a word that would be the same bank: then 32 rows.
    static constexpr int ROWS = PAD * (4 / WORD_K) == 16 || LANES < 32 ? 16 : 32, ACROSS = 32 / ROWS;
    static __device__ __forceinline__ int row_of(int q) { return q / 32 % (LANES / ROWS) * ROWS + q % ROWS; }
    static __device__ __forceinline__ int k_of(int q) {
        return (q / 32 / (LANES / ROWS) * ACROSS + q % 32 / ROWS) * 4;
    }

    static __device__ __forceinline__ int lane_of(int i, int thread) {
        if (Source::ALONG_K) return row_of(i * THREADS + thread);
        return (i / WORD_K * THREADS + thread) % (LANES / 4) * 4;
    }
    static __device__ __forceinline__ int step_k_of(int i, int thread) {
        if (Source::ALONG_K) return k_of(i * THREADS + thread);
        return (i / WORD_K * THREADS + thread) / (LANES / 4) * WORD_K + i % WORD_K;
    }

    __device__ __forceinline__ Slab(const Source& source, int thread) {
#pragma unroll
        for (int i = 0; i < QUADS; ++i) at[i] = source.at(lane_of(i, thread), step_k_of(i, thread));
    }

    /// The first step of a sum: what is not there is zero.
    __device__ __forceinline__ void fetch_inside(const Source& source, int thread, int k) {
        const float* from = source.step(k);
#pragma unroll
        for (int i = 0; i < QUADS; ++i) {
            const bool inside = source.inside(k + step_k_of(i, thread));
            quad[i] = inside ? load_streaming(reinterpret_cast<const float4*>(from + at[i])) : ZEROS;
        }
    }

    /// From now on a fetch reads what is certain to be there.
    __device__ __forceinline__ void stay() {
#pragma unroll
        for (int i = 0; i < QUADS; ++i) at[i] = 0;
    }

    /// A step that has all k.
    __device__ __forceinline__ void fetch(const Source& source, int k) {
        const float* from = source.step(k);
#pragma unroll
        for (int i = 0; i < QUADS; ++i) quad[i] = load_streaming(reinterpret_cast<const float4*>(from + at[i]));
    }

    __device__ __forceinline__ void put(float* words, int thread) const {
        constexpr int ROW = LANES + PAD;
#pragma unroll
        for (int i = 0; i < QUADS; i += Source::ALONG_K ? 1 : WORD_K) {
            const float4 v = quad[i];
            if constexpr (Source::ALONG_K) {
                const int q = i * THREADS + thread;
                float* at = words + k_of(q) / WORD_K * ROW + row_of(q);
                if constexpr (WORD_K == 2) {
                    at[0] = pair(v.x, v.y);
                    at[ROW] = pair(v.z, v.w);
                } else {
                    at[0] = round_to_product(v.x);
                    at[ROW] = round_to_product(v.y);
                    at[2 * ROW] = round_to_product(v.z);
                    at[3 * ROW] = round_to_product(v.w);
                }
            } else {
                const int word = i / WORD_K * THREADS + thread;
                float4* at = reinterpret_cast<float4*>(words + word / (LANES / 4) * ROW + word % (LANES / 4) * 4);
                if constexpr (WORD_K == 2) {
                    const float4 w = quad[i + 1];
                    *at = make_float4(pair(v.x, w.x), pair(v.y, w.y), pair(v.z, w.z), pair(v.w, w.w));
                } else {
                    *at = make_float4(round_to_product(v.x), round_to_product(v.y), round_to_product(v.z),
                                      round_to_product(v.w));
                }
            }
        }
    }
};

// ---- the sums of a warp, WARP_M × WARP_N

template <class Tile, bool MMA>
struct Sums;

/// Plain multiply-add. Lanes are 4 × 8; a lane's rows and columns come in fours, side by side over the lanes, so that
/// a read of 16 bytes by all of them touches 64 or 128 adjacent bytes.
template <class Tile>
struct Sums<Tile, false> {
    static constexpr int ROWS = Tile::WARP_M / 4, COLUMNS = Tile::WARP_N / 8;
    float value[ROWS][COLUMNS] = {};

    static __device__ __forceinline__ void read(const float* from, float* to) {
        const float4 v = *reinterpret_cast<const float4*>(from);
        to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
    }

    __device__ __forceinline__ void add(const float* a, const float* b, int lane) {
        a += lane / 8 * 4;
        b += lane % 8 * 4;
#pragma unroll
        for (int k = 0; k < Tile::DEPTH; ++k) {
            float left[ROWS], right[COLUMNS];
#pragma unroll
            for (int i = 0; i < ROWS; i += 4) read(a + k * Tile::ROW_M + i * 4, left + i);
#pragma unroll
            for (int j = 0; j < COLUMNS; j += 4) read(b + k * Tile::ROW_N + j * 8, right + j);
#pragma unroll
            for (int i = 0; i < ROWS; ++i)
#pragma unroll
                for (int j = 0; j < COLUMNS; ++j) value[i][j] = __fmaf_rn(left[i], right[j], value[i][j]);
        }
    }

    /// Hands out all sums of this lane, four along n at a time: emit(m, n, quad).
    template <class Emit>
    __device__ __forceinline__ void each(int lane, const Emit& emit) const {
#pragma unroll
        for (int i = 0; i < ROWS; ++i)
#pragma unroll
            for (int j = 0; j < COLUMNS; j += 4) {
                const float* v = value[i] + j;
                emit(i / 4 * 16 + lane / 8 * 4 + i % 4, j * 8 + lane % 8 * 4, make_float4(v[0], v[1], v[2], v[3]));
            }
    }
};

/// Tensor cores; fragments as the prelude describes them.
template <class Tile>
struct Sums<Tile, true> {
    static constexpr int ROWS = Tile::WARP_M / 16, COLUMNS = Tile::WARP_N / 8;
    float value[ROWS][COLUMNS][4] = {};

    __device__ __forceinline__ void add(const float* a, const float* b, int lane) {
        const int g = lane / 4, t = lane % 4;
        a += t * Tile::ROW_M + g;
        b += t * Tile::ROW_N + g;
#pragma unroll
        for (int k = 0; k < Tile::DEPTH; k += 8) {
            unsigned left[ROWS][4], right[COLUMNS][2];
#pragma unroll
            for (int i = 0; i < ROWS; ++i)
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    left[i][e] = __float_as_uint(a[(k + e / 2 * 4) * Tile::ROW_M + i * 16 + e % 2 * 8]);
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j)
#pragma unroll
                for (int e = 0; e < 2; ++e)
                    right[j][e] = __float_as_uint(b[(k + e * 4) * Tile::ROW_N + j * 8]);
#pragma unroll
            for (int i = 0; i < ROWS; ++i)
#pragma unroll
                for (int j = 0; j < COLUMNS; ++j) {
                    if constexpr (DTYPE == Dtype::TF32) mma_tf32(value[i][j], left[i], right[j]);
                    if constexpr (DTYPE == Dtype::F16) mma_f16(value[i][j], left[i], right[j]);
                    if constexpr (DTYPE == Dtype::BF16) mma_bf16(value[i][j], left[i], right[j]);
                }
        }
    }

    /// Two neighbouring lanes hold two columns of rows g and g + 8 each; after an exchange one holds four columns of
    /// the first row, the other of the second. All exchanges come before the first store: a store may be skipped.
    template <class Emit>
    __device__ __forceinline__ void each(int lane, const Emit& emit) {
        const int g = lane / 4, t = lane % 4;
        const bool odd = t % 2;
#pragma unroll
        for (int i = 0; i < ROWS; ++i)
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j) {
                float* v = value[i][j];
                const float x = __shfl_xor_sync(0xffffffffu, odd ? v[0] : v[2], 1);
                const float y = __shfl_xor_sync(0xffffffffu, odd ? v[1] : v[3], 1);
                if (odd) v[0] = x, v[1] = y;
                else v[2] = x, v[3] = y;
            }
#pragma unroll
        for (int i = 0; i < ROWS; ++i)
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j) {
                const float* v = value[i][j];
                emit(i * 16 + g + (odd ? 8 : 0), j * 8 + t / 2 * 4, make_float4(v[0], v[1], v[2], v[3]));
            }
    }
};

// ---- the product of a block

/// Σ over k < depth; emit(m, n, quad) gets every element of the tile, four along n at a time.
/// While a step is computed from shared memory the next one is on its way to registers.
template <class Tile, class A, class B, class Emit>
__device__ __forceinline__ void multiply(const A& a, const B& b, int depth, const Emit& emit) {
    SHARED(float, words, [Tile::GROUPS * Tile::STAGES * Tile::STAGE]);
    // taken from lane 0, so that the compiler knows it to be the same for the whole warp
    const int group = Tile::GROUPS == 1 ? 0 : __shfl_sync(0xffffffffu, int(threadIdx.x) / 32, 0);
    const int thread = Tile::GROUPS == 1 ? threadIdx.x : threadIdx.x % 32, lane = thread % 32;
    const int warp_m = thread / 32 / Tile::WARPS_N * Tile::WARP_M, warp_n = thread / 32 % Tile::WARPS_N * Tile::WARP_N;
    const auto meet = [] {
        if constexpr (Tile::GROUPS == 1) __syncthreads();
        else __syncwarp();
    };
    float* const own = words + group * Tile::STAGES * Tile::STAGE;

    // The last step, which may be short, comes first: then all that are fetched inside the loop are complete.
    constexpr int STEP = Tile::STEP;
    const int steps = (depth + STEP - 1) / STEP;
    const int first = (group ? group - 1 : steps - 1) * STEP;
    Slab<A, Tile::M, Tile::THREADS, STEP> a_slab(a, thread);
    Slab<B, Tile::N, Tile::THREADS, STEP> b_slab(b, thread);
    Sums<Tile, TENSOR_CORES> sums;
    if (group < steps) {
        a_slab.fetch_inside(a, thread, first);
        b_slab.fetch_inside(b, thread, first);
    }
    if (steps == 1) {
        a_slab.stay();
        b_slab.stay();
    }
    // With two stages one barrier a step is enough: a thread that writes a stage again has passed the barrier of the
    // step between, and a thread that still reads has not reached that one.
    int stage = 0;
#pragma unroll 1
    for (int step = group; step < steps;) {
        float* const a_words = own + stage * Tile::STAGE;
        float* const b_words = a_words + Tile::DEPTH * Tile::ROW_M;
        a_slab.put(a_words, thread);
        b_slab.put(b_words, thread);
        meet();
        step += Tile::GROUPS;
        // After the last step one is fetched again, for nothing: with a condition here the compiler moves the loads to
        // the end of the loop, where the same condition stands, and their latency with them.
        const int next = max(min(step, steps - 1) - 1, 0) * STEP;
        a_slab.fetch(a, next);
        b_slab.fetch(b, next);
        sums.add(a_words + warp_m, b_words + warp_n, lane);
        if (Tile::STAGES == 1) meet();
        else stage ^= 1;
    }

    if constexpr (Tile::GROUPS == 1) {
        sums.each(lane, [&](int m, int n, float4 quad) { emit(warp_m + m, warp_n + n, quad); });
    } else {
        // every warp has the whole tile, for its part of k
        __syncthreads();
        float* const part = words + group * Tile::M * Tile::N;
        sums.each(lane, [&](int m, int n, float4 quad) { *reinterpret_cast<float4*>(part + m * Tile::N + n) = quad; });
        __syncthreads();
        if (threadIdx.x < Tile::M * Tile::N / 4) {
            const int at = threadIdx.x * 4;
            float4 sum = ZEROS;
#pragma unroll
            for (int other = 0; other < Tile::GROUPS; ++other) {
                const float4 v = *reinterpret_cast<const float4*>(words + other * Tile::M * Tile::N + at);
                sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
            }
            emit(at / Tile::N, at % Tile::N, sum);
        }
    }
}

__device__ __forceinline__ float4 plus(float4 a, float4 b) {
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

// ---- nn: out[m][n] = Σ_k a[m][k] · W(k, n) + bias[n]      projections of the input, W_hh h, the head

struct NnArgs {
    const float* a;         // [rows][a_row], padding zero
    const float* weight;    // packed: panels of `panel`, `depth` columns
    const float* bias;      // [columns], or null
    float* out;             // [rows][columns]
    int rows, columns, depth;   // M, N, K; N a multiple of `panel`
    int a_row, panel;
    int accumulate;         // 1: add to out
};

template <class Tile>
__device__ __forceinline__ void nn(const NnArgs& args) {
    const int m0 = blockIdx.y * Tile::M, n0 = blockIdx.x * Tile::N;
    const RowsAlongK a = {args.a + (long long)m0 * args.a_row, args.rows - m0, args.a_row};
    const PackedAlongLanes b = {args.weight, n0, args.columns, args.depth, Panels(args.panel)};
    multiply<Tile>(a, b, args.depth, [&](int lane_m, int lane_n, float4 sum) {
        const int m = m0 + lane_m, n = n0 + lane_n;
        if (m >= args.rows || n >= args.columns) return;
        if (args.bias) sum = plus(sum, *reinterpret_cast<const float4*>(args.bias + n));
        float4* const out = reinterpret_cast<float4*>(args.out + (long long)m * args.columns + n);
        *out = args.accumulate ? plus(*out, sum) : sum;
    });
}

// ---- nt: out[m][n] = Σ_k a[m][k] · W(n, k), k the packed gate      dx, dh of single steps, backward of the head

struct NtArgs {
    const float* a;         // [rows][depth]
    const float* weight;    // packed: panels of `panel`, `columns` columns
    float* out;             // [rows][columns padded to 16], the padding written as zero
    int rows, columns, depth;   // M, C, K = G·Hp
    int panel;
    int accumulate;         // 1: add to out
};

template <class Tile>
__device__ __forceinline__ void nt(const NtArgs& args) {
    const int m0 = blockIdx.y * Tile::M, n0 = blockIdx.x * Tile::N, out_row = (args.columns + 15) / 16 * 16;
    const RowsAlongK a = {args.a + (long long)m0 * args.depth, args.rows - m0, args.depth};
    const PackedAlongK b = {args.weight, n0, args.columns, Panels(args.panel)};
    multiply<Tile>(a, b, args.depth, [&](int lane_m, int lane_n, float4 sum) {
        const int m = m0 + lane_m, n = n0 + lane_n;
        if (m >= args.rows || n >= out_row) return;
        if (n + 4 > args.columns) {
            const int real = args.columns - n;
            sum = make_float4(real > 0 ? sum.x : 0.f, real > 1 ? sum.y : 0.f, real > 2 ? sum.z : 0.f, 0.f);
        }
        float4* const out = reinterpret_cast<float4*>(args.out + (long long)m * out_row + n);
        *out = args.accumulate ? plus(*out, sum) : sum;
    });
}

// ---- tn: out(m, n) = Σ_r a[r][m] · d[r][n], packed      gradients of weights

struct TnArgs {
    const float* a;         // [rows][a_row]
    const float* d;         // [rows][gates]
    float* out;             // packed: panels of `panel`, `columns` columns; one such after the other for each slice
    int rows, columns, gates;   // R, C, N = G·Hp
    int a_row, panel;
    int slice;              // rows of a slice, a multiple of 16
};

template <class Tile>
__device__ __forceinline__ void tn(const TnArgs& args) {
    const int m0 = blockIdx.y * Tile::M, n0 = blockIdx.x * Tile::N, first = blockIdx.z * args.slice;
    const int rows = min(args.rows - first, args.slice);
    const float* const a_first = args.a + (long long)first * args.a_row + m0;
    const float* const d_first = args.d + (long long)first * args.gates + n0;
    const RowsAlongLanes a = {a_first, args.columns - m0, rows, args.a_row};
    const RowsAlongLanes b = {d_first, args.gates - n0, rows, args.gates};
    const Panels panels(args.panel);
    float* const out = args.out + (long long)blockIdx.z * args.columns * args.gates;
    multiply<Tile>(a, b, rows, [&](int lane_m, int lane_n, float4 sum) {
        const int m = m0 + lane_m, n = n0 + lane_n;
        if (m >= args.columns || n >= args.gates) return;
        const int panel = panels.of(n);
        const long long at = (long long)(panel * (args.columns - 1) + m) * panels.panel + n;
        *reinterpret_cast<float4*>(out + at) = sum;
    });
}

// ---- the kernels
//
// Budgets, "NAME registers MOST shared MOST" below, hold over all architectures and dtypes, no spills; a gate reads these lines.
// What the disassembly of the loop over k shows, one trip being 16 k (12.9; sm_90, sm_80 alike):
//   medium and large in f32: 1024 FFMA among 1159 to 1193 instructions, 86 to 88 %; 64 16-byte reads of shared memory,
//     one barrier. The loads of the next trip are issued at two thirds of this one: 350 issue slots a warp and 2 or 3
//     warps a scheduler before they are needed.
//   large in bf16 and f16: 16 HMMA (m16n8k16) among 106 to 110, of which 24 are reads of shared memory; f32 in memory
//     makes it 16 KB from L2 for 262 144 multiply-adds: bound by L2, about 400 a cycle where it gives 25 bytes.
//   large in tf32: 32 HMMA (m16n8k8) among 224 to 228; rounding takes 4 instructions a value: bound by issue, about as
//     many multiply-adds a cycle.
//   small in f32: 256 FFMA among 341 to 361, eight independent warps, no barrier of the block in the loop.

// Moves M·K + K·N + M·N values (and M·N more to accumulate), computes M·N·K. gates_x of LSTM 64, T 100, B 64:
// 6400 × 256 × 64, 8.3 MB, 0.10 GFMA: H100 3.5 µs of arithmetic in f32, 2.5 of memory; Orin 41.
// budget gemm_nn_small registers 112 shared 32768
extern "C" __global__ void __launch_bounds__(SMALL_THREADS, SMALL_BLOCKS) gemm_nn_small(NnArgs args) {
    nn<Small>(args);
}
// budget gemm_nn_medium registers 208 shared 18432
extern "C" __global__ void __launch_bounds__(Medium::THREADS, MEDIUM_BLOCKS) gemm_nn_medium(NnArgs args) {
    nn<Medium>(args);
}
// budget gemm_nn_large registers 168 shared 34816
extern "C" __global__ void __launch_bounds__(Large::THREADS, LARGE_BLOCKS) gemm_nn_large(NnArgs args) {
    nn<Large>(args);
}

// Moves the same, M·C for M·N. dx of LSTM 64 with a layer below, T 100, B 64: 6400 × 64 × 256: as above.
// budget gemm_nt_small registers 112 shared 32768
extern "C" __global__ void __launch_bounds__(SMALL_THREADS, SMALL_BLOCKS) gemm_nt_small(NtArgs args) {
    nt<Small>(args);
}
// budget gemm_nt_medium registers 208 shared 18432
extern "C" __global__ void __launch_bounds__(Medium::THREADS, MEDIUM_BLOCKS) gemm_nt_medium(NtArgs args) {
    nt<Medium>(args);
}
// budget gemm_nt_large registers 168 shared 34816
extern "C" __global__ void __launch_bounds__(Large::THREADS, LARGE_BLOCKS) gemm_nt_large(NtArgs args) {
    nt<Large>(args);
}

// Moves R·C + R·N + 2 · slices · C·N. dW_hh of LSTM 64, T 100, B 64: 64 × 256 over 6400 in 50 slices: 8.2 MB + 6.6
// of partial sums in L2, 0.10 GFMA: H100 3.5 µs and 1.2 for the sums; Orin 41.
// budget gemm_tn_small registers 120 shared 32768
extern "C" __global__ void __launch_bounds__(SMALL_THREADS, SMALL_BLOCKS) gemm_tn_small(TnArgs args) {
    tn<Small>(args);
}
// budget gemm_tn_medium registers 208 shared 18432
extern "C" __global__ void __launch_bounds__(Medium::THREADS, MEDIUM_BLOCKS) gemm_tn_medium(TnArgs args) {
    tn<Medium>(args);
}
// budget gemm_tn_large registers 168 shared 34816
extern "C" __global__ void __launch_bounds__(Large::THREADS, LARGE_BLOCKS) gemm_tn_large(TnArgs args) {
    tn<Large>(args);
}

/// out = Σ over slices, in order. Reads count · len values and writes len: bound by memory, four loads on their way.
struct AddSlicesArgs {
    const float* slices;    // [count][len]
    float* out;             // [len]
    long long len;          // a multiple of 16
    int count;
};

constexpr int ADD_THREADS = 128;

// budget add_slices registers 40 shared 0
extern "C" __global__ void __launch_bounds__(ADD_THREADS) add_slices(AddSlicesArgs args) {
    const long long i = ((long long)blockIdx.x * ADD_THREADS + threadIdx.x) * 4;
    if (i >= args.len) return;
    float4 sum = ZEROS;
#pragma unroll 4
    for (int z = 0; z < args.count; ++z)
        sum = plus(sum, load_streaming(reinterpret_cast<const float4*>(args.slices + z * args.len + i)));
    *reinterpret_cast<float4*>(args.out + i) = sum;
}

/// out[n] = Σ_r d[r][n], for one input or for two of the same size; with one, the sum can go to two places.
/// Reads rows · columns values once: T 100, B 64, LSTM 64: 6.6 MB, H100 2 µs, Orin 32.
struct SumRowsArgs {
    const float* d;         // [rows][columns]
    const float* d_second;  // the same, or null
    float* out;             // [columns]
    float* out_second;      // the sum of d_second, or of d if that is null; null for nothing
    int rows, columns;      // columns a multiple of 16
};

// A block has 16 columns: 4 lanes of 4 columns, 128 rows at a time. Grid: x = columns / 16, y = inputs.
constexpr int SUM_THREADS = 512, SUM_ROWS = SUM_THREADS / 4;

// budget sum_rows registers 40 shared 8192
extern "C" __global__ void __launch_bounds__(SUM_THREADS) sum_rows(SumRowsArgs args) {
    SHARED(float4, part, [SUM_ROWS][4]);
    const int column = threadIdx.x % 4, row = threadIdx.x / 4, n = blockIdx.x * 16 + column * 4;
    const float* d = blockIdx.y ? args.d_second : args.d;
    float4 sum = ZEROS;
#pragma unroll 4
    for (int r = row; r < args.rows; r += SUM_ROWS)
        sum = plus(sum, load_streaming(reinterpret_cast<const float4*>(d + (long long)r * args.columns + n)));
    part[row][column] = sum;
#pragma unroll
    for (int half = SUM_ROWS / 2; half; half /= 2) {
        __syncthreads();
        if (row < half) part[row][column] = plus(part[row][column], part[row + half][column]);
    }
    if (row) return;
    float* const out = blockIdx.y ? args.out_second : args.out;
    *reinterpret_cast<float4*>(out + n) = part[0][column];
    if (gridDim.y == 1 && args.out_second) *reinterpret_cast<float4*>(args.out_second + n) = part[0][column];
}
