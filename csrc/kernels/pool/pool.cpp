// The pool family: schema and checks. The formula is in pool.h.
#include "kernels/pool/pool.h"

#include <iterator>

#include "kernels/common/prepare-inl.h"

namespace pyrt {
namespace {

constexpr AttributeSpec kAttributes[] = {
    {.name = "op", .kind = AttributeKind::kText, .required = true},
    {.name = "kernel", .kind = AttributeKind::kInts, .required = true},
    {.name = "strides", .kind = AttributeKind::kInts},
    {.name = "pads", .kind = AttributeKind::kInts},
    {.name = "dilations", .kind = AttributeKind::kInts},
    {.name = "count_include_pad", .kind = AttributeKind::kInt},
    {.name = "x_zero_point", .kind = AttributeKind::kInt},
    {.name = "y_zero_point", .kind = AttributeKind::kInt},
};
constexpr OperandSpec kInputs[] = {
    {.name = "x"},
    {.name = "scale", .optional = true, .parameter = true},
};
constexpr OperandSpec kOutputs[] = {{.name = "y"}};

Status read_geometry(const Attributes& attributes, const Dims& x, const Dims& y, PoolParams* p) {
  const int spatial = x.rank - 2;
  int64_t kernel[2] = {1, 1};
  int64_t strides[2] = {1, 1};
  int64_t dilations[2] = {1, 1};
  int64_t pads[4] = {};
  PYRT_RETURN_IF_ERROR(read_list("pool", attributes, "kernel", spatial, 0, 1, kernel));
  PYRT_RETURN_IF_ERROR(read_list("pool", attributes, "strides", spatial, 1, 1, strides));
  PYRT_RETURN_IF_ERROR(read_list("pool", attributes, "dilations", spatial, 1, 1, dilations));
  PYRT_RETURN_IF_ERROR(read_list("pool", attributes, "pads", 2 * spatial, 0, 0, pads));
  p->B = x.at[0];
  p->C = x.at[1];
  p->W = x.at[x.rank - 1];
  p->OW = y.at[x.rank - 1];
  p->kernel_w = kernel[spatial - 1];
  p->stride_w = strides[spatial - 1];
  p->dilation_w = dilations[spatial - 1];
  p->pad_w = pads[spatial - 1];
  p->pad_end_w = pads[2 * spatial - 1];
  if (spatial == 2) {
    p->H = x.at[2];
    p->OH = y.at[2];
    p->kernel_h = kernel[0];
    p->stride_h = strides[0];
    p->dilation_h = dilations[0];
    p->pad_h = pads[0];
    p->pad_end_h = pads[2];
  }
  if (y.at[0] != p->B || y.at[1] != p->C) {
    return Status(Code::kShape, "pool: y " + dims_text(y) + " must begin with the batch and the " +
                                    "channels of x " + dims_text(x));
  }
  return Status();
}

Status prepare(const Attributes& attributes, Problem& problem) {
  if (!problem.has_input(kPoolX) || problem.outputs.size() != 1 || !problem.outputs[0].present) {
    return Status(Code::kFormat, "pool: needs the operand x and one output y");
  }
  const Operand& x = problem.inputs[kPoolX];
  const Operand& y = problem.outputs[0];
  PYRT_RETURN_IF_ERROR(check_extents("pool", "x", x.dims));
  PYRT_RETURN_IF_ERROR(check_extents("pool", "y", y.dims));
  if ((x.dims.rank != 3 && x.dims.rank != 4) || y.dims.rank != x.dims.rank) {
    return Status(Code::kShape, "pool: x " + dims_text(x.dims) + " and y " + dims_text(y.dims) +
                                    " must have equal ranks, 3 or 4");
  }
  if ((x.dtype != DType::kF32 && x.dtype != DType::kS8) || y.dtype != x.dtype) {
    return Status(Code::kDType, "pool: x is " + dtype_text(x.dtype) + " and y " +
                                    dtype_text(y.dtype) + "; both must be f32 or both s8");
  }
  PoolParams p;
  const std::string_view op = attributes.text("op");
  if (op != "max" && op != "average") {
    return Status(Code::kFormat, "pool: op is '" + std::string(op) + "'; use max or average");
  }
  p.average = op == "average";
  p.integer = x.dtype == DType::kS8;
  p.count_include_pad = attributes.integer("count_include_pad") != 0;
  PYRT_RETURN_IF_ERROR(read_geometry(attributes, x.dims, y.dims, &p));
  PYRT_RETURN_IF_ERROR(read_s8("pool", attributes, "x_zero_point", &p.x_zero_point));
  PYRT_RETURN_IF_ERROR(read_s8("pool", attributes, "y_zero_point", &p.y_zero_point));
  if (p.integer && p.average) {
    if (!problem.has_input(kPoolScale)) {
      return Status(Code::kFormat, "pool: an s8 average needs the operand scale");
    }
    bool per_channel = false;
    PYRT_RETURN_IF_ERROR(check_scale("pool", "scale", problem.inputs[kPoolScale], 1, &per_channel));
  } else if (problem.has_input(kPoolScale)) {
    return Status(Code::kFormat, "pool: only an s8 average takes a scale; leave it out");
  }
  problem.as<PoolParams>() = p;
  return Status();
}

constexpr Family kFamilies[] = {{.name = "pool",
                                 .attributes = kAttributes,
                                 .inputs = kInputs,
                                 .outputs = kOutputs,
                                 .prepare = prepare}};

}  // namespace

extern constinit const FamilyTable pool_families;
constinit const FamilyTable pool_families{kFamilies, std::size(kFamilies)};

}  // namespace pyrt
