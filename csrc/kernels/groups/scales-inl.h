// Scales of gemm_groups as they are stored: f32 or f16.
#pragma once

#include "kernels/groups/groups.h"

namespace pyrt {
namespace {

// Exact.
PYRT_INLINE float widen_half(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 31u, fraction = half & 1023u;
  if (exponent == 0) {
    const float small = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -small : small;
  }
  const uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return __builtin_bit_cast(float, sign | wide << 23 | fraction << 13);
}

// Whether `value` is an f16, and which. NaN is none: its payload need not fit.
PYRT_INLINE bool narrow_half(float value, uint16_t* half) {
  const auto bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t sign = bits >> 16 & 0x8000u, exponent = bits >> 23 & 255u;
  uint32_t magnitude = 0;
  if (exponent >= 113 && exponent <= 142) {
    magnitude = (exponent - 112) << 10 | (bits >> 13 & 1023u);
  } else if (exponent >= 103 && exponent < 113) {  // a subnormal half
    magnitude = ((bits & 0x7fffffu) | 0x800000u) >> (126 - exponent);
  }
  *half = static_cast<uint16_t>(sign | magnitude);
  return __builtin_bit_cast(uint32_t, widen_half(*half)) == bits;
}

// Element `at` of the operand.
PYRT_INLINE float group_scale(const Problem& problem, const void* scales, int64_t at) {
  if (problem.inputs[kGroupsScale].dtype == DType::kF16) {
    return widen_half(static_cast<const uint16_t*>(scales)[at]);
  }
  return static_cast<const float*>(scales)[at];
}

}  // namespace
}  // namespace pyrt
