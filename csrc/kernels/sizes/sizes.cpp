// The families of sizes.h: schemas and checks.
#include "kernels/sizes/sizes.h"

#include <iterator>
#include <string>

#include "kernels/common/checks.h"

namespace pyrt {
namespace {

// Whether y takes the whole number `value`; floats round it to nearest.
Status check_holds(DType dtype, int64_t value) {
  constexpr int64_t kLimit = (int64_t{1} << 31) - 1;
  switch (dtype) {
    case DType::kS32:
      if (-kLimit <= value && value <= kLimit) return {};
      return {Code::kShape, std::to_string(value) + " is too large for the s32 output y"};
    case DType::kS64:
    case DType::kF32:
    case DType::kF64:
      return {};
    default:
      return {Code::kDType, "output y is " + std::string(dtype_name(dtype)) +
                                "; it must be s32, s64, f32 or f64"};
  }
}

Status prepare_sizes(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 0, 1));
  const Operand& y = problem.outputs[0];
  const std::span<const int64_t> values = attributes.integers("values");
  if (values.size() > kMaxSizes || static_cast<int64_t>(values.size()) != y.dims.count()) {
    return {Code::kShape, "attribute 'values' has " + std::to_string(values.size()) +
                              " elements, output y " + std::to_string(y.dims.count()) +
                              "; they must be equal and at most 32"};
  }
  SizesParams& params = problem.as<SizesParams>();
  params = {};
  PYRT_RETURN_IF_ERROR(check_holds(y.dtype, 0));
  for (size_t i = 0; i < values.size(); ++i) {
    PYRT_RETURN_IF_ERROR(check_holds(y.dtype, values[i]));
    params.values[i] = values[i];
  }
  return {};
}

Status prepare_range(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 0, 1));
  const Operand& y = problem.outputs[0];
  PYRT_RETURN_IF_ERROR(check_range(y.dims.rank, 1, 1, "the rank of y"));
  RangeParams& params = problem.as<RangeParams>();
  params = {attributes.integer("start"), attributes.integer("step")};
  PYRT_RETURN_IF_ERROR(check_holds(y.dtype, params.start));
  int64_t last = 0;
  if (__builtin_mul_overflow(params.step, y.dims[0], &last) ||
      __builtin_add_overflow(last, params.start, &last)) {
    return {Code::kShape, "the range ends beyond 64 bits"};
  }
  return check_holds(y.dtype, last);
}

constexpr OperandSpec kY[] = {{.name = "y"}};
constexpr AttributeSpec kSizes[] = {
    {.name = "values", .kind = AttributeKind::kInts, .required = true, .default_text = {}}};
constexpr AttributeSpec kRange[] = {
    {.name = "start", .kind = AttributeKind::kInt, .default_text = {}},
    {.name = "step", .kind = AttributeKind::kInt, .default_int = 1, .default_text = {}}};

constexpr Family kFamilies[] = {
    {.name = "range", .attributes = kRange, .inputs = {}, .outputs = kY, .prepare = prepare_range},
    {.name = "sizes", .attributes = kSizes, .inputs = {}, .outputs = kY, .prepare = prepare_sizes},
};

}  // namespace

extern constinit const FamilyTable sizes_families;
constinit const FamilyTable sizes_families{kFamilies, std::size(kFamilies)};

}  // namespace pyrt
