// The gemm_sign family: schema and checks. Formula, operands and packing are in sign.h.
#include "kernels/sign/sign.h"

#include <iterator>

#include "kernels/common/checks.h"

namespace pyrt {
namespace {

constexpr OperandSpec kInputs[] = {
    {.name = "a"},
    {.name = "w", .parameter = true},
    {.name = "scale", .parameter = true},
    {.name = "bias", .optional = true, .parameter = true},
};
constexpr OperandSpec kOutputs[] = {{.name = "y"}};

Status prepare(const Attributes&, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 3, 4));
  const Dims& a = problem.inputs[kSignA].dims;
  const Dims& w = problem.inputs[kSignW].dims;
  if (a.rank < 1 || w.rank != 2) {
    return {Code::kShape, "gemm_sign: a " + dims_text(a) + " needs at least one dim and w " +
                              dims_text(w) + " two; compile the model again"};
  }
  SignParams p;
  p.K = a[a.rank - 1];
  p.N = w[0];
  p.M = 1;
  for (int i = 0; i < a.rank - 1; ++i) p.M *= a[i];
  Dims bits{.rank = 2, .at = {p.N, p.K / 8 + (p.K % 8 != 0 ? 1 : 0)}};
  Dims channels{.rank = 1, .at = {p.N}};
  Dims y = a;
  y.at[a.rank - 1] = p.N;
  PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[kSignA], DType::kF32, "a"));
  PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[kSignW], DType::kU8, "w"));
  PYRT_RETURN_IF_ERROR(check_dims(problem.inputs[kSignW], bits, "w"));
  PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[kSignScale], DType::kF32, "scale"));
  PYRT_RETURN_IF_ERROR(check_dims(problem.inputs[kSignScale], channels, "scale"));
  if (problem.has_input(kSignBias)) {
    PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[kSignBias], DType::kF32, "bias"));
    PYRT_RETURN_IF_ERROR(check_dims(problem.inputs[kSignBias], channels, "bias"));
  }
  PYRT_RETURN_IF_ERROR(check_dtype(problem.outputs[0], DType::kF32, "y"));
  PYRT_RETURN_IF_ERROR(check_dims(problem.outputs[0], y, "y"));
  problem.as<SignParams>() = p;
  return {};
}

constexpr Family kFamilies[] = {{.name = "gemm_sign",
                                 .attributes = {},
                                 .inputs = kInputs,
                                 .outputs = kOutputs,
                                 .prepare = prepare}};

}  // namespace

extern constinit const FamilyTable sign_families;
constinit const FamilyTable sign_families{kFamilies, std::size(kFamilies)};

}  // namespace pyrt
