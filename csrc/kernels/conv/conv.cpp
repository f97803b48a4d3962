// The conv and conv_transpose families: schemas and checks. Formulas and packing are in conv.h.
#include "kernels/conv/conv.h"

#include <iterator>

#include "kernels/common/prepare-inl.h"

namespace pyrt {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

constexpr AttributeSpec kConvAttributes[] = {
    {.name = "kernel", .kind = AttributeKind::kInts},
    {.name = "strides", .kind = AttributeKind::kInts},
    {.name = "pads", .kind = AttributeKind::kInts},
    {.name = "dilations", .kind = AttributeKind::kInts},
    {.name = "group", .kind = AttributeKind::kInt, .default_int = 1},
    {.name = "x_zero_point", .kind = AttributeKind::kInt},
    {.name = "y_zero_point", .kind = AttributeKind::kInt},
    {.name = "residual_zero_point", .kind = AttributeKind::kInt},
    {.name = "q_lo", .kind = AttributeKind::kInt, .default_int = -128},
    {.name = "q_hi", .kind = AttributeKind::kInt, .default_int = 127},
    {.name = "lo", .kind = AttributeKind::kFloat, .default_float = -kInfinity},
    {.name = "hi", .kind = AttributeKind::kFloat, .default_float = kInfinity},
};
constexpr OperandSpec kConvInputs[] = {
    {.name = "x"},
    {.name = "w", .parameter = true},
    {.name = "bias", .optional = true, .parameter = true},
    {.name = "scale", .optional = true, .parameter = true},
    {.name = "residual", .optional = true},
    {.name = "residual_scale", .optional = true, .parameter = true},
};

constexpr AttributeSpec kTransposeAttributes[] = {
    {.name = "strides", .kind = AttributeKind::kInts},
    {.name = "pads", .kind = AttributeKind::kInts},
    {.name = "dilations", .kind = AttributeKind::kInts},
    {.name = "group", .kind = AttributeKind::kInt, .default_int = 1},
    {.name = "lo", .kind = AttributeKind::kFloat, .default_float = -kInfinity},
    {.name = "hi", .kind = AttributeKind::kFloat, .default_float = kInfinity},
};
constexpr OperandSpec kTransposeInputs[] = {
    {.name = "x"},
    {.name = "w", .parameter = true},
    {.name = "bias", .optional = true, .parameter = true},
};
constexpr OperandSpec kOutputs[] = {{.name = "y"}};

// Reads what both families have: ranks, dims, spatial attributes. w's first two dims differ and are
// left to the caller. pads_end [3] receives the padding after the data.
Status prepare_spatial(const char* family, const Attributes& attributes, const Problem& problem,
                       int most_spatial, ConvParams* p, int64_t pads_end[3]) {
  const std::string where = std::string(family) + ": ";
  if (!problem.has_input(kInputX) || !problem.has_input(kInputW) || problem.outputs.size() != 1 ||
      !problem.outputs[0].present) {
    return Status(Code::kFormat, where + "needs the operands x and w and one output y");
  }
  const Dims& x = problem.inputs[kInputX].dims;
  const Dims& w = problem.inputs[kInputW].dims;
  const Dims& y = problem.outputs[0].dims;
  PYRT_RETURN_IF_ERROR(check_extents(family, "x", x));
  PYRT_RETURN_IF_ERROR(check_extents(family, "w", w));
  PYRT_RETURN_IF_ERROR(check_extents(family, "y", y));
  if (x.rank < 3 || x.rank > most_spatial + 2 || w.rank != x.rank || y.rank != x.rank) {
    return Status(Code::kShape, where + "x " + dims_text(x) + ", w " + dims_text(w) + " and y " +
                                    dims_text(y) + " must have equal ranks, 3 to " +
                                    std::to_string(most_spatial + 2) + " (one to " +
                                    std::to_string(most_spatial) + " spatial dims)");
  }
  const int spatial = x.rank - 2;
  int64_t strides[3] = {1, 1, 1};
  int64_t dilations[3] = {1, 1, 1};
  int64_t pads[6] = {};
  PYRT_RETURN_IF_ERROR(read_list(family, attributes, "strides", spatial, 1, 1, strides));
  PYRT_RETURN_IF_ERROR(read_list(family, attributes, "dilations", spatial, 1, 1, dilations));
  PYRT_RETURN_IF_ERROR(read_list(family, attributes, "pads", 2 * spatial, 0, 0, pads));
  p->group = attributes.integer("group");
  p->volume = spatial == 3;
  p->B = x.at[0];
  p->C = x.at[1];
  p->O = y.at[1];
  // From the last axis to the first: width, height, depth.
  struct Axis {
    int64_t *in, *out, *kernel, *stride, *pad, *dilation;
  };
  const Axis axes[3] = {{&p->W, &p->OW, &p->kernel_w, &p->stride_w, &p->pad_w, &p->dilation_w},
                        {&p->H, &p->OH, &p->kernel_h, &p->stride_h, &p->pad_h, &p->dilation_h},
                        {&p->D, &p->OD, &p->kernel_d, &p->stride_d, &p->pad_d, &p->dilation_d}};
  for (int i = 0; i < spatial; ++i) {
    const int at = spatial - 1 - i;
    *axes[i].in = x.at[2 + at];
    *axes[i].out = y.at[2 + at];
    *axes[i].kernel = w.at[2 + at];
    *axes[i].stride = strides[at];
    *axes[i].pad = pads[at];
    *axes[i].dilation = dilations[at];
    pads_end[2 - i] = pads[spatial + at];
  }
  if (p->kernel_d < 1 || p->kernel_h < 1 || p->kernel_w < 1) {
    return Status(Code::kShape, where + "w " + dims_text(w) + " has an empty kernel");
  }
  if (y.at[0] != p->B) {
    return Status(Code::kShape,
                  where + "y " + dims_text(y) + " must have the batch of x " + dims_text(x));
  }
  if (p->group < 1 || p->C % p->group != 0 || p->O % p->group != 0) {
    return Status(Code::kShape, where + "group = " + std::to_string(p->group) +
                                    " must divide the channels, " + std::to_string(p->C) +
                                    " of x and " + std::to_string(p->O) + " of y");
  }
  return Status();
}

// Elements of a convolution's output along one axis; 0 where the kernel does not fit.
int64_t conv_extent(int64_t in, int64_t pad_begin, int64_t pad_end, int64_t kernel,
                    int64_t dilation, int64_t stride) {
  const int64_t room = in + pad_begin + pad_end - dilation * (kernel - 1) - 1;
  return room < 0 ? 0 : room / stride + 1;
}

Status prepare_conv(const Attributes& attributes, Problem& problem) {
  ConvParams p;
  int64_t pads_end[3] = {};
  PYRT_RETURN_IF_ERROR(prepare_spatial("conv", attributes, problem, 3, &p, pads_end));
  const Dims& w = problem.inputs[kInputW].dims;
  const Dims& y = problem.outputs[0].dims;
  if (w.at[0] != p.O || w.at[1] != p.C / p.group) {
    return Status(Code::kShape, "conv: w " + dims_text(w) + " must begin with [" +
                                    std::to_string(p.O) + ", " + std::to_string(p.C / p.group) +
                                    "] for group = " + std::to_string(p.group));
  }
  const int spatial = w.rank - 2;
  const std::span<const int64_t> kernel = attributes.integers("kernel");
  for (size_t i = 0; i < kernel.size(); ++i) {
    if (kernel.size() != static_cast<size_t>(spatial) || kernel[i] != w.at[2 + i]) {
      return Status(Code::kShape, "conv: attribute 'kernel' differs from w " + dims_text(w) +
                                      "; leave it out or give w's last dims");
    }
  }
  const int64_t extents[3] = {
      conv_extent(p.D, p.pad_d, pads_end[0], p.kernel_d, p.dilation_d, p.stride_d),
      conv_extent(p.H, p.pad_h, pads_end[1], p.kernel_h, p.dilation_h, p.stride_h),
      conv_extent(p.W, p.pad_w, pads_end[2], p.kernel_w, p.dilation_w, p.stride_w)};
  if (p.OD != extents[0] || p.OH != extents[1] || p.OW != extents[2]) {
    std::string text;
    for (int i = 3 - spatial; i < 3; ++i) {
      text += (text.empty() ? "" : " x ") + std::to_string(extents[i]);
    }
    return Status(Code::kShape, "conv: y has dims " + dims_text(y) +
                                    ", but kernel, strides, pads and dilations give " + text);
  }
  PYRT_RETURN_IF_ERROR(prepare_epilogue("conv", attributes, problem, p.O, &p.epilogue));
  problem.as<ConvParams>() = p;
  return Status();
}

// Output dims are given and may be anything: elements that no tap reaches are the bias.
Status prepare_transpose(const Attributes& attributes, Problem& problem) {
  ConvParams p;
  int64_t pads_end[3] = {};
  PYRT_RETURN_IF_ERROR(prepare_spatial("conv_transpose", attributes, problem, 2, &p, pads_end));
  const Dims& w = problem.inputs[kInputW].dims;
  if (w.at[0] != p.C || w.at[1] != p.O / p.group) {
    return Status(Code::kShape, "conv_transpose: w " + dims_text(w) + " must begin with [" +
                                    std::to_string(p.C) + ", " + std::to_string(p.O / p.group) +
                                    "] for group = " + std::to_string(p.group));
  }
  for (const Operand* operand :
       {&problem.inputs[kInputX], &problem.inputs[kInputW], &problem.outputs[0]}) {
    if (operand->dtype != DType::kF32) {
      return Status(Code::kDType, "conv_transpose: an operand is " + dtype_text(operand->dtype) +
                                      "; all must be f32");
    }
  }
  if (problem.has_input(kInputBias)) {
    const Operand& bias = problem.inputs[kInputBias];
    if (bias.dtype != DType::kF32 || bias.dims.rank != 1 || bias.dims.at[0] != p.O) {
      return Status(Code::kShape, "conv_transpose: bias must be f32 [" + std::to_string(p.O) +
                                      "], got " + dtype_text(bias.dtype) + " " +
                                      dims_text(bias.dims));
    }
  }
  PYRT_RETURN_IF_ERROR(read_bounds("conv_transpose", attributes, &p.epilogue.lo, &p.epilogue.hi));
  problem.as<ConvParams>() = p;
  return Status();
}

bool weight_view(const Problem& problem, WeightView* view) {
  const auto& p = problem.as<ConvParams>();
  *view = {.N = p.O, .C = p.C, .taps = p.taps()};
  return p.group == 1;
}

constexpr Family kFamilies[] = {{.name = "conv",
                                 .attributes = kConvAttributes,
                                 .inputs = kConvInputs,
                                 .outputs = kOutputs,
                                 .prepare = prepare_conv,
                                 .weight_view = weight_view},
                                {.name = "conv_transpose",
                                 .attributes = kTransposeAttributes,
                                 .inputs = kTransposeInputs,
                                 .outputs = kOutputs,
                                 .prepare = prepare_transpose}};

}  // namespace

extern constinit const FamilyTable conv_families;
constinit const FamilyTable conv_families{kFamilies, std::size(kFamilies)};

}  // namespace pyrt
