// Schemas and checks of softmax, layer_norm and group_norm; see normalize.h for the formulas.
#include "kernels/normalize/normalize.h"

#include <cmath>

#include "kernels/common/checks.h"

namespace pyrt {
namespace {

Status check_float_map(const Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[0], DType::kF32, "input x"));
  PYRT_RETURN_IF_ERROR(check_dtype(problem.outputs[0], DType::kF32, "output y"));
  return check_dims(problem.outputs[0], problem.inputs[0].dims, "output y");
}

Status prepare_softmax(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 1, 1));
  PYRT_RETURN_IF_ERROR(check_float_map(problem));
  const Dims& x = problem.inputs[0].dims;
  int axis = 0;
  PYRT_RETURN_IF_ERROR(check_axis(attributes.integer("axis"), x.rank, &axis));
  SoftmaxParams& params = problem.as<SoftmaxParams>();
  params = {};
  for (int i = 0; i < axis; ++i) params.outer *= x[i];
  params.n = x[axis];
  for (int i = axis + 1; i < x.rank; ++i) params.inner *= x[i];
  params.log = attributes.integer("log") != 0;
  return {};
}

// scale and bias, where present, f32 with `count` elements.
Status check_affine(const Problem& problem, int64_t count) {
  const char* const names[] = {"x", "input scale", "input bias"};
  for (size_t i = 1; i < 3; ++i) {
    if (!problem.has_input(i)) continue;
    PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[i], DType::kF32, names[i]));
    PYRT_RETURN_IF_ERROR(check_range(problem.inputs[i].dims.count(), count, count,
                                     (std::string("the size of ") + names[i]).c_str()));
  }
  return {};
}

Status check_epsilon(const Attributes& attributes, float* epsilon) {
  *epsilon = static_cast<float>(attributes.real("epsilon"));
  if (std::isfinite(*epsilon) && *epsilon >= 0) return {};
  return {Code::kFormat,
          "epsilon is " + std::to_string(*epsilon) + ", must be finite and not negative"};
}

Status prepare_layer_norm(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 1, 3));
  PYRT_RETURN_IF_ERROR(check_float_map(problem));
  const Dims& x = problem.inputs[0].dims;
  int axis = 0;
  PYRT_RETURN_IF_ERROR(check_axis(attributes.integer("axis"), x.rank, &axis));
  NormParams& params = problem.as<NormParams>();
  params = {};
  for (int i = 0; i < axis; ++i) params.rows *= x[i];
  for (int i = axis; i < x.rank; ++i) params.n *= x[i];
  PYRT_RETURN_IF_ERROR(check_epsilon(attributes, &params.epsilon));
  return check_affine(problem, params.n);
}

Status prepare_group_norm(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 1, 3));
  PYRT_RETURN_IF_ERROR(check_float_map(problem));
  const Dims& x = problem.inputs[0].dims;
  PYRT_RETURN_IF_ERROR(check_range(x.rank, 2, kMaxRank, "the rank of x"));
  const int64_t groups = attributes.integer("groups"), channels = x[1];
  PYRT_RETURN_IF_ERROR(check_range(groups, 1, channels > 0 ? channels : 1, "groups"));
  PYRT_RETURN_IF_ERROR(check_range(channels % groups, 0, 0, "the remainder of channels by groups"));
  NormParams& params = problem.as<NormParams>();
  params = {};
  params.groups = groups;
  params.rows = x[0] * groups;
  for (int i = 2; i < x.rank; ++i) params.run *= x[i];
  params.n = channels / groups * params.run;
  PYRT_RETURN_IF_ERROR(check_epsilon(attributes, &params.epsilon));
  return check_affine(problem, channels);
}

constexpr OperandSpec kX[] = {{.name = "x"}};
constexpr OperandSpec kAffine[] = {{.name = "x"},
                                   {.name = "scale", .optional = true, .parameter = true},
                                   {.name = "bias", .optional = true, .parameter = true}};
constexpr OperandSpec kY[] = {{.name = "y"}};
constexpr AttributeSpec kSoftmax[] = {
    {.name = "axis", .kind = AttributeKind::kInt, .default_int = -1, .default_text = {}},
    {.name = "log", .kind = AttributeKind::kInt, .default_text = {}}};
constexpr AttributeSpec kLayerNorm[] = {
    {.name = "axis", .kind = AttributeKind::kInt, .default_int = -1, .default_text = {}},
    {.name = "epsilon", .kind = AttributeKind::kFloat, .default_float = 1e-5, .default_text = {}}};
constexpr AttributeSpec kGroupNorm[] = {
    {.name = "groups", .kind = AttributeKind::kInt, .required = true, .default_text = {}},
    {.name = "epsilon", .kind = AttributeKind::kFloat, .default_float = 1e-5, .default_text = {}}};

constexpr Family kFamilies[] = {
    {.name = "softmax",
     .attributes = kSoftmax,
     .inputs = kX,
     .outputs = kY,
     .prepare = prepare_softmax},
    {.name = "layer_norm",
     .attributes = kLayerNorm,
     .inputs = kAffine,
     .outputs = kY,
     .prepare = prepare_layer_norm},
    {.name = "group_norm",
     .attributes = kGroupNorm,
     .inputs = kAffine,
     .outputs = kY,
     .prepare = prepare_group_norm},
};

}  // namespace

extern constinit const FamilyTable normalize_families;
constinit const FamilyTable normalize_families{kFamilies, std::size(kFamilies)};

}  // namespace pyrt
