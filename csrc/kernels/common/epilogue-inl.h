// The epilogue at run time: operands gathered once per run(), then one scalar function per
// accumulator type that is the specification. ISA files add a vector form (epilogue_avx2-inl.h,
// epilogue_avx512-inl.h) that gives the same bytes for integers. Internal linkage throughout: every
// kernel file has its own copy.
#pragma once

#include "kernels/common/epilogue.h"

namespace pyrt {
namespace {

// Bytes of s8 values xor this: from or to the form with an offset of 128.
PYRT_INLINE uint8_t offset_mask(const Operand& operand) {
  return operand.form.offset128 ? 0x80 : 0;
}

// Operands of an epilogue. Indices below: n is the output channel, `at` the element of y (and of
// the residual, which has the same dims and layout).
struct Epilogue {
  EpilogueParams params;
  const void* bias;      // [N] f32 or s32, or null
  const float* scale;    // [N] or [1], or null
  const void* residual;  // like y, or null
  float residual_scale;
  const int32_t*
      column_sums;  // [N] sum_k w[k, n]; null when the kernel subtracts the zero point itself
  int32_t
      x_zero_point;  // what column_sums are multiplied with: includes the 128 of an offset input
  uint8_t residual_mask;  // offset_mask of the residual
  uint8_t y_mask;         // offset_mask of the output
  void* y;
};

[[maybe_unused]] Epilogue make_epilogue(const EpilogueParams& params, const Problem& problem,
                                        const Call& call, const int32_t* column_sums) {
  Epilogue e{};
  e.params = params;
  e.bias = problem.has_input(kInputBias) ? call.inputs[kInputBias] : nullptr;
  e.scale = params.has_scale ? static_cast<const float*>(call.inputs[kInputScale]) : nullptr;
  e.residual = params.has_residual ? call.inputs[kInputResidual] : nullptr;
  const bool scaled = params.has_residual && params.residual == DType::kS8;
  e.residual_scale = scaled ? *static_cast<const float*>(call.inputs[kInputResidualScale]) : 0;
  e.residual_mask = params.has_residual ? offset_mask(problem.inputs[kInputResidual]) : uint8_t{0};
  e.column_sums = column_sums;
  e.x_zero_point = params.x_zero_point + (problem.inputs[kInputX].form.offset128 ? 128 : 0);
  e.y_mask = offset_mask(problem.outputs[0]);
  e.y = call.outputs[0];
  return e;
}

// Round half to even of |f| < 2^22 in the default rounding mode, without a library call: adding 1.5
// * 2^23 leaves no room for a fraction, so the addition itself rounds.
PYRT_INLINE int32_t round_half_even(float f) {
  return static_cast<int32_t>((f + 12582912.0f) - 12582912.0f);
}

// A NaN (scales are finite, so only from a damaged run-time scale) becomes lo; vector code does the
// same.
PYRT_INLINE float clamp_quantized(float f, float lo, float hi) {
  f = f > lo ? f : lo;
  return f < hi ? f : hi;
}

// A NaN passes through.
PYRT_INLINE float clamp_real(float f, float lo, float hi) {
  f = f < lo ? lo : f;
  return f > hi ? hi : f;
}

PYRT_INLINE float residual_term(const Epilogue& e, int64_t at) {
  if (e.params.residual == DType::kF32) return static_cast<const float*>(e.residual)[at];
  const uint8_t byte = static_cast<const uint8_t*>(e.residual)[at] ^ e.residual_mask;
  return static_cast<float>(static_cast<int8_t>(byte) - e.params.residual_zero_point) *
         e.residual_scale;
}

// acc: without bias, and without the zero point's share if column_sums is set.
PYRT_INLINE void finish_s32(const Epilogue& e, uint32_t acc, int64_t n, int64_t at) {
  if (e.bias != nullptr) acc += static_cast<const uint32_t*>(e.bias)[n];
  if (e.column_sums != nullptr) {
    acc -= static_cast<uint32_t>(e.x_zero_point) * static_cast<uint32_t>(e.column_sums[n]);
  }
  if (!e.params.has_scale) {
    static_cast<uint32_t*>(e.y)[at] = acc;
    return;
  }
  float f = static_cast<float>(static_cast<int32_t>(acc)) * e.scale[e.params.per_channel ? n : 0];
  if (e.residual != nullptr) f += residual_term(e, at);
  if (e.params.output == DType::kF32) {
    static_cast<float*>(e.y)[at] = clamp_real(f, e.params.lo, e.params.hi);
    return;
  }
  const int32_t q =
      round_half_even(clamp_quantized(f, e.params.q_lo, e.params.q_hi)) + e.params.y_zero_point;
  static_cast<uint8_t*>(e.y)[at] = static_cast<uint8_t>(static_cast<uint8_t>(q) ^ e.y_mask);
}

PYRT_INLINE void finish_f32(const Epilogue& e, float acc, int64_t n, int64_t at) {
  if (e.bias != nullptr) acc += static_cast<const float*>(e.bias)[n];
  if (e.residual != nullptr) acc += residual_term(e, at);
  static_cast<float*>(e.y)[at] = clamp_real(acc, e.params.lo, e.params.hi);
}

}  // namespace
}  // namespace pyrt
