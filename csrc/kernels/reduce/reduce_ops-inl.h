// What the reductions do to one element and to a total, written once over V, a float or a vector of
// floats.
#pragma once

#include "kernels/common/canonical_math-inl.h"
#include "kernels/common/lane_sums-inl.h"
#include "kernels/reduce/reduce.h"

namespace pyrt {
namespace {

template <ReduceOp kOp>
constexpr float kIdentity = kOp == ReduceOp::kMax    ? -__builtin_inff()
                            : kOp == ReduceOp::kMin  ? __builtin_inff()
                            : kOp == ReduceOp::kProd ? 1.0f
                                                     : 0.0f;

template <ReduceOp kOp, class V>
PYRT_INLINE V combine(V a, V b) {
  if constexpr (kOp == ReduceOp::kMax) {
    return maximum(a, b);
  } else if constexpr (kOp == ReduceOp::kMin) {
    return minimum(a, b);
  } else if constexpr (kOp == ReduceOp::kProd) {
    return a * b;
  } else {
    return a + b;
  }
}

// `most` is the largest element, for log_sum_exp.
template <ReduceOp kOp, class V>
PYRT_INLINE V mapped(V x, V most) {
  if constexpr (kOp == ReduceOp::kL1) {
    return abs_of(x);
  } else if constexpr (kOp == ReduceOp::kL2 || kOp == ReduceOp::kSumSquare) {
    return x * x;
  } else if constexpr (kOp == ReduceOp::kLogSumExp) {
    return canonical::exp(x - most);
  } else {
    return x;
  }
}

template <ReduceOp kOp, class V>
PYRT_INLINE V finished(V total, int64_t n, V most) {
  if constexpr (kOp == ReduceOp::kMean) {
    return total / static_cast<float>(n);
  } else if constexpr (kOp == ReduceOp::kL2) {
    return square_root(total);
  } else if constexpr (kOp == ReduceOp::kLogSumExp) {
    return most + canonical::log(total);
  } else {
    return total;
  }
}

// The shift of log_sum_exp: an infinite maximum would give infinity - infinity.
template <class V>
PYRT_INLINE V finite_or_zero(V most) {
  return select(abs_of(most) < __builtin_inff(), most, splat<V>(0.0f));
}

template <ReduceOp kOp, class V>
PYRT_INLINE V combine_tree(const V lane[kVirtualLanes]) {
  V part[8];
  for (int i = 0; i < 8; ++i) part[i] = combine<kOp>(lane[i], lane[i + 8]);
  for (int i = 0; i < 4; ++i) part[i] = combine<kOp>(part[i], part[i + 4]);
  for (int i = 0; i < 2; ++i) part[i] = combine<kOp>(part[i], part[i + 2]);
  return combine<kOp>(part[0], part[1]);
}

template <ReduceOp kOp, class T, class U>
PYRT_INLINE T combine_integers(T a, T b) {
  if constexpr (kOp == ReduceOp::kMax) {
    return a > b ? a : b;
  } else if constexpr (kOp == ReduceOp::kMin) {
    return a < b ? a : b;
  } else {
    return static_cast<T>(static_cast<U>(a) + static_cast<U>(b));
  }
}
template <ReduceOp kOp, class T>
constexpr T kIntegerIdentity = kOp == ReduceOp::kMax ? static_cast<T>(T{1} << (8 * sizeof(T) - 1))
                               : kOp == ReduceOp::kMin
                                   ? static_cast<T>(~(T{1} << (8 * sizeof(T) - 1)))
                                   : T{0};

// Whether `v` takes the place of `best`, which came before it.
template <class T>
PYRT_INLINE bool wins(T v, T best, bool least, bool last) {
  const bool beyond = least ? v < best : v > best;
  return last ? beyond | (v == best) | (v != v) : beyond | ((v != v) & (best == best));
}

[[maybe_unused]] const char* supports_exact(const Problem& problem) {
  const ReduceOp op = problem.as<ReduceParams>().op;
  const bool exact =
      problem.inputs[0].dtype != DType::kF32 || op == ReduceOp::kMax || op == ReduceOp::kMin;
  return exact ? nullptr : "sums of floats are of class D";
}
[[maybe_unused]] const char* supports_canonical(const Problem& problem) {
  return supports_exact(problem) == nullptr ? "the operation is of class E" : nullptr;
}

}  // namespace
}  // namespace pyrt
