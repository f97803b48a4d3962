// The gemm family: schema and checks. Formula, operands and packing are in gemm.h.
#include "kernels/gemm/gemm.h"

#include <iterator>

#include "kernels/common/prepare-inl.h"

namespace pyrt {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

constexpr AttributeSpec kAttributes[] = {
    {.name = "trans_a", .kind = AttributeKind::kInt},
    {.name = "trans_b", .kind = AttributeKind::kInt},
    {.name = "x_zero_point", .kind = AttributeKind::kInt},
    {.name = "y_zero_point", .kind = AttributeKind::kInt},
    {.name = "residual_zero_point", .kind = AttributeKind::kInt},
    {.name = "q_lo", .kind = AttributeKind::kInt, .default_int = -128},
    {.name = "q_hi", .kind = AttributeKind::kInt, .default_int = 127},
    {.name = "lo", .kind = AttributeKind::kFloat, .default_float = -kInfinity},
    {.name = "hi", .kind = AttributeKind::kFloat, .default_float = kInfinity},
};

constexpr OperandSpec kInputs[] = {
    {.name = "a"},
    {.name = "w", .parameter = true},
    {.name = "bias", .optional = true, .parameter = true},
    {.name = "scale", .optional = true, .parameter = true},
    {.name = "residual", .optional = true},
    {.name = "residual_scale", .optional = true, .parameter = true},
};
constexpr OperandSpec kOutputs[] = {{.name = "y"}};

// The dim of `operand` that lies `back` places before its matrix dims; 1 where it has none.
int64_t batch_dim(const Operand& operand, int back) {
  const int axis = operand.dims.rank - 2 - back;
  return axis >= 0 ? operand.dims.at[axis] : 1;
}

Status prepare_batch(const Problem& problem, GemmParams* params) {
  const Operand& a = problem.inputs[kInputX];
  const Operand& w = problem.inputs[kInputW];
  const Operand& y = problem.outputs[0];
  const int rank = a.dims.rank > w.dims.rank ? a.dims.rank : w.dims.rank;
  const auto mismatch = [&](const char* what) {
    return Status(Code::kShape, std::string("gemm: ") + what + ": a " + dims_text(a.dims) + ", w " +
                                    dims_text(w.dims) + ", y " + dims_text(y.dims));
  };
  if (y.dims.rank != rank) return mismatch("y must have the rank of the larger operand");
  params->batch_rank = rank - 2;
  int64_t a_step = a.dims.at[a.dims.rank - 2] * a.dims.at[a.dims.rank - 1];
  int64_t w_step = w.dims.at[w.dims.rank - 2] * w.dims.at[w.dims.rank - 1];
  bool w_shared = true;
  for (int i = params->batch_rank - 1; i >= 0; --i) {
    const int back = params->batch_rank - 1 - i;
    const int64_t a_dim = batch_dim(a, back + 1);
    const int64_t w_dim = batch_dim(w, back + 1);
    const int64_t y_dim = y.dims.at[i];
    if ((a_dim != y_dim && a_dim != 1) || (w_dim != y_dim && w_dim != 1) ||
        (y_dim != a_dim && y_dim != w_dim)) {
      return mismatch("batch dims do not broadcast");
    }
    params->batch_dims[i] = y_dim;
    params->a_step[i] = a_dim == 1 ? 0 : a_step;
    params->w_step[i] = w_dim == 1 ? 0 : w_step;
    a_step *= a_dim;
    w_step *= w_dim;
    params->batch *= y_dim;
    w_shared = w_shared && w_dim == 1;
  }
  if (w_shared && !params->trans_a) {  // every row of a meets the same w: one tall product
    params->M *= params->batch;
    params->batch = 1;
    params->batch_rank = 0;
  }
  return Status();
}

Status prepare(const Attributes& attributes, Problem& problem) {
  if (!problem.has_input(kInputX) || !problem.has_input(kInputW) || problem.outputs.size() != 1 ||
      !problem.outputs[0].present) {
    return Status(Code::kFormat, "gemm: needs the operands a and w and one output y");
  }
  GemmParams params;
  const Dims& a = problem.inputs[kInputX].dims;
  const Dims& w = problem.inputs[kInputW].dims;
  const Dims& y = problem.outputs[0].dims;
  PYRT_RETURN_IF_ERROR(check_extents("gemm", "a", a));
  PYRT_RETURN_IF_ERROR(check_extents("gemm", "w", w));
  PYRT_RETURN_IF_ERROR(check_extents("gemm", "y", y));
  if (a.rank < 2 || w.rank < 2 || y.rank < 2) {
    return Status(Code::kShape, "gemm: a " + dims_text(a) + ", w " + dims_text(w) + " and y " +
                                    dims_text(y) +
                                    " need at least 2 dims each; reshape vectors to matrices");
  }
  params.trans_a = attributes.integer("trans_a") != 0;
  params.trans_b = attributes.integer("trans_b") != 0;
  params.M = a.at[a.rank - (params.trans_a ? 1 : 2)];
  params.K = a.at[a.rank - (params.trans_a ? 2 : 1)];
  params.N = w.at[w.rank - (params.trans_b ? 2 : 1)];
  const int64_t w_K = w.at[w.rank - (params.trans_b ? 1 : 2)];
  if (w_K != params.K) {
    return Status(Code::kShape, "gemm: a " + dims_text(a) + " has K = " + std::to_string(params.K) +
                                    " but w " + dims_text(w) + " has K = " + std::to_string(w_K) +
                                    "; check trans_a and trans_b");
  }
  if (y.at[y.rank - 2] != params.M || y.at[y.rank - 1] != params.N) {
    return Status(Code::kShape, "gemm: y has dims " + dims_text(y) + " but the product is [.., " +
                                    std::to_string(params.M) + ", " + std::to_string(params.N) +
                                    "]");
  }
  PYRT_RETURN_IF_ERROR(prepare_batch(problem, &params));
  PYRT_RETURN_IF_ERROR(prepare_epilogue("gemm", attributes, problem, params.N, &params.epilogue));
  problem.as<GemmParams>() = params;
  return Status();
}

bool weight_view(const Problem& problem, WeightView* view) {
  const auto& p = problem.as<GemmParams>();
  *view = {.N = p.N, .C = p.K, .columns_first = p.trans_b};
  return p.batch == 1;
}

constexpr Family kFamilies[] = {{.name = "gemm",
                                 .attributes = kAttributes,
                                 .inputs = kInputs,
                                 .outputs = kOutputs,
                                 .prepare = prepare,
                                 .weight_view = weight_view}};

}  // namespace

extern constinit const FamilyTable gemm_families;
constinit const FamilyTable gemm_families{kFamilies, std::size(kFamilies)};

}  // namespace pyrt
