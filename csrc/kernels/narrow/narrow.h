// Rows of gemm for constant s8 weights of few values, packed at 4, 2 or 1 bits: int4, ternary and
// binary layers. They are no family of their own: any matrix whose values are lo + step * u with
// 0 <= u < 2^bits is served, whoever made it (a quantiser to 127 makes {-127, 0, 127} of ternary
// weights), and choose.h compares the predicted times with those of the dense rows. Exact, class E:
//
//   sum over k of a[k] * w[k, n] = step * sum over k of a[k] * u[k, n] + lo * sum over k of a[k]
//
// A product with few rows is bound by the bytes of its weights; more rows than kNarrowMaxRows are
// bound by multiplying, of which narrow weights save nothing.
//
// Packed: NarrowValues in 64 bytes, column sums of w [N/16 * 16] s32, then u in panels of 16
// columns, with zeros beyond K and N. A byte holds kFields = 8 / bits values of u, lowest bits
// first:
//
//   [N/16][blocks][16][4] bytes, blocks = K / (4 * kFields);
//   field f of byte j of column i of block b is u[(b * kFields + f) * 4 + j, i]
//
// so that a block masked for one field, without any shift, is the unsigned operand of vpdpbusd
// against four activations: the sum comes out times 2^(f * bits).
#pragma once

#include <cstdint>

namespace pyrt {

inline constexpr int64_t kNarrowMaxRows = 4;
// Sums times the weight of a field stay in s32: K / 2 * 128 * 15 * 16 < 2^31 (4 bits), and less for
// fewer bits.
inline constexpr int64_t kNarrowMaxK = 131072;

inline constexpr int64_t kNarrowHeader = 64;

// Every weight is lo + step * u.
struct NarrowValues {
  int32_t lo, step;
};

}  // namespace pyrt
