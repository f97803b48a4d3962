// Schemas and checks of the families elementwise and qelementwise; see elementwise.h for the
// formulas.
#include "kernels/elementwise/elementwise.h"

#include "kernels/common/checks.h"

namespace pyrt {
namespace {

// Dtypes an operation takes.
constexpr unsigned kF = 1, kI32 = 2, kI64 = 4, kB = 8, kAny = 16;

struct OpInfo {
  std::string_view name;
  ElementwiseOp op;
  int arity;
  unsigned dtypes;
  bool canonical = false;
  bool to_bool = false;
};

constexpr OpInfo kOps[] = {
    {"neg", ElementwiseOp::kNeg, 1, kF},
    {"abs", ElementwiseOp::kAbs, 1, kF},
    {"sqrt", ElementwiseOp::kSqrt, 1, kF},
    {"reciprocal", ElementwiseOp::kReciprocal, 1, kF},
    {"floor", ElementwiseOp::kFloor, 1, kF},
    {"ceil", ElementwiseOp::kCeil, 1, kF},
    {"round", ElementwiseOp::kRound, 1, kF},
    {"sign", ElementwiseOp::kSign, 1, kF},
    {"relu", ElementwiseOp::kRelu, 1, kF},
    {"clip", ElementwiseOp::kClip, 1, kF},
    {"leaky_relu", ElementwiseOp::kLeakyRelu, 1, kF},
    {"exp", ElementwiseOp::kExp, 1, kF, true},
    {"log", ElementwiseOp::kLog, 1, kF, true},
    {"tanh", ElementwiseOp::kTanh, 1, kF, true},
    {"sigmoid", ElementwiseOp::kSigmoid, 1, kF, true},
    {"erf", ElementwiseOp::kErf, 1, kF, true},
    {"gelu", ElementwiseOp::kGelu, 1, kF, true},
    {"gelu_tanh", ElementwiseOp::kGeluTanh, 1, kF, true},
    {"silu", ElementwiseOp::kSilu, 1, kF, true},
    {"hard_sigmoid", ElementwiseOp::kHardSigmoid, 1, kF, true},
    {"hard_swish", ElementwiseOp::kHardSwish, 1, kF, true},
    {"elu", ElementwiseOp::kElu, 1, kF, true},
    {"softplus", ElementwiseOp::kSoftplus, 1, kF, true},
    {"sin", ElementwiseOp::kSin, 1, kF, true},
    {"cos", ElementwiseOp::kCos, 1, kF, true},
    {"not", ElementwiseOp::kNot, 1, kB, false, true},
    {"add", ElementwiseOp::kAdd, 2, kF | kI32 | kI64},
    {"sub", ElementwiseOp::kSub, 2, kF | kI32 | kI64},
    {"mul", ElementwiseOp::kMul, 2, kF | kI32 | kI64},
    {"div", ElementwiseOp::kDiv, 2, kF | kI32 | kI64},
    {"min", ElementwiseOp::kMin, 2, kF | kI32 | kI64},
    {"max", ElementwiseOp::kMax, 2, kF | kI32 | kI64},
    {"pow", ElementwiseOp::kPow, 2, kF, true},
    {"prelu", ElementwiseOp::kPrelu, 2, kF},
    {"equal", ElementwiseOp::kEqual, 2, kF | kI32 | kI64 | kB, false, true},
    {"less", ElementwiseOp::kLess, 2, kF | kI32 | kI64, false, true},
    {"less_equal", ElementwiseOp::kLessEqual, 2, kF | kI32 | kI64, false, true},
    {"greater", ElementwiseOp::kGreater, 2, kF | kI32 | kI64, false, true},
    {"greater_equal", ElementwiseOp::kGreaterEqual, 2, kF | kI32 | kI64, false, true},
    {"and", ElementwiseOp::kAnd, 2, kB, false, true},
    {"or", ElementwiseOp::kOr, 2, kB, false, true},
    {"xor", ElementwiseOp::kXor, 2, kB, false, true},
    {"where", ElementwiseOp::kWhere, 3, kAny},
};

bool takes(const OpInfo& info, DType dtype) {
  if ((info.dtypes & kAny) != 0) return true;
  switch (dtype) {
    case DType::kF32:
      return (info.dtypes & kF) != 0;
    case DType::kS32:
      return (info.dtypes & kI32) != 0;
    case DType::kS64:
      return (info.dtypes & kI64) != 0;
    case DType::kBool:
      return (info.dtypes & kB) != 0;
    default:
      return false;
  }
}

Status prepare(const Attributes& attributes, Problem& problem) {
  const std::string_view name = attributes.text("op");
  const OpInfo* info = nullptr;
  for (const OpInfo& candidate : kOps) {
    if (candidate.name == name) info = &candidate;
  }
  if (info == nullptr) {
    return {Code::kUnsupported, "op '" + std::string(name) + "' is not known; update pyruntime"};
  }
  const size_t arity = static_cast<size_t>(info->arity);
  PYRT_RETURN_IF_ERROR(check_operands(problem, arity, arity).at("op '" + std::string(name) + "'"));
  const Operand& y = problem.outputs[0];
  const bool where = info->op == ElementwiseOp::kWhere;
  if (where) PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[0], DType::kBool, "the condition"));
  const DType dtype = problem.inputs[where ? 1 : 0].dtype;
  if (!takes(*info, dtype)) {
    return {Code::kDType, "op '" + std::string(name) + "' does not take " +
                              std::string(dtype_name(dtype)) + "; insert a cast"};
  }
  for (size_t i = 0; i < arity; ++i) {
    const std::string label = "input " + std::to_string(i);
    if (!(where && i == 0))
      PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[i], dtype, label.c_str()));
    PYRT_RETURN_IF_ERROR(check_broadcast(problem.inputs[i], y.dims, label.c_str()));
  }
  PYRT_RETURN_IF_ERROR(check_dtype(y, info->to_bool ? DType::kBool : dtype, "the output"));
  ElementwiseParams& params = problem.as<ElementwiseParams>();
  params.op = info->op;
  params.arity = info->arity;
  params.canonical = info->canonical;
  params.dtype = dtype;
  params.alpha = static_cast<float>(attributes.real("alpha"));
  params.beta = static_cast<float>(attributes.real("beta"));
  return {};
}

Status prepare_quantized(const Attributes& attributes, Problem& problem) {
  const std::string_view op = attributes.text("op");
  if (op != "add" && op != "mul") {
    return {Code::kUnsupported,
            "op '" + std::string(op) + "' is not known for s8; dequantize first"};
  }
  PYRT_RETURN_IF_ERROR(check_operands(problem, 4, 4));
  const Operand& y = problem.outputs[0];
  const char* const names[] = {"input a", "input b", "input a_scale", "input b_scale"};
  for (size_t i = 0; i < 2; ++i) {
    PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[i], DType::kS8, names[i]));
    PYRT_RETURN_IF_ERROR(check_broadcast(problem.inputs[i], y.dims, names[i]));
  }
  for (size_t i = 2; i < 4; ++i) {
    PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[i], DType::kF32, names[i]));
    PYRT_RETURN_IF_ERROR(check_range(problem.inputs[i].dims.count(), 1, 1, "the number of scales"));
  }
  PYRT_RETURN_IF_ERROR(check_dtype(y, DType::kS8, "output y"));
  const int64_t a_zp = attributes.integer("a_zero_point"),
                b_zp = attributes.integer("b_zero_point");
  const int64_t y_zp = attributes.integer("y_zero_point");
  const int64_t q_lo = attributes.integer("q_lo"), q_hi = attributes.integer("q_hi");
  PYRT_RETURN_IF_ERROR(check_range(a_zp, -128, 127, "a_zero_point"));
  PYRT_RETURN_IF_ERROR(check_range(b_zp, -128, 127, "b_zero_point"));
  PYRT_RETURN_IF_ERROR(check_range(y_zp, -128, 127, "y_zero_point"));
  PYRT_RETURN_IF_ERROR(check_range(q_hi, -128, 127, "q_hi"));
  PYRT_RETURN_IF_ERROR(check_range(q_lo, -128, q_hi, "q_lo"));
  QElementwiseParams& params = problem.as<QElementwiseParams>();
  params.multiply = op == "mul";
  params.a_zero_point = static_cast<int32_t>(a_zp);
  params.b_zero_point = static_cast<int32_t>(b_zp);
  params.y_zero_point = static_cast<int32_t>(y_zp);
  params.lo = static_cast<float>(q_lo - y_zp);
  params.hi = static_cast<float>(q_hi - y_zp);
  return {};
}

constexpr AttributeSpec kAttributes[] = {
    {.name = "op", .kind = AttributeKind::kText, .required = true, .default_text = {}},
    {.name = "alpha", .kind = AttributeKind::kFloat, .default_text = {}},
    {.name = "beta", .kind = AttributeKind::kFloat, .default_text = {}},
};
constexpr OperandSpec kInputs[] = {{.name = "a", .variadic = true}};
constexpr OperandSpec kOutputs[] = {{.name = "y"}};

constexpr AttributeSpec kQuantizedAttributes[] = {
    {.name = "op", .kind = AttributeKind::kText, .required = true, .default_text = {}},
    {.name = "a_zero_point", .kind = AttributeKind::kInt, .default_text = {}},
    {.name = "b_zero_point", .kind = AttributeKind::kInt, .default_text = {}},
    {.name = "y_zero_point", .kind = AttributeKind::kInt, .default_text = {}},
    {.name = "q_lo", .kind = AttributeKind::kInt, .default_int = -128, .default_text = {}},
    {.name = "q_hi", .kind = AttributeKind::kInt, .default_int = 127, .default_text = {}},
};
constexpr OperandSpec kQuantizedInputs[] = {{.name = "a"},
                                            {.name = "b"},
                                            {.name = "a_scale", .parameter = true},
                                            {.name = "b_scale", .parameter = true}};

constexpr Family kFamilies[] = {
    {.name = "elementwise",
     .attributes = kAttributes,
     .inputs = kInputs,
     .outputs = kOutputs,
     .prepare = prepare},
    {.name = "qelementwise",
     .attributes = kQuantizedAttributes,
     .inputs = kQuantizedInputs,
     .outputs = kOutputs,
     .prepare = prepare_quantized},
};

}  // namespace

extern constinit const FamilyTable elementwise_families;
constinit const FamilyTable elementwise_families{kFamilies, std::size(kFamilies)};

}  // namespace pyrt
