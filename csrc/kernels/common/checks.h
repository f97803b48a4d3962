// What prepare() of the small families shares: operand counts, dtypes and dims, with messages that
// say what is wrong, where, and what to do. Baseline code, at bind time only.
#pragma once

#include <string>

#include "kernels/kernel.h"

namespace pyrt {

inline std::string dims_text(const Dims& dims) {
  std::string text = "[";
  for (int i = 0; i < dims.rank; ++i) text += (i > 0 ? ", " : "") + std::to_string(dims[i]);
  return text + "]";
}

// Inputs [0, required) and all outputs there, none beyond `most`, and ranks and dims within the
// limits.
inline Status check_operands(const Problem& problem, size_t required, size_t most,
                             size_t outputs = 1) {
  if (problem.inputs.size() < required || problem.inputs.size() > most ||
      problem.outputs.size() != outputs) {
    return {Code::kFormat, "the step has " + std::to_string(problem.inputs.size()) +
                               " inputs and " + std::to_string(problem.outputs.size()) +
                               " outputs; it needs " + std::to_string(required) + " to " +
                               std::to_string(most) + " inputs and " + std::to_string(outputs) +
                               " outputs; compile the model again"};
  }
  const auto check = [](const Operand& operand, bool needed, const std::string& name) -> Status {
    if (!operand.present) {
      if (!needed) return {};
      return {Code::kFormat, name + " is absent but required; compile the model again"};
    }
    if (operand.dims.rank < 0 || operand.dims.rank > kMaxRank) {
      return {Code::kUnsupported, name + " has rank " + std::to_string(operand.dims.rank) +
                                      "; at most " + std::to_string(kMaxRank) + " is supported"};
    }
    for (int i = 0; i < operand.dims.rank; ++i) {
      if (operand.dims[i] < 0)
        return {Code::kShape, name + " has a negative dim in " + dims_text(operand.dims)};
    }
    return {};
  };
  for (size_t i = 0; i < problem.inputs.size(); ++i) {
    PYRT_RETURN_IF_ERROR(check(problem.inputs[i], i < required, "input " + std::to_string(i)));
  }
  for (size_t i = 0; i < outputs; ++i) {
    PYRT_RETURN_IF_ERROR(check(problem.outputs[i], true, "output " + std::to_string(i)));
  }
  return {};
}

inline Status check_dtype(const Operand& operand, DType wanted, const char* name) {
  if (operand.dtype == wanted) return {};
  return {Code::kDType, std::string(name) + " is " + std::string(dtype_name(operand.dtype)) +
                            ", must be " + std::string(dtype_name(wanted)) + "; insert a cast"};
}

inline Status check_dims(const Operand& operand, const Dims& wanted, const char* name) {
  if (operand.dims == wanted) return {};
  return {Code::kShape, std::string(name) + " has dims " + dims_text(operand.dims) +
                            ", must have " + dims_text(wanted) +
                            "; compile the model again or check the input shapes"};
}

inline Status check_range(int64_t value, int64_t lo, int64_t hi, const char* name) {
  if (value >= lo && value <= hi) return {};
  return {Code::kFormat, std::string(name) + " is " + std::to_string(value) + ", must be in [" +
                             std::to_string(lo) + ", " + std::to_string(hi) +
                             "]; compile the model again"};
}

// Turns an axis in [-rank, rank) into [0, rank).
inline Status check_axis(int64_t axis, int rank, int* out) {
  PYRT_RETURN_IF_ERROR(check_range(axis, -rank, rank - 1, "axis"));
  *out = static_cast<int>(axis < 0 ? axis + rank : axis);
  return {};
}

// `x` can be broadcast to `y` as numpy does.
inline Status check_broadcast(const Operand& x, const Dims& y, const char* name) {
  bool fits = x.dims.rank <= y.rank;
  for (int i = 0; fits && i < x.dims.rank; ++i) {
    const int64_t dim = x.dims[i];
    fits = dim == 1 || dim == y[i + y.rank - x.dims.rank];
  }
  if (fits) return {};
  return {Code::kShape, std::string(name) + " with dims " + dims_text(x.dims) +
                            " cannot be broadcast to the output " + dims_text(y) +
                            "; make each dim equal or 1"};
}

}  // namespace pyrt
