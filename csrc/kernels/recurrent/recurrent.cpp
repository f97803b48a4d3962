// Schemas and checks of lstm and gru; see recurrent.h for the formulas.
#include "kernels/recurrent/recurrent.h"

#include <iterator>
#include <limits>
#include <string>

#include "kernels/common/checks.h"

namespace pyrt {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Keeps products of two sizes within 64 bits.
constexpr int64_t kMaxSize = int64_t{1} << 24;

Dims dims_of(int64_t a) { return {1, {a}}; }
Dims dims_of(int64_t a, int64_t b) { return {2, {a, b}}; }
Dims dims_of(int64_t a, int64_t b, int64_t c) { return {3, {a, b, c}}; }

Status check_input(const Problem& problem, size_t index, DType dtype, const Dims& dims,
                   const char* name) {
  if (!problem.has_input(index)) return {};
  PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[index], dtype, name));
  return check_dims(problem.inputs[index], dims, name);
}

// What both families have; `gates` per cell.
Status prepare_cells(const Attributes& attributes, const Problem& problem, int64_t gates,
                     RecurrentParams* params) {
  const Operand &x = problem.inputs[kGates], &r = problem.inputs[kRecurrent];
  PYRT_RETURN_IF_ERROR(check_dtype(x, DType::kF32, "input gates"));
  PYRT_RETURN_IF_ERROR(check_dtype(r, DType::kF32, "input r"));
  PYRT_RETURN_IF_ERROR(check_range(x.dims.rank, 3, 3, "the rank of gates"));
  PYRT_RETURN_IF_ERROR(check_range(r.dims.rank, 2, 2, "the rank of r"));
  params->T = x.dims[0];
  params->N = x.dims[1];
  params->H = r.dims[1];
  for (const int64_t size : {params->T, params->N, params->H}) {
    PYRT_RETURN_IF_ERROR(check_range(size, 0, kMaxSize, "a dim of gates or r"));
  }
  const int64_t width = gates * params->H;
  PYRT_RETURN_IF_ERROR(check_dims(x, dims_of(params->T, params->N, width), "input gates"));
  PYRT_RETURN_IF_ERROR(check_dims(r, dims_of(width, params->H), "input r"));
  params->reverse = attributes.integer("reverse") != 0;
  params->clip = static_cast<float>(attributes.real("clip"));
  if (!(params->clip > 0)) {
    return {Code::kFormat, "clip is " + std::to_string(params->clip) + ", must be positive"};
  }
  for (size_t i = 0; i < problem.outputs.size(); ++i) {
    const Operand& y = problem.outputs[i];
    const Dims state = dims_of(params->N, params->H);
    PYRT_RETURN_IF_ERROR(check_dtype(y, DType::kF32, "an output"));
    PYRT_RETURN_IF_ERROR(
        check_dims(y, i == 0 ? dims_of(params->T, params->N, params->H) : state, "an output"));
  }
  return {};
}

Status prepare_lstm(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 2, 6, 3));
  RecurrentParams params;
  PYRT_RETURN_IF_ERROR(prepare_cells(attributes, problem, 4, &params));
  const Dims state = dims_of(params.N, params.H);
  PYRT_RETURN_IF_ERROR(check_input(problem, kLstmH0, DType::kF32, state, "input h0"));
  PYRT_RETURN_IF_ERROR(check_input(problem, kLstmC0, DType::kF32, state, "input c0"));
  PYRT_RETURN_IF_ERROR(
      check_input(problem, kPeepholes, DType::kF32, dims_of(3 * params.H), "input peepholes"));
  PYRT_RETURN_IF_ERROR(
      check_input(problem, kLstmLengths, DType::kS32, dims_of(params.N), "input lengths"));
  params.input_forget = attributes.integer("input_forget") != 0;
  problem.as<RecurrentParams>() = params;
  return {};
}

Status prepare_gru(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 2, 5, 2));
  RecurrentParams params;
  PYRT_RETURN_IF_ERROR(prepare_cells(attributes, problem, 3, &params));
  params.linear_before_reset = attributes.integer("linear_before_reset") != 0;
  if (problem.has_input(kGruBias) && !params.linear_before_reset) {
    return {Code::kFormat, "bias is for linear_before_reset only; add it to the gates"};
  }
  PYRT_RETURN_IF_ERROR(
      check_input(problem, kGruBias, DType::kF32, dims_of(params.H), "input bias"));
  PYRT_RETURN_IF_ERROR(
      check_input(problem, kGruH0, DType::kF32, dims_of(params.N, params.H), "input h0"));
  PYRT_RETURN_IF_ERROR(
      check_input(problem, kGruLengths, DType::kS32, dims_of(params.N), "input lengths"));
  problem.as<RecurrentParams>() = params;
  return {};
}

constexpr OperandSpec kLstmInputs[] = {
    {.name = "gates"},
    {.name = "r", .parameter = true},
    {.name = "h0", .optional = true},
    {.name = "c0", .optional = true},
    {.name = "peepholes", .optional = true, .parameter = true},
    {.name = "lengths", .optional = true},
};
constexpr OperandSpec kLstmOutputs[] = {{.name = "y"}, {.name = "h"}, {.name = "c"}};
constexpr AttributeSpec kLstm[] = {
    {.name = "reverse", .kind = AttributeKind::kInt},
    {.name = "clip", .kind = AttributeKind::kFloat, .default_float = kInfinity},
    {.name = "input_forget", .kind = AttributeKind::kInt},
};
constexpr OperandSpec kGruInputs[] = {
    {.name = "gates"},
    {.name = "r", .parameter = true},
    {.name = "bias", .optional = true, .parameter = true},
    {.name = "h0", .optional = true},
    {.name = "lengths", .optional = true},
};
constexpr OperandSpec kGruOutputs[] = {{.name = "y"}, {.name = "h"}};
constexpr AttributeSpec kGru[] = {
    {.name = "reverse", .kind = AttributeKind::kInt},
    {.name = "clip", .kind = AttributeKind::kFloat, .default_float = kInfinity},
    {.name = "linear_before_reset", .kind = AttributeKind::kInt},
};

bool weight_view(const Problem& problem, WeightView* view) {
  const Dims& r = problem.inputs[kRecurrent].dims;
  *view = {.N = r.at[0], .C = r.at[1]};
  return true;
}

constexpr Family kFamilies[] = {{.name = "gru",
                                 .attributes = kGru,
                                 .inputs = kGruInputs,
                                 .outputs = kGruOutputs,
                                 .prepare = prepare_gru,
                                 .weight_view = weight_view},
                                {.name = "lstm",
                                 .attributes = kLstm,
                                 .inputs = kLstmInputs,
                                 .outputs = kLstmOutputs,
                                 .prepare = prepare_lstm,
                                 .weight_view = weight_view}};

}  // namespace

extern constinit const FamilyTable recurrent_families;
constinit const FamilyTable recurrent_families{kFamilies, std::size(kFamilies)};

}  // namespace pyrt
