// The operations of the family elementwise, each written once: over F (a float or a vector of them)
// for f32, over plain T for integers and comparisons.
#pragma once

#include "kernels/common/canonical_double-inl.h"
#include "kernels/common/canonical_math-inl.h"
#include "kernels/elementwise/elementwise.h"

namespace pyrt {
namespace {

template <class F>
PYRT_INLINE F hard_sigmoid(F x, float alpha, float beta) {
  return minimum(maximum(x * alpha + beta, splat<F>(0.0f)), splat<F>(1.0f));
}

// `kOp` is a constant: one branch remains.
template <ElementwiseOp kOp, class F>
PYRT_INLINE F unary(F x, float alpha, float beta) {
  using enum ElementwiseOp;
  if constexpr (kOp == kNeg) return -x;
  if constexpr (kOp == kAbs) return abs_of(x);
  if constexpr (kOp == kSqrt) return square_root(x);
  if constexpr (kOp == kReciprocal) return 1.0f / x;
  if constexpr (kOp == kFloor) return canonical::floor(x);
  if constexpr (kOp == kCeil) return canonical::ceil(x);
  if constexpr (kOp == kRound) return round_even(x);
  if constexpr (kOp == kSign) {
    const F zero = splat<F>(0.0f);
    const F sign = select(x > 0.0f, splat<F>(1.0f), select(x < 0.0f, splat<F>(-1.0f), zero));
    return select(x != x, x, sign);
  }
  if constexpr (kOp == kRelu) return select(x < 0.0f, splat<F>(0.0f), x);
  if constexpr (kOp == kClip)
    return minimum(maximum(x, splat_exact<F>(alpha)), splat_exact<F>(beta));
  if constexpr (kOp == kLeakyRelu) return select(x < 0.0f, x * alpha, x);
  if constexpr (kOp == kExp) return canonical::exp(x);
  if constexpr (kOp == kLog) return canonical::log(x);
  if constexpr (kOp == kTanh) return canonical::tanh(x);
  if constexpr (kOp == kSigmoid) return canonical::sigmoid(x);
  if constexpr (kOp == kErf) return canonical::erf(x);
  if constexpr (kOp == kGelu) return canonical::gelu(x);
  if constexpr (kOp == kGeluTanh) return canonical::gelu_tanh(x);
  if constexpr (kOp == kSilu) return canonical::silu(x);
  if constexpr (kOp == kHardSigmoid) return hard_sigmoid(x, alpha, beta);
  if constexpr (kOp == kHardSwish) return x * hard_sigmoid(x, 1.0f / 6.0f, 0.5f);
  if constexpr (kOp == kElu) return select(x > 0.0f, x, canonical::expm1_negative(x) * alpha);
  if constexpr (kOp == kSoftplus) return canonical::softplus(x);
}

template <ElementwiseOp kOp, class F>
PYRT_INLINE F binary_f32(F a, F b) {
  using enum ElementwiseOp;
  if constexpr (kOp == kAdd) return a + b;
  if constexpr (kOp == kSub) return a - b;
  if constexpr (kOp == kMul) return a * b;
  if constexpr (kOp == kDiv) return a / b;
  if constexpr (kOp == kMin) return minimum(a, b);
  if constexpr (kOp == kMax) return maximum(a, b);
  if constexpr (kOp == kPrelu) return select(a < 0.0f, a * b, a);
}

// T is int32_t or int64_t. Sums and products modulo 2^bits.
template <ElementwiseOp kOp, class T, class U>
PYRT_INLINE T binary_integer(T a, T b) {
  using enum ElementwiseOp;
  if constexpr (kOp == kAdd) return static_cast<T>(static_cast<U>(a) + static_cast<U>(b));
  if constexpr (kOp == kSub) return static_cast<T>(static_cast<U>(a) - static_cast<U>(b));
  if constexpr (kOp == kMul) return static_cast<T>(static_cast<U>(a) * static_cast<U>(b));
  if constexpr (kOp == kDiv) {
    if (b == 0) return 0;
    if (b == -1)
      return static_cast<T>(U{0} - static_cast<U>(a));  // the least integer / -1 would trap
    return static_cast<T>(a / b);
  }
  if constexpr (kOp == kMin) return a < b ? a : b;
  if constexpr (kOp == kMax) return a > b ? a : b;
}

template <ElementwiseOp kOp, class T>
PYRT_INLINE bool compare(T a, T b) {
  using enum ElementwiseOp;
  if constexpr (kOp == kEqual) return a == b;
  if constexpr (kOp == kLess) return a < b;
  if constexpr (kOp == kLessEqual) return a <= b;
  if constexpr (kOp == kGreater) return a > b;
  if constexpr (kOp == kGreaterEqual) return a >= b;
  if constexpr (kOp == kAnd) return (a != 0) & (b != 0);
  if constexpr (kOp == kOr) return (a != 0) | (b != 0);
  if constexpr (kOp == kXor) return (a != 0) != (b != 0);
}

// A piece of contiguous work.
struct Piece {
  void* y;
  const void* x[3];
  bool splat[3];  // x points at one element that serves all n; only f32 binary operations take it
  int64_t n;
  float alpha, beta;
};
using PieceFn = void (*)(const Piece&);

// The functions of one dtype, as a constant table would need relocations: a switch per step and run
// is cheap. K<op> gives the function for one operation.
template <template <ElementwiseOp> class K>
PieceFn pick_unary(ElementwiseOp op) {
  using enum ElementwiseOp;
  switch (op) {
    case kNeg:
      return K<kNeg>::run;
    case kAbs:
      return K<kAbs>::run;
    case kSqrt:
      return K<kSqrt>::run;
    case kReciprocal:
      return K<kReciprocal>::run;
    case kFloor:
      return K<kFloor>::run;
    case kCeil:
      return K<kCeil>::run;
    case kRound:
      return K<kRound>::run;
    case kSign:
      return K<kSign>::run;
    case kRelu:
      return K<kRelu>::run;
    case kClip:
      return K<kClip>::run;
    case kLeakyRelu:
      return K<kLeakyRelu>::run;
    case kExp:
      return K<kExp>::run;
    case kLog:
      return K<kLog>::run;
    case kTanh:
      return K<kTanh>::run;
    case kSigmoid:
      return K<kSigmoid>::run;
    case kErf:
      return K<kErf>::run;
    case kGelu:
      return K<kGelu>::run;
    case kGeluTanh:
      return K<kGeluTanh>::run;
    case kSilu:
      return K<kSilu>::run;
    case kHardSigmoid:
      return K<kHardSigmoid>::run;
    case kHardSwish:
      return K<kHardSwish>::run;
    case kElu:
      return K<kElu>::run;
    case kSoftplus:
      return K<kSoftplus>::run;
    default:
      return nullptr;
  }
}

template <template <ElementwiseOp> class K>
PieceFn pick_arithmetic(ElementwiseOp op) {
  using enum ElementwiseOp;
  switch (op) {
    case kAdd:
      return K<kAdd>::run;
    case kSub:
      return K<kSub>::run;
    case kMul:
      return K<kMul>::run;
    case kDiv:
      return K<kDiv>::run;
    case kMin:
      return K<kMin>::run;
    case kMax:
      return K<kMax>::run;
    default:
      return nullptr;
  }
}

template <template <ElementwiseOp> class K>
PieceFn pick_compare(ElementwiseOp op) {
  using enum ElementwiseOp;
  switch (op) {
    case kEqual:
      return K<kEqual>::run;
    case kLess:
      return K<kLess>::run;
    case kLessEqual:
      return K<kLessEqual>::run;
    case kGreater:
      return K<kGreater>::run;
    case kGreaterEqual:
      return K<kGreaterEqual>::run;
    default:
      return nullptr;
  }
}

}  // namespace
}  // namespace pyrt
