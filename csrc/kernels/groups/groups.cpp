// The gemm_groups family: schema and checks. Formula, operands and packing are in groups.h.
#include "kernels/groups/groups.h"

#include <iterator>

#include "kernels/common/checks.h"

namespace pyrt {
namespace {

constexpr AttributeSpec kAttributes[] = {
    {.name = "bits", .kind = AttributeKind::kInt, .required = true},
    {.name = "group", .kind = AttributeKind::kInt, .required = true},
};
constexpr OperandSpec kInputs[] = {
    {.name = "a"},
    {.name = "w", .parameter = true},
    {.name = "scale", .parameter = true},
    {.name = "zero_point", .optional = true, .parameter = true},
    {.name = "bias", .optional = true, .parameter = true},
};
constexpr OperandSpec kOutputs[] = {{.name = "y"}};

Status check_parameters(const Problem& problem, const GroupsParams& p) {
  const auto dims = [](std::initializer_list<int64_t> sizes) {
    Dims d;
    for (const int64_t size : sizes) d.at[d.rank++] = size;
    return d;
  };
  const Operand& scale = problem.inputs[kGroupsScale];
  PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[kGroupsW], DType::kU8, "w"));
  PYRT_RETURN_IF_ERROR(
      check_dims(problem.inputs[kGroupsW], dims({p.N, p.G, p.group * p.bits / 8}), "w"));
  if (scale.dtype != DType::kF16) PYRT_RETURN_IF_ERROR(check_dtype(scale, DType::kF32, "scale"));
  PYRT_RETURN_IF_ERROR(check_dims(scale, dims({p.N, p.G}), "scale"));
  if (problem.has_input(kGroupsZero)) {
    PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[kGroupsZero], DType::kU8, "zero_point"));
    PYRT_RETURN_IF_ERROR(check_dims(problem.inputs[kGroupsZero], dims({p.N, p.G}), "zero_point"));
  }
  if (problem.has_input(kGroupsBias)) {
    PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[kGroupsBias], DType::kF32, "bias"));
    PYRT_RETURN_IF_ERROR(check_dims(problem.inputs[kGroupsBias], dims({p.N}), "bias"));
  }
  return {};
}

Status prepare(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 3, 5));
  const Dims& a = problem.inputs[kGroupsA].dims;
  const Dims& w = problem.inputs[kGroupsW].dims;
  if (a.rank < 1 || w.rank != 3) {
    return {Code::kShape, "gemm_groups: a " + dims_text(a) + " needs at least one dim and w " +
                              dims_text(w) + " three; compile the model again"};
  }
  const int64_t bits = attributes.integer("bits");
  if (bits != 2 && bits != 4 && bits != 8) {
    return {Code::kUnsupported,
            "gemm_groups: bits is " + std::to_string(bits) + ", must be 2, 4 or 8"};
  }
  GroupsParams p;
  p.bits = static_cast<int32_t>(bits);
  p.group = attributes.integer("group");
  PYRT_RETURN_IF_ERROR(check_range(p.group, kLeastGroup, kLargestGroup, "group"));
  if (p.group % kLeastGroup != 0) {
    return {Code::kUnsupported,
            "gemm_groups: group is " + std::to_string(p.group) + ", must be a multiple of 16"};
  }
  p.K = a[a.rank - 1];
  p.N = w[0];
  p.G = p.K / p.group + (p.K % p.group != 0 ? 1 : 0);
  p.M = 1;
  Dims y = a;
  for (int i = 0; i < a.rank - 1; ++i) p.M *= a[i];
  y.at[a.rank - 1] = p.N;
  PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[kGroupsA], DType::kF32, "a"));
  PYRT_RETURN_IF_ERROR(check_dtype(problem.outputs[0], DType::kF32, "y"));
  PYRT_RETURN_IF_ERROR(check_dims(problem.outputs[0], y, "y"));
  PYRT_RETURN_IF_ERROR(check_parameters(problem, p));
  problem.as<GroupsParams>() = p;
  return {};
}

constexpr Family kFamilies[] = {{.name = "gemm_groups",
                                 .attributes = kAttributes,
                                 .inputs = kInputs,
                                 .outputs = kOutputs,
                                 .prepare = prepare}};

}  // namespace

extern constinit const FamilyTable groups_families;
constinit const FamilyTable groups_families{kFamilies, std::size(kFamilies)};

}  // namespace pyrt
