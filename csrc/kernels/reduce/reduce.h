// reduce: y = op over some axes of x; arg_reduce: the position of the largest or least element
// along one axis.
//
// f32: element r of a reduction (its index over the reduced axes, in ONNX order, whatever the
// layout) goes to virtual lane r mod 16, ascending; lanes start at the identity of op and are
// combined by the tree of common/lane_sums-inl.h. So the bytes depend neither on the ISA nor on the
// layout. max and min are class E, the others class D:
//   sum   mean: sum / n   prod   l1: sum |x|   sum_square: sum x^2   l2: sqrt(sum x^2)
//   log_sum_exp: m + log(sum exp(x - m)), m = max x, or 0 where that is infinite
// A NaN wins max and min. s32, s64 (sum, max, min): modulo 2^bits. An empty reduction gives the
// identity (mean: NaN). arg_reduce: the first such position, or the last with select_last; a NaN
// beats every number.
#pragma once

#include "kernels/kernel.h"

namespace pyrt {

enum class ReduceOp : uint8_t { kSum, kMean, kMax, kMin, kProd, kL1, kL2, kSumSquare, kLogSumExp };

struct ReduceParams {
  ReduceOp op = ReduceOp::kSum;
  uint32_t axes = 0;        // bit a: axis a of x is reduced
  int64_t n = 1;            // elements per output
  int kept[kMaxRank] = {};  // axis of x for each axis of y (a reduced one where y keeps it as 1)
};

struct ArgReduceParams {
  bool least = false, select_last = false;
  int64_t outer = 1, n = 1, inner = 1;
};

}  // namespace pyrt
