// What the lanes of a warp do together, done for all of them at once by the last one that arrives.

#include <math.h>
#include <string.h>

#include "runtime.h"

namespace emulator {
namespace {

constexpr unsigned LANES = 32;

bool in(unsigned mask, unsigned lane) { return mask >> lane & 1; }

float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

float f16(unsigned bits) {
    const float magnitude = (bits & 0x7c00) == 0x7c00 ? float_of(0x7f800000 | (bits & 0x3ff) << 13)
                            : (bits & 0x7c00) == 0    ? static_cast<float>(bits & 0x3ff) * 0x1p-24f
                                                      : float_of(((bits & 0x7fff) << 13) + 0x38000000);
    return bits & 0x8000 ? -magnitude : magnitude;
}
float bf16(unsigned bits) { return float_of(bits << 16); }
// The tensor cores look at 19 bits and no more: a number that was not rounded by to_tf32 is cut off.
float tf32(unsigned bits) { return float_of(bits & 0xffffe000); }

// The numbers of one register: two of 16 bits, or one.
float element(Product kind, unsigned word, unsigned index) {
    if (kind == Product::TF32) return tf32(word);
    const unsigned half = word >> 16 * index & 0xffff;
    return kind == Product::F16 ? f16(half) : bf16(half);
}

}  // namespace

void shuffle_together(unsigned mask, void* const records[32]) {
    for (unsigned lane = 0; lane < LANES; ++lane) {
        if (!in(mask, lane)) continue;
        auto* record = static_cast<ShuffleRecord*>(records[lane]);
        // From a lane that does not take part a card gives anything at all; here it is a NaN.
        const bool there = in(mask, record->from);
        record->result = there ? static_cast<ShuffleRecord*>(records[record->from])->value : ~uint64_t{0};
    }
}

void ballot_together(unsigned mask, void* const records[32]) {
    unsigned votes = 0;
    for (unsigned lane = 0; lane < LANES; ++lane) {
        if (in(mask, lane) && static_cast<BallotRecord*>(records[lane])->predicate) votes |= 1u << lane;
    }
    for (unsigned lane = 0; lane < LANES; ++lane) {
        if (in(mask, lane)) static_cast<BallotRecord*>(records[lane])->result = votes;
    }
}

// mma.sync.aligned.m16n8k16 (f16, bf16) and m16n8k8 (tf32), row by column. With group = lane / 4 and t = lane % 4 a
// lane holds, by the PTX manual:
//   d[i]  row group + 8 (i / 2), column 2t + i % 2
//   a[i]  row group + 8 (i % 2), columns from w t + 4w (i / 2), w of them     w = numbers in a register, 2 or 1
//   b[i]  rows from w t + 4w i, w of them, column group
// Products of such numbers are exact in f32. How a card rounds while it adds them up is not documented; here each is
// added with one rounding, in the order of k.
void product_together(unsigned, void* const records[32]) {
    const Product kind = static_cast<ProductRecord*>(records[0])->kind;
    const unsigned width = kind == Product::TF32 ? 1 : 2, depth = 8 * width;
    float a[16][16], b[16][8];
    for (unsigned lane = 0; lane < LANES; ++lane) {
        const auto* record = static_cast<ProductRecord*>(records[lane]);
        const unsigned group = lane / 4, t = lane % 4;
        for (unsigned e = 0; e < width; ++e) {
            const unsigned k = width * t + e;
            for (unsigned i = 0; i < 4; ++i) {
                a[group + 8 * (i % 2)][k + 4 * width * (i / 2)] = element(kind, record->a[i], e);
            }
            for (unsigned i = 0; i < 2; ++i) b[k + 4 * width * i][group] = element(kind, record->b[i], e);
        }
    }
    for (unsigned lane = 0; lane < LANES; ++lane) {
        float* d = static_cast<ProductRecord*>(records[lane])->d;
        for (unsigned i = 0; i < 4; ++i) {
            const unsigned row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
            float sum = d[i];
            for (unsigned k = 0; k < depth; ++k) sum += a[row][k] * b[k][column];
            d[i] = sum;
        }
    }
}

}  // namespace emulator
