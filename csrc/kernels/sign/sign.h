// gemm_sign: y[.., m, n] = float(sum over k of sign(a[.., m, k]) * w[k, n]) * scale[n] + bias[n]
// with weights of -1 and 1: signs are compared and counted 64 at a time. sign is -1, 0 or 1, and 0
// for a NaN. Class E: the sum is exact, then each f32 operation is rounded.
//
// Operands: a f32 [.., K]; w u8 [N, ceil(K / 8)], bit k % 8 of byte k / 8 set where the weight is
// -1; scale f32 [N]; bias f32 [N], optional; y f32 [.., N].
//
// Packed: [N/8][ceil(K / 64)][8] u64, zeros beyond. With s the signs of a row and z its non-zeros,
// bit by bit, the sum is count(z) - 2 * count((s ^ w) & z).
#pragma once

#include "kernels/kernel.h"

namespace pyrt {

enum SignInput : size_t { kSignA = 0, kSignW = 1, kSignScale = 2, kSignBias = 3 };

struct SignParams {
  int64_t M = 0, N = 0, K = 0;
};

}  // namespace pyrt
