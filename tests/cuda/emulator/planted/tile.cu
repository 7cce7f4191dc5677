// c[M][N] = a[M][K] b[K][N], all of them multiples of the tile. The next tiles are on their way while the present ones
// are multiplied: two halves of shared memory take turns.

struct TileArgs {
    const float *a, *b;
    float* c;
    int m, n, k;
};

constexpr int TILE = 16;
constexpr int QUADS = TILE / 4;

struct Half {
    float4 a[TILE][QUADS], b[TILE][QUADS];
};

// Each of 256 threads adds up one element; the first 64 of them fetch 16 bytes of a, the next 64 of b.
__device__ __forceinline__ void fetch(Half& half, const TileArgs& args, int tile) {
    const int thread = static_cast<int>(threadIdx.x), part = thread % 64, row = part / QUADS, quad = part % QUADS;
    const int block_row = static_cast<int>(blockIdx.y) * TILE, block_column = static_cast<int>(blockIdx.x) * TILE;
    if (thread < 64) {
        copy_async(&half.a[row][quad],
                   reinterpret_cast<const float4*>(args.a + (block_row + row) * args.k + tile * TILE) + quad);
    } else if (thread < 128) {
        copy_async(&half.b[row][quad],
                   reinterpret_cast<const float4*>(args.b + (tile * TILE + row) * args.n + block_column) + quad);
    }
    copy_async_commit();
}

__device__ __forceinline__ float element(const float4 (&rows)[TILE][QUADS], int row, int column) {
    return reinterpret_cast<const float*>(&rows[row][0])[column];
}

extern "C" __global__ void __launch_bounds__(TILE * TILE, 2) tile(TileArgs args) {
    SHARED(Half, halves, [2]);
    const int row = static_cast<int>(threadIdx.x) / TILE, column = static_cast<int>(threadIdx.x) % TILE;
    const int tiles = args.k / TILE;
    float sum = 0.0f;
    fetch(halves[0], args, 0);
    for (int t = 0; t < tiles; ++t) {
        if (t + 1 < tiles) {
            fetch(halves[(t + 1) % 2], args, t + 1);
        } else {
            copy_async_commit();  // an empty group, so that the wait counts the same
        }
#if !defined(PLANT_MISSING_WAIT)
        copy_async_wait<1>();
#endif
        __syncthreads();
        for (int k = 0; k < TILE; ++k) {
            sum = __fmaf_rn(element(halves[t % 2].a, row, k), element(halves[t % 2].b, k, column), sum);
        }
#if !defined(PLANT_MISSING_BARRIER_BETWEEN_HALVES)
        __syncthreads();  // before the next but one tile goes where this one is read
#endif
    }
    const int block_row = static_cast<int>(blockIdx.y) * TILE, block_column = static_cast<int>(blockIdx.x) * TILE;
    args.c[(block_row + row) * args.n + block_column + column] = sum;
}
