// Schemas and checks of reduce and arg_reduce; see reduce.h for the formulas.
#include "kernels/reduce/reduce.h"

#include "kernels/common/checks.h"

namespace pyrt {
namespace {

constexpr std::string_view kOps[] = {"sum", "mean", "max",        "min",        "prod",
                                     "l1",  "l2",   "sum_square", "log_sum_exp"};

// y has the dims of x without the reduced axes, or with 1 in their place; kept[i] is the axis of x
// that axis i of y is.
Status check_reduced_dims(const Dims& x, const Dims& y, uint32_t axes, int kept[kMaxRank]) {
  const auto reduced = [axes](int axis) { return (axes >> axis & 1) != 0; };
  Dims dropped, ones = x;
  for (int i = 0; i < x.rank; ++i) {
    if (reduced(i)) {
      ones.at[i] = 1;
    } else {
      dropped.at[dropped.rank++] = x[i];
    }
  }
  if (y == ones) {
    for (int i = 0; i < x.rank; ++i) kept[i] = i;
    return {};
  }
  if (y == dropped) {
    int at = 0;
    for (int i = 0; i < x.rank; ++i) {
      if (!reduced(i)) kept[at++] = i;
    }
    return {};
  }
  return {Code::kShape, "output y has dims " + dims_text(y) + ", must have " + dims_text(ones) +
                            " or " + dims_text(dropped) +
                            "; compile the model again or check the input shapes"};
}

Status prepare_reduce(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 1, 1));
  const Operand &x = problem.inputs[0], &y = problem.outputs[0];
  ReduceParams& params = problem.as<ReduceParams>();
  params = {};
  const std::string_view op = attributes.text("op");
  int found = -1;
  for (int i = 0; i < static_cast<int>(std::size(kOps)); ++i) {
    if (kOps[i] == op) found = i;
  }
  if (found < 0)
    return {Code::kUnsupported, "op '" + std::string(op) + "' is not known; update pyruntime"};
  params.op = static_cast<ReduceOp>(found);
  const bool on_integers = op == "sum" || op == "max" || op == "min";
  if (!(on_integers && (x.dtype == DType::kS32 || x.dtype == DType::kS64))) {
    PYRT_RETURN_IF_ERROR(check_dtype(x, DType::kF32, "input x"));
  }
  PYRT_RETURN_IF_ERROR(check_dtype(y, x.dtype, "output y"));
  for (const int64_t named : attributes.integers("axes")) {
    int axis = 0;
    PYRT_RETURN_IF_ERROR(check_axis(named, x.dims.rank, &axis));
    params.axes |= 1u << axis;
  }
  if (attributes.integers("axes").empty()) params.axes = (1u << x.dims.rank) - 1;
  for (int i = 0; i < x.dims.rank; ++i) {
    if ((params.axes >> i & 1) != 0) params.n *= x.dims[i];
  }
  PYRT_RETURN_IF_ERROR(check_reduced_dims(x.dims, y.dims, params.axes, params.kept));
  if (params.n == 0 && x.dtype != DType::kF32 && op != "sum") {
    return {Code::kShape,
            "op '" + std::string(op) + "' of no integers has no value; check the input shapes"};
  }
  return {};
}

Status prepare_arg_reduce(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 1, 1));
  const Operand &x = problem.inputs[0], &y = problem.outputs[0];
  const std::string_view op = attributes.text("op");
  if (op != "max" && op != "min") {
    return {Code::kUnsupported, "op '" + std::string(op) + "' is not known; update pyruntime"};
  }
  if (x.dtype != DType::kS32 && x.dtype != DType::kS64) {
    PYRT_RETURN_IF_ERROR(check_dtype(x, DType::kF32, "input x"));
  }
  PYRT_RETURN_IF_ERROR(check_dtype(y, DType::kS64, "output y"));
  int axis = 0;
  PYRT_RETURN_IF_ERROR(check_axis(attributes.integer("axis"), x.dims.rank, &axis));
  int kept[kMaxRank] = {};
  PYRT_RETURN_IF_ERROR(check_reduced_dims(x.dims, y.dims, 1u << axis, kept));
  ArgReduceParams& params = problem.as<ArgReduceParams>();
  params = {};
  params.least = op == "min";
  params.select_last = attributes.integer("select_last") != 0;
  for (int i = 0; i < axis; ++i) params.outer *= x.dims[i];
  params.n = x.dims[axis];
  for (int i = axis + 1; i < x.dims.rank; ++i) params.inner *= x.dims[i];
  if (params.n == 0 && y.dims.count() > 0) {
    return {Code::kShape, "no position along an axis of 0 elements; check the input shapes"};
  }
  return {};
}

constexpr OperandSpec kX[] = {{.name = "x"}};
constexpr OperandSpec kY[] = {{.name = "y"}};
constexpr AttributeSpec kReduce[] = {
    {.name = "op", .kind = AttributeKind::kText, .required = true, .default_text = {}},
    {.name = "axes", .kind = AttributeKind::kInts, .default_text = {}}};
constexpr AttributeSpec kArgReduce[] = {
    {.name = "op", .kind = AttributeKind::kText, .required = true, .default_text = {}},
    {.name = "axis", .kind = AttributeKind::kInt, .required = true, .default_text = {}},
    {.name = "select_last", .kind = AttributeKind::kInt, .default_text = {}}};

constexpr Family kFamilies[] = {
    {.name = "arg_reduce",
     .attributes = kArgReduce,
     .inputs = kX,
     .outputs = kY,
     .prepare = prepare_arg_reduce},
    {.name = "reduce",
     .attributes = kReduce,
     .inputs = kX,
     .outputs = kY,
     .prepare = prepare_reduce},
};

}  // namespace

extern constinit const FamilyTable reduce_families;
constinit const FamilyTable reduce_families{kFamilies, std::size(kFamilies)};

}  // namespace pyrt
