// The specification of the movement families: one output element at a time, by its coordinates in
// ONNX order.
#include "kernels/common/loops-inl.h"
#include "kernels/form/cast-inl.h"
#include "kernels/form/form.h"
#include "kernels/form/resize-inl.h"

namespace pyrt {
namespace {

// Calls each(at, index) for outputs [begin, end) of tasks, where `at` is the element in memory and
// index[axis] its coordinates.
template <class Each>
void for_each_output(const Problem& problem, int64_t begin, int64_t end, const Each& each) {
  const Operand& y = problem.outputs[0];
  const size_t bytes = dtype_bytes(y.dtype);
  int order[kMaxRank] = {};
  physical_order(y, order);
  const int64_t last = task_end(end, y.dims.count(), bytes);
  for (int64_t at = task_begin(begin, bytes); at < last; ++at) {
    int64_t index[kMaxRank] = {};
    int64_t rest = at;
    for (int i = y.dims.rank - 1; i >= 0; --i) {
      index[order[i]] = rest % y.dims[order[i]];
      rest /= y.dims[order[i]];
    }
    each(at, index);
  }
}

int64_t offset_of(const Operand& x, const int64_t index[kMaxRank]) {
  int64_t strides[kMaxRank] = {};
  x.strides(strides);
  int64_t offset = 0;
  for (int i = 0; i < x.dims.rank; ++i) offset += index[i] * strides[i];
  return offset;
}

void copy_element(const Problem& problem, const Call& call, int64_t at, size_t input,
                  int64_t from) {
  const size_t bytes = dtype_bytes(problem.outputs[0].dtype);
  std::memcpy(static_cast<uint8_t*>(call.outputs[0]) + static_cast<size_t>(at) * bytes,
              static_cast<const uint8_t*>(call.inputs[input]) + static_cast<size_t>(from) * bytes,
              bytes);
}

void zero_element(const Problem& problem, const Call& call, int64_t at) {
  const size_t bytes = dtype_bytes(problem.outputs[0].dtype);
  std::memset(static_cast<uint8_t*>(call.outputs[0]) + static_cast<size_t>(at) * bytes, 0, bytes);
}

void run_copy(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const CopyParams& params = problem.as<CopyParams>();
  const Operand& x = problem.inputs[0];
  for_each_output(problem, begin, end, [&](int64_t at, const int64_t* index) {
    int64_t source[kMaxRank] = {};
    for (int i = 0; i < x.dims.rank; ++i) source[i] = params.start[i];
    for (int i = 0; i < problem.outputs[0].dims.rank; ++i) {
      if (params.axis[i] >= 0) source[params.axis[i]] += index[i] * params.step[i];
    }
    copy_element(problem, call, at, 0, offset_of(x, source));
  });
}

void run_concat(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const int axis = problem.as<ConcatParams>().axis;
  for_each_output(problem, begin, end, [&](int64_t at, const int64_t* index) {
    int64_t source[kMaxRank] = {};
    for (int i = 0; i < problem.outputs[0].dims.rank; ++i) source[i] = index[i];
    size_t input = 0;
    while (source[axis] >= problem.inputs[input].dims[axis])
      source[axis] -= problem.inputs[input++].dims[axis];
    copy_element(problem, call, at, input, offset_of(problem.inputs[input], source));
  });
}

// The position in x of position p of y, or -1 for the fill value.
int64_t padded_source(PadMode mode, int64_t p, int64_t begin, int64_t dim) {
  int64_t v = p - begin;
  switch (mode) {
    case PadMode::kConstant:
      return v >= 0 && v < dim ? v : -1;
    case PadMode::kReflect:
      v = v < 0 ? -v : v;
      return v >= dim ? 2 * (dim - 1) - v : v;
    case PadMode::kEdge:
      return v < 0 ? 0 : v >= dim ? dim - 1 : v;
    default:
      v %= dim;
      return v < 0 ? v + dim : v;
  }
}

void run_pad(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const PadParams& params = problem.as<PadParams>();
  const Operand& x = problem.inputs[0];
  for_each_output(problem, begin, end, [&](int64_t at, const int64_t* index) {
    int64_t source[kMaxRank] = {};
    bool inside = true;
    for (int i = 0; i < x.dims.rank; ++i) {
      source[i] = padded_source(params.mode, index[i], params.begin[i], x.dims[i]);
      inside = inside && source[i] >= 0;
    }
    if (inside) {
      copy_element(problem, call, at, 0, offset_of(x, source));
    } else if (problem.has_input(1)) {
      copy_element(problem, call, at, 1, 0);
    } else {
      zero_element(problem, call, at);
    }
  });
}

void run_gather(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const GatherParams& params = problem.as<GatherParams>();
  for_each_output(problem, begin, end, [&](int64_t at, const int64_t*) {
    const int64_t inner = at % params.inner, row = at / params.inner;
    const int64_t outer = row / params.indices, i = row % params.indices;
    int64_t index = problem.inputs[1].dtype == DType::kS64
                        ? static_cast<const int64_t*>(call.inputs[1])[i]
                        : static_cast<const int32_t*>(call.inputs[1])[i];
    if (index < 0) index += params.axis_dim;
    if (index < 0 || index >= params.axis_dim) {
      call.report(kRunIndexOutOfRange);
      return zero_element(problem, call, at);
    }
    copy_element(problem, call, at, 0, (outer * params.axis_dim + index) * params.inner + inner);
  });
}

void run_cast(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const Operand &x = problem.inputs[0], &y = problem.outputs[0];
  const CastFn fn = pick_cast(x.dtype, y.dtype);
  for_each_output(problem, begin, end, [&](int64_t at, const int64_t* index) {
    fn(static_cast<const uint8_t*>(call.inputs[0]) +
           static_cast<size_t>(offset_of(x, index)) * dtype_bytes(x.dtype),
       static_cast<uint8_t*>(call.outputs[0]) + static_cast<size_t>(at) * dtype_bytes(y.dtype), 1);
  });
}

void run_fill(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  for_each_output(problem, begin, end,
                  [&](int64_t at, const int64_t*) { copy_element(problem, call, at, 0, 0); });
}

void run_resize(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const ResizeParams& params = problem.as<ResizeParams>();
  const Operand &x = problem.inputs[0], &y = problem.outputs[0];
  const float* scales = static_cast<const float*>(call.inputs[1]);
  const int rank = x.dims.rank, spatial = rank - 2;
  for_each_output(problem, begin, end, [&](int64_t at, const int64_t* index) {
    Source source[3];
    for (int i = 0; i < spatial; ++i) {
      source[i] = resize_source(params, index[i + 2], x.dims[i + 2], y.dims[i + 2], scales[i + 2]);
    }
    int64_t corner[kMaxRank] = {index[0], index[1]};
    float values[8] =
        {};  // corners; bit i of the number: the high neighbour of spatial axis (spatial - 1 - i)
    for (int k = 0; k < 1 << spatial; ++k) {
      for (int i = 0; i < spatial; ++i) {
        corner[i + 2] = (k >> (spatial - 1 - i) & 1) != 0 ? source[i].high : source[i].low;
      }
      const int64_t from = offset_of(x, corner);
      if (!params.linear) return copy_element(problem, call, at, 0, from);
      values[k] = static_cast<const float*>(call.inputs[0])[from];
    }
    for (int i = spatial - 1; i >= 0; --i) {
      for (int k = 0; k < 1 << i; ++k)
        values[k] = mix(values[2 * k], values[2 * k + 1], source[i].weight);
    }
    static_cast<float*>(call.outputs[0])[at] = values[0];
  });
}

const char* supports_nearest(const Problem& problem) {
  return problem.as<ResizeParams>().linear ? "linear interpolation is of class D" : nullptr;
}
const char* supports_linear(const Problem& problem) {
  return problem.as<ResizeParams>().linear ? nullptr : "nearest neighbours are of class E";
}

// About 8 ns an element for the walk over coordinates.
double cost(const Problem& problem) {
  return 60 + 8.0 * static_cast<double>(problem.outputs[0].dims.count());
}
double cost_alias(const Problem&) { return 1; }

using RunFn = void (*)(const Problem&, const Call&, int64_t, int64_t);
constexpr Row row(std::string_view name, std::string_view family, FormRule forms, RunFn run) {
  return {.name = name,
          .family = family,
          .forms = forms,
          .cost_ns = cost,
          .tasks = output_tasks,
          .run = run};
}
constexpr Row resize_row(std::string_view name, Exactness exactness,
                         const char* (*supports)(const Problem&)) {
  Row result = row(name, "resize", FormRule::kChannelsLast, run_resize);
  result.exactness = exactness;
  result.supports = supports;
  return result;
}

constexpr Row kRows[] = {
    {.name = "reshape_alias", .family = "reshape", .alias = true, .cost_ns = cost_alias},
    row("cast_scalar", "cast", FormRule::kFollow, run_cast),
    row("concat_scalar", "concat", FormRule::kFollow, run_concat),
    row("expand_scalar", "expand", FormRule::kPlain, run_copy),
    row("fill_scalar", "fill", FormRule::kFollow, run_fill),
    row("gather_scalar", "gather", FormRule::kPlain, run_gather),
    row("pad_scalar", "pad", FormRule::kFollow, run_pad),
    row("slice_scalar", "slice", FormRule::kFollow, run_copy),
    row("tile_scalar", "tile", FormRule::kPlain, run_pad),
    row("transpose_scalar", "transpose", FormRule::kPlain, run_copy),
    resize_row("resize_linear_f32_scalar", Exactness::kCanonical, supports_linear),
    resize_row("resize_nearest_scalar", Exactness::kExact, supports_nearest),
};

}  // namespace

extern constinit const Table form_scalar;
constinit const Table form_scalar{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
