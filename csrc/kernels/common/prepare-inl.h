// Checks that the families with an epilogue share; bind-time code in the baseline ISA, for family
// files only. A Program comes from a file that may lie, so whatever a kernel relies on is checked
// here or in prepare() itself.
#pragma once

#include <cmath>
#include <limits>
#include <string>

#include "base/status.h"
#include "kernels/common/epilogue.h"

namespace pyrt {
namespace {

// Larger dims, strides or paddings than this are refused, so that sums and products of two cannot
// overflow 64 bits.
inline constexpr int64_t kMaxExtent = (int64_t{1} << 31) - 1;

[[maybe_unused]] std::string dims_text(const Dims& dims) {
  std::string text = "[";
  for (int i = 0; i < dims.rank; ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(dims.at[i]);
  }
  return text + "]";
}

[[maybe_unused]] std::string dtype_text(DType dtype) { return std::string(dtype_name(dtype)); }

[[maybe_unused]] Status check_extents(const char* family, const char* name, const Dims& dims) {
  if (dims.rank < 0 || dims.rank > kMaxRank) {
    return Status(Code::kShape, std::string(family) + ": " + name + " has rank " +
                                    std::to_string(dims.rank) + "; at most 8 is supported");
  }
  for (int i = 0; i < dims.rank; ++i) {
    if (dims.at[i] < 0 || dims.at[i] > kMaxExtent) {
      return Status(Code::kShape, std::string(family) + ": " + name + " has dims " +
                                      dims_text(dims) + "; each must be 0 to 2147483647");
    }
  }
  return Status();
}

// An optional integer attribute list: `fallback` everywhere when empty, else exactly `count` values
// in [least, most].
[[maybe_unused]] Status read_list(const char* family, const Attributes& attributes,
                                  std::string_view name, int count, int64_t fallback, int64_t least,
                                  int64_t* out) {
  const std::span<const int64_t> values = attributes.integers(name);
  if (!values.empty() && values.size() != static_cast<size_t>(count)) {
    return Status(Code::kShape, std::string(family) + ": attribute '" + std::string(name) +
                                    "' has " + std::to_string(values.size()) +
                                    " values; give none or " + std::to_string(count));
  }
  for (int i = 0; i < count; ++i) {
    out[i] = values.empty() ? fallback : values[static_cast<size_t>(i)];
    if (out[i] < least || out[i] > kMaxExtent) {
      return Status(Code::kShape, std::string(family) + ": attribute '" + std::string(name) +
                                      "' holds " + std::to_string(out[i]) +
                                      "; each value must be " + std::to_string(least) +
                                      " to 2147483647");
    }
  }
  return Status();
}

[[maybe_unused]] Status read_s8(const char* family, const Attributes& attributes,
                                std::string_view name, int32_t* out) {
  const int64_t value = attributes.integer(name);
  if (value < -128 || value > 127) {
    return Status(Code::kFormat, std::string(family) + ": attribute '" + std::string(name) +
                                     "' is " + std::to_string(value) +
                                     "; it must fit s8, -128 to 127");
  }
  *out = static_cast<int32_t>(value);
  return Status();
}

[[maybe_unused]] Status read_bounds(const char* family, const Attributes& attributes, float* lo,
                                    float* hi) {
  *lo = static_cast<float>(attributes.real("lo"));
  *hi = static_cast<float>(attributes.real("hi"));
  if (!(*lo <= *hi)) {
    return Status(Code::kFormat, std::string(family) + ": bounds lo = " + std::to_string(*lo) +
                                     " and hi = " + std::to_string(*hi) +
                                     " are out of order or NaN; swap them");
  }
  return Status();
}

// A scale operand: f32, `count` elements or one, and where known positive, finite and normal.
[[maybe_unused]] Status check_scale(const char* family, const char* name, const Operand& scale,
                                    int64_t count, bool* per_channel) {
  if (scale.dtype != DType::kF32) {
    return Status(Code::kDType, std::string(family) + ": " + name + " is " +
                                    dtype_text(scale.dtype) + "; it must be f32");
  }
  const int64_t n = scale.dims.count();
  if (scale.dims.rank > 1 || (n != 1 && n != count)) {
    return Status(Code::kShape, std::string(family) + ": " + name + " has dims " +
                                    dims_text(scale.dims) + "; it needs 1 or " +
                                    std::to_string(count) + " elements");
  }
  *per_channel = n != 1;
  if (scale.constant == nullptr) return Status();
  for (int64_t i = 0; i < n; ++i) {
    const float value = static_cast<const float*>(scale.constant)[i];
    if (!(value > 0) || !std::isnormal(value)) {
      return Status(Code::kFormat, std::string(family) + ": " + name + "[" + std::to_string(i) +
                                       "] is " + std::to_string(value) +
                                       "; scales are positive, finite and normal: quantise again");
    }
  }
  return Status();
}

// Reads bias, scale, residual and the attributes of the epilogue for `channels` outputs, after x, w
// and y are known to exist. Families without the quantised attributes do not call it.
[[maybe_unused]] Status prepare_epilogue(const char* family, const Attributes& attributes,
                                         const Problem& problem, int64_t channels,
                                         EpilogueParams* params) {
  const std::string where = std::string(family) + ": ";
  const Operand& x = problem.inputs[kInputX];
  const Operand& w = problem.inputs[kInputW];
  const Operand& y = problem.outputs[0];
  const bool real = x.dtype == DType::kF32 && w.dtype == DType::kF32;
  params->integer = x.dtype == DType::kS8 && w.dtype == DType::kS8;
  if (!real && !params->integer) {
    return Status(Code::kDType, where + "operands are " + dtype_text(x.dtype) + " and " +
                                    dtype_text(w.dtype) + "; both must be f32 or both s8");
  }
  params->has_scale = problem.has_input(kInputScale);
  params->output = y.dtype;
  const bool fits = real ? y.dtype == DType::kF32 && !params->has_scale
                         : (params->has_scale ? y.dtype == DType::kS8 || y.dtype == DType::kF32
                                              : y.dtype == DType::kS32);
  if (!fits) {
    return Status(Code::kDType,
                  where + "output is " + dtype_text(y.dtype) +
                      (params->has_scale ? " with" : " without") + " a scale for " +
                      dtype_text(x.dtype) +
                      " operands; f32 gives f32, s8 gives s32 without and s8 or f32 with a scale");
  }
  if (params->has_scale) {
    PYRT_RETURN_IF_ERROR(
        check_scale(family, "scale", problem.inputs[kInputScale], channels, &params->per_channel));
  }
  if (problem.has_input(kInputBias)) {
    const Operand& bias = problem.inputs[kInputBias];
    if (bias.dtype != (real ? DType::kF32 : DType::kS32)) {
      return Status(Code::kDType, where + "bias is " + dtype_text(bias.dtype) + "; it must be " +
                                      (real ? "f32" : "s32") + " for " + dtype_text(x.dtype) +
                                      " operands");
    }
    if (bias.dims.rank != 1 || bias.dims.at[0] != channels) {
      return Status(Code::kShape, where + "bias has dims " + dims_text(bias.dims) + "; it needs [" +
                                      std::to_string(channels) + "]");
    }
  }
  params->has_residual = problem.has_input(kInputResidual);
  if (params->has_residual) {
    const Operand& residual = problem.inputs[kInputResidual];
    params->residual = residual.dtype;
    const bool s8 = residual.dtype == DType::kS8 && params->has_scale;
    const bool f32 = residual.dtype == DType::kF32 && y.dtype == DType::kF32;
    if (!s8 && !f32) {
      return Status(Code::kDType, where + "residual is " + dtype_text(residual.dtype) +
                                      "; a scaled product takes s8, an f32 output takes f32");
    }
    if (!(residual.dims == y.dims)) {
      return Status(Code::kShape, where + "residual has dims " + dims_text(residual.dims) +
                                      ", the output " + dims_text(y.dims) + "; they must be equal");
    }
    if (s8 != problem.has_input(kInputResidualScale)) {
      return Status(Code::kFormat,
                    where + "an s8 residual needs residual_scale and an f32 one has none");
    }
    if (s8) {
      bool per_channel = false;
      PYRT_RETURN_IF_ERROR(check_scale(family, "residual_scale",
                                       problem.inputs[kInputResidualScale], 1, &per_channel));
    }
  }
  int32_t q_lo = 0;
  int32_t q_hi = 0;
  PYRT_RETURN_IF_ERROR(read_s8(family, attributes, "x_zero_point", &params->x_zero_point));
  PYRT_RETURN_IF_ERROR(read_s8(family, attributes, "y_zero_point", &params->y_zero_point));
  PYRT_RETURN_IF_ERROR(
      read_s8(family, attributes, "residual_zero_point", &params->residual_zero_point));
  PYRT_RETURN_IF_ERROR(read_s8(family, attributes, "q_lo", &q_lo));
  PYRT_RETURN_IF_ERROR(read_s8(family, attributes, "q_hi", &q_hi));
  if (q_lo > q_hi) {
    return Status(Code::kFormat, where + "q_lo = " + std::to_string(q_lo) +
                                     " exceeds q_hi = " + std::to_string(q_hi) + "; swap them");
  }
  if (real) params->x_zero_point = 0;
  params->q_lo = static_cast<float>(q_lo - params->y_zero_point);
  params->q_hi = static_cast<float>(q_hi - params->y_zero_point);
  return read_bounds(family, attributes, &params->lo, &params->hi);
}

}  // namespace
}  // namespace pyrt
