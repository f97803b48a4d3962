// Schemas and checks of the families between real and 8-bit values; see quantize.h for the
// formulas.
#include "kernels/quantize/quantize.h"

#include "kernels/common/checks.h"

namespace pyrt {
namespace {

Status check_same_dims(const Problem& problem) {
  return check_dims(problem.outputs[0], problem.inputs[0].dims, "output y");
}

// Scales that are known must be finite, normal and positive: a zero or NaN scale would poison the
// model silently.
Status check_scale(const Operand& scale) {
  PYRT_RETURN_IF_ERROR(check_dtype(scale, DType::kF32, "input scale"));
  if (scale.constant == nullptr) return {};
  for (int64_t i = 0; i < scale.dims.count(); ++i) {
    const float value = static_cast<const float*>(scale.constant)[i];
    if (!(value >= 1.17549435e-38f && value <= 3.40282347e+38f)) {
      return {Code::kFormat, "scale " + std::to_string(i) + " is " + std::to_string(value) +
                                 ", must be finite, normal and positive; quantize the model again"};
    }
  }
  return {};
}

// The axis of per-channel scales and the zero point, one for all channels.
Status prepare_channels(const Attributes& attributes, Problem& problem, int64_t least, int64_t most,
                        int* axis, int32_t* zero_point) {
  const Operand &x = problem.inputs[0], &scale = problem.inputs[1];
  PYRT_RETURN_IF_ERROR(check_scale(scale));
  PYRT_RETURN_IF_ERROR(check_same_dims(problem));
  const int64_t scales = scale.dims.count();
  *axis = -1;
  if (scales != 1) {
    PYRT_RETURN_IF_ERROR(check_axis(attributes.integer("axis"), x.dims.rank, axis));
    PYRT_RETURN_IF_ERROR(check_range(scales, x.dims[*axis], x.dims[*axis], "the number of scales"));
  }
  const std::span<const int64_t> zero_points = attributes.integers("zero_point");
  const int64_t count = static_cast<int64_t>(zero_points.size());
  if (count > 1)
    PYRT_RETURN_IF_ERROR(check_range(count, scales, scales, "the number of zero points"));
  *zero_point = 0;
  for (size_t i = 0; i < zero_points.size(); ++i) {
    PYRT_RETURN_IF_ERROR(check_range(zero_points[i], least, most, "zero_point"));
    if (zero_points[i] != zero_points[0]) {
      return {Code::kUnsupported,
              "zero points that differ between channels; quantize the tensor with one zero point, "
              "or use a host step"};
    }
    *zero_point = static_cast<int32_t>(zero_points[0]);
  }
  return {};
}

Status prepare_quantize(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 2, 2));
  PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[0], DType::kF32, "input x"));
  PYRT_RETURN_IF_ERROR(check_dtype(problem.outputs[0], DType::kS8, "output y"));
  QuantizeParams& params = problem.as<QuantizeParams>();
  params = {};
  PYRT_RETURN_IF_ERROR(
      prepare_channels(attributes, problem, -128, 127, &params.axis, &params.y_zero_point));
  const int64_t q_lo = attributes.integer("q_lo"), q_hi = attributes.integer("q_hi");
  PYRT_RETURN_IF_ERROR(check_range(q_hi, -128, 127, "q_hi"));
  PYRT_RETURN_IF_ERROR(check_range(q_lo, -128, q_hi, "q_lo"));
  params.lo = static_cast<float>(q_lo - params.y_zero_point);
  params.hi = static_cast<float>(q_hi - params.y_zero_point);
  return {};
}

Status prepare_dequantize(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 2, 2));
  const DType dtype = problem.inputs[0].dtype;
  if (dtype != DType::kS32)
    PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[0], DType::kS8, "input x"));
  PYRT_RETURN_IF_ERROR(check_dtype(problem.outputs[0], DType::kF32, "output y"));
  QuantizeParams& params = problem.as<QuantizeParams>();
  params = {};
  const bool wide = dtype == DType::kS32;
  return prepare_channels(attributes, problem, wide ? INT32_MIN : -128, wide ? INT32_MAX : 127,
                          &params.axis, &params.x_zero_point);
}

Status prepare_requantize(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 2, 2));
  PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[0], DType::kS8, "input x"));
  PYRT_RETURN_IF_ERROR(check_dtype(problem.outputs[0], DType::kS8, "output y"));
  PYRT_RETURN_IF_ERROR(check_same_dims(problem));
  PYRT_RETURN_IF_ERROR(check_scale(problem.inputs[1]));
  PYRT_RETURN_IF_ERROR(check_range(problem.inputs[1].dims.count(), 1, 1, "the number of scales"));
  const int64_t x_zp = attributes.integer("x_zero_point"),
                y_zp = attributes.integer("y_zero_point");
  PYRT_RETURN_IF_ERROR(check_range(x_zp, -128, 127, "x_zero_point"));
  PYRT_RETURN_IF_ERROR(check_range(y_zp, -128, 127, "y_zero_point"));
  QuantizeParams& params = problem.as<QuantizeParams>();
  params = {};
  params.x_zero_point = static_cast<int32_t>(x_zp);
  params.y_zero_point = static_cast<int32_t>(y_zp);
  params.lo = static_cast<float>(-128 - y_zp);
  params.hi = static_cast<float>(127 - y_zp);
  return {};
}

Status prepare_lookup(const Attributes&, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 2, 2));
  PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[0], DType::kS8, "input x"));
  PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[1], DType::kS8, "input table"));
  PYRT_RETURN_IF_ERROR(check_dtype(problem.outputs[0], DType::kS8, "output y"));
  PYRT_RETURN_IF_ERROR(
      check_range(problem.inputs[1].dims.count(), 256, 256, "the size of the table"));
  return check_same_dims(problem);
}

Status prepare_cast_sign(const Attributes&, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 1, 1));
  const bool to_signed = problem.inputs[0].dtype == DType::kU8;
  PYRT_RETURN_IF_ERROR(
      check_dtype(problem.inputs[0], to_signed ? DType::kU8 : DType::kS8, "input x"));
  PYRT_RETURN_IF_ERROR(
      check_dtype(problem.outputs[0], to_signed ? DType::kS8 : DType::kU8, "output y"));
  return check_same_dims(problem);
}

Status prepare_dynamic(const Attributes&, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 1, 1, 3));
  PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[0], DType::kF32, "input x"));
  PYRT_RETURN_IF_ERROR(check_dtype(problem.outputs[0], DType::kU8, "output y"));
  PYRT_RETURN_IF_ERROR(check_dtype(problem.outputs[1], DType::kF32, "output scale"));
  PYRT_RETURN_IF_ERROR(check_dtype(problem.outputs[2], DType::kU8, "output zero_point"));
  PYRT_RETURN_IF_ERROR(check_range(problem.outputs[1].dims.count(), 1, 1, "the number of scales"));
  PYRT_RETURN_IF_ERROR(
      check_range(problem.outputs[2].dims.count(), 1, 1, "the number of zero points"));
  return check_same_dims(problem);
}

constexpr OperandSpec kX[] = {{.name = "x"}};
constexpr OperandSpec kXScale[] = {{.name = "x"}, {.name = "scale", .parameter = true}};
constexpr OperandSpec kXTable[] = {{.name = "x"}, {.name = "table", .parameter = true}};
constexpr OperandSpec kY[] = {{.name = "y"}};
constexpr OperandSpec kDynamicOutputs[] = {
    {.name = "y"}, {.name = "scale"}, {.name = "zero_point"}};

constexpr AttributeSpec kDequantize[] = {
    {.name = "axis", .kind = AttributeKind::kInt, .default_int = 1, .default_text = {}},
    {.name = "zero_point", .kind = AttributeKind::kInts, .default_text = {}},
};
constexpr AttributeSpec kQuantize[] = {
    {.name = "axis", .kind = AttributeKind::kInt, .default_int = 1, .default_text = {}},
    {.name = "zero_point", .kind = AttributeKind::kInts, .default_text = {}},
    {.name = "q_lo", .kind = AttributeKind::kInt, .default_int = -128, .default_text = {}},
    {.name = "q_hi", .kind = AttributeKind::kInt, .default_int = 127, .default_text = {}},
};
constexpr AttributeSpec kRequantize[] = {
    {.name = "x_zero_point", .kind = AttributeKind::kInt, .default_text = {}},
    {.name = "y_zero_point", .kind = AttributeKind::kInt, .default_text = {}},
};

constexpr Family kFamilies[] = {
    {.name = "lookup",
     .attributes = {},
     .inputs = kXTable,
     .outputs = kY,
     .prepare = prepare_lookup},
    {.name = "quantize",
     .attributes = kQuantize,
     .inputs = kXScale,
     .outputs = kY,
     .prepare = prepare_quantize},
    {.name = "dequantize",
     .attributes = kDequantize,
     .inputs = kXScale,
     .outputs = kY,
     .prepare = prepare_dequantize},
    {.name = "requantize",
     .attributes = kRequantize,
     .inputs = kXScale,
     .outputs = kY,
     .prepare = prepare_requantize},
    {.name = "cast_sign",
     .attributes = {},
     .inputs = kX,
     .outputs = kY,
     .prepare = prepare_cast_sign},
    {.name = "dynamic_quantize",
     .attributes = {},
     .inputs = kX,
     .outputs = kDynamicOutputs,
     .prepare = prepare_dynamic},
};

}  // namespace

extern constinit const FamilyTable quantize_families;
constinit const FamilyTable quantize_families{kFamilies, std::size(kFamilies)};

}  // namespace pyrt
