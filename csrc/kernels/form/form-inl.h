// Rows of the movement families for the vector ISAs: plain loops over contiguous runs, which the
// compiler vectorises with the file's flags. gather, cast, fill and resize are here; the others in
// copy-inl.h and pad-inl.h.
#pragma once

#include "kernels/form/cast-inl.h"
#include "kernels/form/copy-inl.h"
#include "kernels/form/pad-inl.h"
#include "kernels/form/resize-inl.h"

namespace pyrt {
namespace {

PYRT_INLINE int64_t gather_rows_per_task(const GatherParams& params, size_t bytes) {
  const int64_t row = params.inner * static_cast<int64_t>(bytes);
  const int64_t rows = kTaskBytes / (row > 0 ? row : kTaskBytes);
  return rows < 1 ? 1 : rows;
}

[[maybe_unused]] int64_t gather_tasks(const Problem& problem) {
  const GatherParams& params = problem.as<GatherParams>();
  const int64_t per_task = gather_rows_per_task(params, dtype_bytes(problem.outputs[0].dtype));
  const int64_t tasks = (params.outer * params.indices + per_task - 1) / per_task;
  return tasks < 1 ? 1 : tasks;
}

[[maybe_unused]] void run_gather(const Problem& problem, const Call& call, int64_t begin,
                                 int64_t end) {
  const GatherParams& params = problem.as<GatherParams>();
  const size_t bytes = dtype_bytes(problem.outputs[0].dtype);
  const bool wide = problem.inputs[1].dtype == DType::kS64;
  const int64_t rows = params.outer * params.indices,
                per_task = gather_rows_per_task(params, bytes);
  const int64_t last = end * per_task < rows ? end * per_task : rows;
  for (int64_t row = begin * per_task; row < last; ++row) {
    const int64_t outer = row / params.indices, i = row % params.indices;
    int64_t index = wide ? static_cast<const int64_t*>(call.inputs[1])[i]
                         : static_cast<const int32_t*>(call.inputs[1])[i];
    if (index < 0) index += params.axis_dim;
    uint8_t* y = element(call.outputs[0], row * params.inner, bytes);
    if (index < 0 || index >= params.axis_dim) {
      call.report(kRunIndexOutOfRange);
      __builtin_memset(y, 0, static_cast<size_t>(params.inner) * bytes);
    } else if (params.inner == 1 && bytes == 4) {
      __builtin_memcpy(y, element(call.inputs[0], outer * params.axis_dim + index, bytes), 4);
    } else {
      copy_bytes(y,
                 element(call.inputs[0], (outer * params.axis_dim + index) * params.inner, bytes),
                 params.inner, bytes);
    }
  }
}

struct BoundCast {
  Nest<1> nest;
};

[[maybe_unused]] void setup_cast(Problem& problem) {
  int64_t strides[1][kMaxRank] = {};
  problem.inputs[0].strides(strides[0]);
  problem.as<BoundCast>().nest = collapse<1>(problem.outputs[0], strides);
}

[[maybe_unused]] void run_cast(const Problem& problem, const Call& call, int64_t begin,
                               int64_t end) {
  const Nest<1>& nest = problem.as<BoundCast>().nest;
  const Operand &x = problem.inputs[0], &y = problem.outputs[0];
  const CastFn fn = pick_cast(x.dtype, y.dtype);
  const size_t x_bytes = dtype_bytes(x.dtype), y_bytes = dtype_bytes(y.dtype);
  const int64_t stride = nest.stride[0][nest.rank - 1];
  for_each_run(nest, task_begin(begin, y_bytes), task_end(end, nest.count, y_bytes),
               [&](int64_t first, int64_t n, const int64_t* offsets) {
                 const int64_t piece = stride == 1 ? n : 1;
                 for (int64_t i = 0; i < n; i += piece) {
                   fn(element(call.inputs[0], offsets[0] + i * stride, x_bytes),
                      element(call.outputs[0], first + i, y_bytes), piece);
                 }
               });
}

[[maybe_unused]] void run_fill(const Problem& problem, const Call& call, int64_t begin,
                               int64_t end) {
  const size_t bytes = dtype_bytes(problem.outputs[0].dtype);
  const int64_t first = task_begin(begin, bytes),
                last = task_end(end, problem.outputs[0].dims.count(), bytes);
  visit_size(bytes, [&](auto unit) {
    using T = decltype(unit);
    fill_run(static_cast<T*>(call.outputs[0]) + first, *static_cast<const T*>(call.inputs[0]),
             last - first);
  });
}

// resize works on channels-last data: [N, spatial 0, 1, 2, C] with missing spatial axes put in
// front as 1. One task is some rows along the innermost spatial axis.
struct ResizeShape {
  int64_t batch, channels, in[3], out[3];
};

PYRT_INLINE ResizeShape resize_shape(const Problem& problem) {
  const Dims &x = problem.inputs[0].dims, &y = problem.outputs[0].dims;
  ResizeShape shape{x[0], x[1], {1, 1, 1}, {1, 1, 1}};
  for (int i = 2; i < x.rank; ++i) {
    shape.in[i + 3 - x.rank] = x[i];
    shape.out[i + 3 - x.rank] = y[i];
  }
  return shape;
}

PYRT_INLINE int64_t resize_rows_per_task(const ResizeShape& shape, size_t bytes) {
  const int64_t row = shape.out[2] * shape.channels * static_cast<int64_t>(bytes);
  const int64_t rows = kTaskBytes / (row > 0 ? row : kTaskBytes);
  return rows < 1 ? 1 : rows;
}

[[maybe_unused]] int64_t resize_tasks(const Problem& problem) {
  const ResizeShape shape = resize_shape(problem);
  const int64_t per_task = resize_rows_per_task(shape, dtype_bytes(problem.outputs[0].dtype));
  const int64_t tasks = (shape.batch * shape.out[0] * shape.out[1] + per_task - 1) / per_task;
  return tasks < 1 ? 1 : tasks;
}

[[maybe_unused]] size_t resize_scratch(const Problem& problem) {
  return static_cast<size_t>(resize_shape(problem).out[2]) * sizeof(Source);
}

// corner[k]: bit 2 of k the high neighbour along spatial axis 0, bit 1 along 1, bit 0 along 2. Axes
// that are not mixed have weight 0, which mix() leaves out.
PYRT_INLINE void mix_pixel(float* y, const float* const corner[8], const Source& s0,
                           const Source& s1, const Source& s2, int64_t channels) {
  const float w0 = s0.weight, w1 = s1.weight, w2 = s2.weight;
  if (w0 == 0.0f) {
    for (int64_t c = 0; c < channels; ++c) {
      const float low = mix(corner[0][c], corner[1][c], w2),
                  high = mix(corner[2][c], corner[3][c], w2);
      y[c] = mix(low, high, w1);
    }
    return;
  }
  for (int64_t c = 0; c < channels; ++c) {
    const float a = mix(corner[0][c], corner[1][c], w2), b = mix(corner[2][c], corner[3][c], w2);
    const float d = mix(corner[4][c], corner[5][c], w2), e = mix(corner[6][c], corner[7][c], w2);
    y[c] = mix(mix(a, b, w1), mix(d, e, w1), w0);
  }
}

[[maybe_unused]] void run_resize(const Problem& problem, const Call& call, int64_t begin,
                                 int64_t end) {
  const ResizeParams& params = problem.as<ResizeParams>();
  const ResizeShape shape = resize_shape(problem);
  const size_t bytes = dtype_bytes(problem.outputs[0].dtype);
  if (problem.outputs[0].dims.count() == 0) return;
  const int rank = problem.inputs[0].dims.rank;
  const float* scales = static_cast<const float*>(call.inputs[1]);
  const auto source = [&](int axis, int64_t position) {
    const int own = axis + rank - 3;  // axis of x; below 2 where the axis was put in front
    return own < 2 ? Source{}
                   : resize_source(params, position, shape.in[axis], shape.out[axis], scales[own]);
  };
  Source* columns = static_cast<Source*>(call.scratch);
  for (int64_t i = 0; i < shape.out[2]; ++i) columns[i] = source(2, i);
  const int64_t per_task = resize_rows_per_task(shape, bytes);
  const int64_t rows = shape.batch * shape.out[0] * shape.out[1];
  const int64_t last = end * per_task < rows ? end * per_task : rows;
  for (int64_t row = begin * per_task; row < last; ++row) {
    const Source s1 = source(1, row % shape.out[1]);
    const Source s0 = source(0, row / shape.out[1] % shape.out[0]);
    const int64_t batch = row / shape.out[1] / shape.out[0];
    int64_t base[4];  // element of x where the rows of the four outer corners start
    for (int k = 0; k < 4; ++k) {
      const int64_t i0 = (k & 2) != 0 ? s0.high : s0.low, i1 = (k & 1) != 0 ? s1.high : s1.low;
      base[k] = (((batch * shape.in[0] + i0) * shape.in[1] + i1) * shape.in[2]) * shape.channels;
    }
    for (int64_t i = 0; i < shape.out[2]; ++i) {
      const Source s2 = columns[i];
      const int64_t to = (row * shape.out[2] + i) * shape.channels;
      if (!params.linear) {
        copy_bytes(element(call.outputs[0], to, bytes),
                   element(call.inputs[0], base[0] + s2.low * shape.channels, bytes),
                   shape.channels, bytes);
        continue;
      }
      const float* x = static_cast<const float*>(call.inputs[0]);
      const float* corner[8];
      for (int k = 0; k < 8; ++k)
        corner[k] = x + base[k >> 1] + ((k & 1) != 0 ? s2.high : s2.low) * shape.channels;
      mix_pixel(static_cast<float*>(call.outputs[0]) + to, corner, s0, s1, s2, shape.channels);
    }
  }
}

[[maybe_unused]] const char* supports_nearest(const Problem& problem) {
  return problem.as<ResizeParams>().linear ? "linear interpolation is of class D" : nullptr;
}
[[maybe_unused]] const char* supports_linear(const Problem& problem) {
  return problem.as<ResizeParams>().linear ? nullptr : "nearest neighbours are of class E";
}

// Block copies run at the rate of the cache; single elements at about one a nanosecond.
[[maybe_unused]] double cost_bytes(const Problem& problem) {
  return 60 + bytes_moved(problem) / 15.0;
}
[[maybe_unused]] double cost_elements(const Problem& problem) {
  return 60 + static_cast<double>(problem.outputs[0].dims.count()) / 1.5;
}

using RunFn = void (*)(const Problem&, const Call&, int64_t, int64_t);

constexpr Row form_row(std::string_view name, std::string_view family, FeatureMask features,
                       FormRule forms, RunFn run) {
  return {.name = name,
          .family = family,
          .features = features,
          .forms = forms,
          .cost_ns = cost_bytes,
          .tasks = output_tasks,
          .run = run};
}
constexpr Row copy_row(std::string_view name, std::string_view family, FeatureMask features,
                       FormRule forms) {
  Row row = form_row(name, family, features, forms, run_copy);
  row.setup = setup_copy;
  row.tasks = copy_tasks;
  row.cost_ns = cost_elements;
  return row;
}
constexpr Row pad_row_of(std::string_view name, std::string_view family, FeatureMask features,
                         FormRule forms) {
  Row row = form_row(name, family, features, forms, run_pad);
  row.setup = setup_pad;
  row.tasks = pad_tasks;
  return row;
}
constexpr Row concat_row(std::string_view name, FeatureMask features) {
  Row row = form_row(name, "concat", features, FormRule::kFollow, run_concat);
  row.tasks = concat_tasks;
  return row;
}
constexpr Row gather_row(std::string_view name, FeatureMask features) {
  Row row = form_row(name, "gather", features, FormRule::kPlain, run_gather);
  row.tasks = gather_tasks;
  return row;
}
constexpr Row cast_row(std::string_view name, FeatureMask features) {
  Row row = form_row(name, "cast", features, FormRule::kFollow, run_cast);
  row.setup = setup_cast;
  row.cost_ns = cost_elements;
  return row;
}
constexpr Row resize_row(std::string_view name, FeatureMask features, Exactness exactness) {
  Row row = form_row(name, "resize", features, FormRule::kChannelsLast, run_resize);
  row.exactness = exactness;
  row.supports = exactness == Exactness::kExact ? supports_nearest : supports_linear;
  row.tasks = resize_tasks;
  row.scratch_bytes = resize_scratch;
  row.cost_ns = cost_elements;
  return row;
}

}  // namespace
}  // namespace pyrt
