// elementwise: y = op(a), op(a, b) or op(a, b, c) per element, operands broadcast as numpy does.
// qelementwise: the same for s8 operands with scales (add, mul), by the numerics contract:
//   add  f = float(a - a_zp) * a_scale + float(b - b_zp) * b_scale     (scales already divided by
//   that of y) mul  f = float((a - a_zp) * (b - b_zp)) * a_scale q = round_half_even(min(max(f,
//   q_lo - y_zp), q_hi - y_zp)) + y_zp
//
// f32 operations of one IEEE rounding, comparisons and integers are class E; those that need a
// polynomial or a written order are class D (common/canonical_math-inl.h). A NaN operand gives NaN,
// also through min, max, clip and relu; of +0 and -0 min and max take the first operand. Integers
// wrap; division by zero gives 0. y may be the same buffer as an input of the same dims, dtype and
// form; it must not overlap one otherwise.
#pragma once

#include "kernels/kernel.h"

namespace pyrt {

enum class ElementwiseOp : uint8_t {
  // unary f32, E
  kNeg,
  kAbs,
  kSqrt,
  kReciprocal,
  kFloor,
  kCeil,
  kRound,
  kSign,
  kRelu,
  kClip,
  kLeakyRelu,
  // unary f32, D
  kExp,
  kLog,
  kTanh,
  kSigmoid,
  kErf,
  kGelu,
  kGeluTanh,
  kSilu,
  kHardSigmoid,
  kHardSwish,
  kElu,
  kSoftplus,
  kSin,
  kCos,
  // unary bool
  kNot,
  // binary
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMin,
  kMax,
  kPow,
  kPrelu,
  kEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kAnd,
  kOr,
  kXor,
  // ternary
  kWhere,
};

struct ElementwiseParams {
  ElementwiseOp op = ElementwiseOp::kNeg;
  int arity = 1;
  bool canonical = false;     // class D
  DType dtype = DType::kF32;  // of the operands (of a and b for where)
  float alpha = 0, beta = 0;  // clip: lo and hi
};

struct QElementwiseParams {
  bool multiply = false;
  int32_t a_zero_point = 0, b_zero_point = 0, y_zero_point = 0;
  float lo = 0, hi = 0;  // bounds of f: q_lo - y_zero_point, q_hi - y_zero_point
};

}  // namespace pyrt
