// gemm_groups: y[.., m, n] = sum over k of a[.., m, k] * w[k, n] + bias[n] for constant weights of
// 2, 4 or 8 bits with a scale for each run of `group` neighbours along K, and activations that are
// quantised here, each such run of a row to s8 with a scale of its own. Class D, in this order for
// every row m and column n (f32, each operation rounded, no fused multiply-add):
//
//   for each group g, ascending, x being the group's part of the row (zero beyond K):
//     a_scale = max |x| / 127, a NaN left out, or 1 where that is below 2^-126
//     q       = round_half_even(x * (1 / a_scale)), 0 for a NaN
//     dot     = sum of q[k] * (u[k, n] - zero_point[n, g])              exact, s32
//     acc     = acc + (float(dot) * a_scale) * scale[n, g]              acc = 0 at first
//   y = acc + bias[n]
//
// Operands: a f32 [.., K]; w u8 [N, G, group * bits / 8], G = ceil(K / group): the unsigned u of a
// group, `8 / bits` in a byte, lowest bits first (as onnxruntime's MatMulNBits has them; those
// beyond K are ignored); scale f32 or f16 [N, G]; zero_point u8 [N, G], 2^(bits - 1) where absent;
// bias f32 [N]; y f32 [.., N].
//
// Packed, for panels of 16 columns, u in the blocks of narrow/narrow.h (a byte masked for one of
// its fields, without any shift, is the unsigned operand of vpdpbusd against four activations):
//
//   u          [N/16][G][group / (4 * fields)][16][4] bytes, fields = 8 / bits
//   scale      [N/16][G][16] f32, or f16 where all of them are such
//   zero_point [N/16][G][16] u8, where there are any
#pragma once

#include "kernels/kernel.h"

namespace pyrt {

enum GroupsInput : size_t {
  kGroupsA = 0,
  kGroupsW = 1,
  kGroupsScale = 2,
  kGroupsZero = 3,
  kGroupsBias = 4,
};

// A multiple of it: whole blocks at all bits.
inline constexpr int64_t kLeastGroup = 16;
// Sums of 127 * 255, or of 127 * 15 times the 16 of a field, stay in s32.
inline constexpr int64_t kLargestGroup = 65536;

struct GroupsParams {
  int64_t M = 0, N = 0, K = 0, G = 0;
  int64_t group = 0;
  int32_t bits = 0;
};

}  // namespace pyrt
