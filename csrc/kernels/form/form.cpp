// Schemas and checks of the movement families; see form.h for the formulas.
#include "kernels/form/form.h"

#include "kernels/common/checks.h"

namespace pyrt {
namespace {

Status check_same_dtype(const Problem& problem) {
  return check_dtype(problem.outputs[0], problem.inputs[0].dtype, "output y");
}

Status prepare_reshape(const Attributes&, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 1, 1));
  PYRT_RETURN_IF_ERROR(check_same_dtype(problem));
  const Dims &x = problem.inputs[0].dims, &y = problem.outputs[0].dims;
  if (x.count() == y.count()) return {};
  return {Code::kShape, "dims " + dims_text(x) + " cannot be reshaped to " + dims_text(y) +
                            ": the number of elements differs; check the input shapes"};
}

Status prepare_transpose(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 1, 1));
  PYRT_RETURN_IF_ERROR(check_same_dtype(problem));
  const Operand &x = problem.inputs[0], &y = problem.outputs[0];
  const std::span<const int64_t> perm = attributes.integers("perm");
  PYRT_RETURN_IF_ERROR(check_range(static_cast<int64_t>(perm.size()), x.dims.rank, x.dims.rank,
                                   "the length of perm"));
  CopyParams& params = problem.as<CopyParams>();
  params = {};
  Dims wanted;
  wanted.rank = x.dims.rank;
  unsigned seen = 0;
  for (int i = 0; i < x.dims.rank; ++i) {
    const int64_t axis = perm[static_cast<size_t>(i)];
    PYRT_RETURN_IF_ERROR(check_range(axis, 0, x.dims.rank - 1, "an element of perm"));
    if ((seen >> axis & 1) != 0) {
      return {Code::kFormat,
              "perm names axis " + std::to_string(axis) + " twice; compile the model again"};
    }
    seen |= 1u << axis;
    params.axis[i] = static_cast<int>(axis);
    params.step[i] = 1;
    wanted.at[i] = x.dims[params.axis[i]];
  }
  return check_dims(y, wanted, "output y");
}

Status prepare_slice(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 1, 1));
  PYRT_RETURN_IF_ERROR(check_same_dtype(problem));
  const Operand &x = problem.inputs[0], &y = problem.outputs[0];
  const int rank = x.dims.rank;
  PYRT_RETURN_IF_ERROR(check_range(y.dims.rank, rank, rank, "the rank of y"));
  const std::span<const int64_t> starts = attributes.integers("starts"),
                                 steps = attributes.integers("steps");
  PYRT_RETURN_IF_ERROR(
      check_range(static_cast<int64_t>(starts.size()), rank, rank, "the length of starts"));
  if (!steps.empty()) {
    PYRT_RETURN_IF_ERROR(
        check_range(static_cast<int64_t>(steps.size()), rank, rank, "the length of steps"));
  }
  CopyParams& params = problem.as<CopyParams>();
  params = {};
  const bool none = y.dims.count() == 0;
  for (int i = 0; i < rank; ++i) {
    const size_t at = static_cast<size_t>(i);
    params.axis[i] = i;
    params.step[i] = steps.empty() ? 1 : steps[at];
    params.start[i] = none ? 0 : starts[at];
    if (none) continue;
    const int64_t last = x.dims[i] - 1;
    const std::string where = " of axis " + std::to_string(i);
    PYRT_RETURN_IF_ERROR(check_range(starts[at], 0, last, ("start" + where).c_str()));
    if (y.dims[i] == 1) continue;
    // From the start at most `last` or, backwards, `start` elements remain; divided rather than
    // multiplied, so that nothing overflows.
    const int64_t step = params.step[i];
    const int64_t room = step >= 0 ? last - starts[at] : starts[at];
    const int64_t most = step == 0           ? INT64_MAX
                         : step == INT64_MIN ? 0
                                             : room / (step > 0 ? step : -step);
    PYRT_RETURN_IF_ERROR(check_range(y.dims[i] - 1, 0, most, ("extent - 1" + where).c_str()));
  }
  return {};
}

Status prepare_expand(const Attributes&, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 1, 1));
  PYRT_RETURN_IF_ERROR(check_same_dtype(problem));
  const Operand &x = problem.inputs[0], &y = problem.outputs[0];
  PYRT_RETURN_IF_ERROR(check_broadcast(x, y.dims, "input x"));
  CopyParams& params = problem.as<CopyParams>();
  params = {};
  for (int i = 0; i < y.dims.rank; ++i) {
    const int axis = i - (y.dims.rank - x.dims.rank);
    params.axis[i] = axis < 0 || x.dims[axis] == 1 ? -1 : axis;
    params.step[i] = 1;
  }
  return {};
}

Status prepare_concat(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, problem.inputs.size(), problem.inputs.size()));
  if (problem.inputs.size() == 0)
    return {Code::kFormat, "concat has no inputs; compile the model again"};
  const Operand& y = problem.outputs[0];
  ConcatParams& params = problem.as<ConcatParams>();
  PYRT_RETURN_IF_ERROR(check_axis(attributes.integer("axis"), y.dims.rank, &params.axis));
  int64_t total = 0;
  for (size_t i = 0; i < problem.inputs.size(); ++i) {
    const Operand& x = problem.inputs[i];
    const std::string name = "input " + std::to_string(i);
    PYRT_RETURN_IF_ERROR(check_dtype(x, y.dtype, name.c_str()));
    Dims wanted = y.dims;
    if (x.dims.rank == wanted.rank) wanted.at[params.axis] = x.dims[params.axis];
    PYRT_RETURN_IF_ERROR(check_dims(x, wanted, name.c_str()));
    total += x.dims[params.axis];
  }
  return check_range(y.dims[params.axis], total, total, "the dim of y along the axis");
}

Status prepare_pad(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 1, 2));
  PYRT_RETURN_IF_ERROR(check_same_dtype(problem));
  const Operand &x = problem.inputs[0], &y = problem.outputs[0];
  const int rank = x.dims.rank;
  PYRT_RETURN_IF_ERROR(check_range(y.dims.rank, rank, rank, "the rank of y"));
  if (problem.has_input(1)) {
    PYRT_RETURN_IF_ERROR(check_dtype(problem.inputs[1], x.dtype, "input value"));
    PYRT_RETURN_IF_ERROR(check_range(problem.inputs[1].dims.count(), 1, 1, "the number of values"));
  }
  PadParams& params = problem.as<PadParams>();
  params = {};
  const std::string_view mode = attributes.text("mode");
  constexpr std::string_view kModes[] = {"constant", "reflect", "edge", "wrap"};
  int found = -1;
  for (int i = 0; i < 4; ++i) {
    if (mode == kModes[i]) found = i;
  }
  if (found < 0)
    return {Code::kUnsupported,
            "pad mode '" + std::string(mode) + "' is not known; update pyruntime"};
  params.mode = static_cast<PadMode>(found);
  const std::span<const int64_t> pads = attributes.integers("pads");
  PYRT_RETURN_IF_ERROR(
      check_range(static_cast<int64_t>(pads.size()), 2 * rank, 2 * rank, "the length of pads"));
  constexpr int64_t kMost = int64_t{1}
                            << 40;  // beyond any buffer; keeps the sums below from overflowing
  for (int i = 0; i < rank; ++i) {
    const int64_t begin = pads[static_cast<size_t>(i)], end = pads[static_cast<size_t>(i + rank)];
    const std::string where = " of axis " + std::to_string(i);
    const int64_t dim = x.dims[i];
    const int64_t most = params.mode == PadMode::kReflect && dim > 0 ? dim - 1 : kMost;
    PYRT_RETURN_IF_ERROR(check_range(begin, -kMost, most, ("the pad before" + where).c_str()));
    PYRT_RETURN_IF_ERROR(check_range(end, -kMost, most, ("the pad behind" + where).c_str()));
    PYRT_RETURN_IF_ERROR(
        check_range(y.dims[i], dim + begin + end, dim + begin + end, ("the dim" + where).c_str()));
    if (params.mode != PadMode::kConstant && y.dims[i] > 0) {
      PYRT_RETURN_IF_ERROR(check_range(dim, 1, kMost, ("the padded dim" + where).c_str()));
    }
    params.begin[i] = begin;
  }
  return {};
}

Status prepare_tile(const Attributes&, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 1, 1));
  PYRT_RETURN_IF_ERROR(check_same_dtype(problem));
  const Operand &x = problem.inputs[0], &y = problem.outputs[0];
  bool fits = x.dims.rank == y.dims.rank;
  for (int i = 0; fits && i < x.dims.rank; ++i) {
    fits = x.dims[i] == 0 ? y.dims[i] == 0 : y.dims[i] % x.dims[i] == 0;
  }
  if (!fits) {
    return {Code::kShape, "output dims " + dims_text(y.dims) +
                              " are not a multiple of the input's " + dims_text(x.dims) +
                              "; check the repeats"};
  }
  PadParams& params = problem.as<PadParams>();
  params = {};
  params.mode = PadMode::kWrap;
  return {};
}

Status check_constant_indices(const Operand& indices, int64_t dim) {
  if (indices.constant == nullptr) return {};
  for (int64_t i = 0; i < indices.dims.count(); ++i) {
    const int64_t index = indices.dtype == DType::kS64
                              ? static_cast<const int64_t*>(indices.constant)[i]
                              : static_cast<const int32_t*>(indices.constant)[i];
    PYRT_RETURN_IF_ERROR(check_range(index, -dim, dim - 1, ("index " + std::to_string(i)).c_str()));
  }
  return {};
}

Status prepare_gather(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 2, 2));
  PYRT_RETURN_IF_ERROR(check_same_dtype(problem));
  const Operand &x = problem.inputs[0], &indices = problem.inputs[1];
  if (indices.dtype != DType::kS32)
    PYRT_RETURN_IF_ERROR(check_dtype(indices, DType::kS64, "input indices"));
  int axis = 0;
  PYRT_RETURN_IF_ERROR(check_axis(attributes.integer("axis"), x.dims.rank, &axis));
  PYRT_RETURN_IF_ERROR(
      check_range(x.dims.rank - 1 + indices.dims.rank, 0, kMaxRank, "the rank of y"));
  GatherParams& params = problem.as<GatherParams>();
  params = {};
  params.axis_dim = x.dims[axis];
  params.indices = indices.dims.count();
  Dims wanted;
  for (int i = 0; i < axis; ++i) {
    params.outer *= x.dims[i];
    wanted.at[wanted.rank++] = x.dims[i];
  }
  for (int i = 0; i < indices.dims.rank; ++i) wanted.at[wanted.rank++] = indices.dims[i];
  for (int i = axis + 1; i < x.dims.rank; ++i) {
    params.inner *= x.dims[i];
    wanted.at[wanted.rank++] = x.dims[i];
  }
  PYRT_RETURN_IF_ERROR(check_dims(problem.outputs[0], wanted, "output y"));
  return check_constant_indices(indices, params.axis_dim).at("input indices");
}

Status prepare_cast(const Attributes&, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 1, 1));
  for (const DType dtype : {problem.inputs[0].dtype, problem.outputs[0].dtype}) {
    switch (dtype) {
      case DType::kBool:
      case DType::kU8:
      case DType::kS8:
      case DType::kS32:
      case DType::kS64:
      case DType::kF16:
      case DType::kF32:
      case DType::kF64:
        break;
      default:
        return {Code::kDType,
                "cast does not take " + std::string(dtype_name(dtype)) + "; use a host step"};
    }
  }
  return check_dims(problem.outputs[0], problem.inputs[0].dims, "output y");
}

Status prepare_fill(const Attributes&, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 1, 1));
  PYRT_RETURN_IF_ERROR(check_same_dtype(problem));
  return check_range(problem.inputs[0].dims.count(), 1, 1, "the number of values");
}

// The position of `name` in `names`, or an error.
template <size_t N>
Status find_name(std::string_view name, const std::string_view (&names)[N], const char* what,
                 int* index) {
  for (size_t i = 0; i < N; ++i) {
    if (name == names[i]) {
      *index = static_cast<int>(i);
      return {};
    }
  }
  return {Code::kUnsupported,
          std::string(what) + " '" + std::string(name) + "' is not known; update pyruntime"};
}

Status prepare_resize(const Attributes& attributes, Problem& problem) {
  PYRT_RETURN_IF_ERROR(check_operands(problem, 2, 2));
  PYRT_RETURN_IF_ERROR(check_same_dtype(problem));
  const Operand &x = problem.inputs[0], &scales = problem.inputs[1], &y = problem.outputs[0];
  constexpr std::string_view kModes[] = {"nearest", "linear"};
  constexpr std::string_view kCoordinates[] = {"half_pixel", "asymmetric", "align_corners",
                                               "pytorch_half_pixel"};
  constexpr std::string_view kNearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                           "ceil"};
  int mode = 0, coordinate = 0, nearest = 0;
  PYRT_RETURN_IF_ERROR(find_name(attributes.text("mode"), kModes, "resize mode", &mode));
  PYRT_RETURN_IF_ERROR(
      find_name(attributes.text("coordinate"), kCoordinates, "coordinate", &coordinate));
  PYRT_RETURN_IF_ERROR(find_name(attributes.text("nearest"), kNearest, "nearest", &nearest));
  ResizeParams& params = problem.as<ResizeParams>();
  params.linear = mode == 1;
  params.coordinate = static_cast<Coordinate>(coordinate);
  params.nearest = static_cast<Nearest>(nearest);
  if (params.linear) PYRT_RETURN_IF_ERROR(check_dtype(x, DType::kF32, "input x (linear)"));
  PYRT_RETURN_IF_ERROR(check_range(x.dims.rank, 3, 5, "the rank of x (1 to 3 spatial dims)"));
  PYRT_RETURN_IF_ERROR(check_range(y.dims.rank, x.dims.rank, x.dims.rank, "the rank of y"));
  PYRT_RETURN_IF_ERROR(check_dtype(scales, DType::kF32, "input scales"));
  PYRT_RETURN_IF_ERROR(
      check_range(scales.dims.count(), x.dims.rank, x.dims.rank, "the number of scales"));
  for (int i = 0; i < x.dims.rank; ++i) {
    const std::string where = " of axis " + std::to_string(i);
    if (i < 2)
      PYRT_RETURN_IF_ERROR(
          check_range(y.dims[i], x.dims[i], x.dims[i], ("the dim" + where).c_str()));
    if (y.dims[i] > 0)
      PYRT_RETURN_IF_ERROR(check_range(x.dims[i], 1, INT32_MAX, ("the input dim" + where).c_str()));
    PYRT_RETURN_IF_ERROR(check_range(y.dims[i], 0, INT32_MAX, ("the output dim" + where).c_str()));
    if (scales.constant != nullptr && !(static_cast<const float*>(scales.constant)[i] > 0.0f)) {
      return {Code::kFormat, "the scale" + where + " is not positive; compile the model again"};
    }
  }
  return {};
}

constexpr OperandSpec kX[] = {{.name = "x"}};
constexpr OperandSpec kXs[] = {{.name = "x", .variadic = true}};
constexpr OperandSpec kPadInputs[] = {{.name = "x"},
                                      {.name = "value", .optional = true, .parameter = true}};
constexpr OperandSpec kGatherInputs[] = {{.name = "x"}, {.name = "indices"}};
constexpr OperandSpec kFillInputs[] = {{.name = "value", .parameter = true}};
constexpr OperandSpec kResizeInputs[] = {{.name = "x"}, {.name = "scales", .parameter = true}};
constexpr OperandSpec kY[] = {{.name = "y"}};

constexpr AttributeSpec kPerm[] = {
    {.name = "perm", .kind = AttributeKind::kInts, .required = true, .default_text = {}}};
constexpr AttributeSpec kSlice[] = {
    {.name = "starts", .kind = AttributeKind::kInts, .required = true, .default_text = {}},
    {.name = "steps", .kind = AttributeKind::kInts, .default_text = {}}};
constexpr AttributeSpec kAxis[] = {
    {.name = "axis", .kind = AttributeKind::kInt, .required = true, .default_text = {}}};
constexpr AttributeSpec kPad[] = {
    {.name = "pads", .kind = AttributeKind::kInts, .required = true, .default_text = {}},
    {.name = "mode", .kind = AttributeKind::kText, .default_text = "constant"}};
constexpr AttributeSpec kResize[] = {
    {.name = "mode", .kind = AttributeKind::kText, .default_text = "nearest"},
    {.name = "coordinate", .kind = AttributeKind::kText, .default_text = "half_pixel"},
    {.name = "nearest", .kind = AttributeKind::kText, .default_text = "round_prefer_floor"}};

constexpr Family kFamilies[] = {
    {.name = "reshape", .attributes = {}, .inputs = kX, .outputs = kY, .prepare = prepare_reshape},
    {.name = "transpose",
     .attributes = kPerm,
     .inputs = kX,
     .outputs = kY,
     .prepare = prepare_transpose},
    {.name = "slice", .attributes = kSlice, .inputs = kX, .outputs = kY, .prepare = prepare_slice},
    {.name = "expand", .attributes = {}, .inputs = kX, .outputs = kY, .prepare = prepare_expand},
    {.name = "concat",
     .attributes = kAxis,
     .inputs = kXs,
     .outputs = kY,
     .prepare = prepare_concat},
    {.name = "pad",
     .attributes = kPad,
     .inputs = kPadInputs,
     .outputs = kY,
     .prepare = prepare_pad},
    {.name = "tile", .attributes = {}, .inputs = kX, .outputs = kY, .prepare = prepare_tile},
    {.name = "gather",
     .attributes = kAxis,
     .inputs = kGatherInputs,
     .outputs = kY,
     .prepare = prepare_gather},
    {.name = "cast", .attributes = {}, .inputs = kX, .outputs = kY, .prepare = prepare_cast},
    {.name = "fill",
     .attributes = {},
     .inputs = kFillInputs,
     .outputs = kY,
     .prepare = prepare_fill},
    {.name = "resize",
     .attributes = kResize,
     .inputs = kResizeInputs,
     .outputs = kY,
     .prepare = prepare_resize},
};

}  // namespace

extern constinit const FamilyTable form_families;
constinit const FamilyTable form_families{kFamilies, std::size(kFamilies)};

}  // namespace pyrt
