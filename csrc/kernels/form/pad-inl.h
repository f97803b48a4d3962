// pad and tile: rows of the innermost axis that is padded, each piece of it copied in one go. Axes
// behind that one are part of the element copied.
#pragma once

#include "kernels/form/copy-inl.h"

namespace pyrt {
namespace {

struct BoundPad {
  PadParams params;
  int rank = 0;       // axes up to the row axis, outermost first
  int64_t inner = 1;  // elements copied for one position of the row axis
  int64_t rows = 1;   // product of the axes before the row axis
  int64_t y_dim[kMaxRank] = {}, x_dim[kMaxRank] = {}, x_stride[kMaxRank] = {}, begin[kMaxRank] = {};
};

[[maybe_unused]] void setup_pad(Problem& problem) {
  BoundPad& bound = problem.as<BoundPad>();
  const Operand &x = problem.inputs[0], &y = problem.outputs[0];
  int order[kMaxRank] = {};
  int64_t strides[kMaxRank] = {};
  physical_order(y, order);
  x.strides(strides);
  bound.rank = y.dims.rank;
  bound.inner = bound.rows = 1;
  // Trailing axes that are the same on both sides.
  while (bound.rank > 1) {
    const int axis = order[bound.rank - 1];
    const bool whole = bound.params.begin[axis] == 0 && y.dims[axis] == x.dims[axis];
    if (!whole || (x.dims[axis] > 1 && strides[axis] != bound.inner)) break;
    bound.inner *= y.dims[axis];
    --bound.rank;
  }
  for (int i = 0; i < bound.rank; ++i) {
    const int axis = order[i];
    bound.y_dim[i] = y.dims[axis];
    bound.x_dim[i] = x.dims[axis];
    bound.x_stride[i] = strides[axis];
    bound.begin[i] = bound.params.begin[axis];
    if (i + 1 < bound.rank) bound.rows *= y.dims[axis];
  }
  if (bound.rank == 0) {  // a scalar: one row of one element
    bound.rank = 1;
    bound.y_dim[0] = bound.x_dim[0] = 1;
    bound.x_stride[0] = 1;
    bound.begin[0] = 0;
  }
}

// The position in x of position p of y, or -1 for the fill value.
PYRT_INLINE int64_t source_of(PadMode mode, int64_t p, int64_t begin, int64_t dim) {
  int64_t v = p - begin;
  if (v >= 0 && v < dim) return v;
  switch (mode) {
    case PadMode::kConstant:
      return -1;
    case PadMode::kReflect:
      return v < 0 ? -v : 2 * (dim - 1) - v;
    case PadMode::kEdge:
      return v < 0 ? 0 : dim - 1;
    default:
      v %= dim;
      return v < 0 ? v + dim : v;
  }
}

PYRT_INLINE int64_t pad_rows_per_task(const BoundPad& bound, size_t bytes) {
  const int64_t row = bound.y_dim[bound.rank - 1] * bound.inner * static_cast<int64_t>(bytes);
  const int64_t rows = kTaskBytes / (row > 0 ? row : 1);
  return rows < 1 ? 1 : rows;
}

[[maybe_unused]] int64_t pad_tasks(const Problem& problem) {
  const BoundPad& bound = problem.as<BoundPad>();
  const int64_t per_task = pad_rows_per_task(bound, dtype_bytes(problem.outputs[0].dtype));
  const int64_t tasks = (bound.rows + per_task - 1) / per_task;
  return tasks < 1 ? 1 : tasks;
}

template <class T>
PYRT_INLINE void fill_run(T* y, T value, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = value;
}

template <class T>
PYRT_INLINE void pad_row(const BoundPad& bound, T* y, const T* x, T value) {
  const int at = bound.rank - 1;
  const int64_t extent = bound.y_dim[at], dim = bound.x_dim[at], stride = bound.x_stride[at],
                inner = bound.inner;
  const int64_t begin = bound.begin[at];
  for (int64_t p = 0; p < extent;) {
    const int64_t v = source_of(bound.params.mode, p, begin, dim);
    if (v < 0) {
      int64_t n = p < begin ? begin - p : extent - p;
      n = n < extent - p ? n : extent - p;
      fill_run(y + p * inner, value, n * inner);
      p += n;
      continue;
    }
    // Positions that follow one another in x as well: the middle, and every repeat of wrap.
    const bool straight = (p >= begin && p - begin < dim) || bound.params.mode == PadMode::kWrap;
    int64_t n = straight ? dim - v : 1;
    n = n < extent - p ? n : extent - p;
    if (stride == inner) {
      copy_bytes(y + p * inner, x + v * stride, n * inner, sizeof(T));
    } else {
      for (int64_t i = 0; i < n; ++i)
        copy_bytes(y + (p + i) * inner, x + (v + i) * stride, inner, sizeof(T));
    }
    p += n;
  }
}

[[maybe_unused]] void run_pad(const Problem& problem, const Call& call, int64_t begin,
                              int64_t end) {
  const BoundPad& bound = problem.as<BoundPad>();
  const size_t bytes = dtype_bytes(problem.outputs[0].dtype);
  if (problem.outputs[0].dims.count() == 0) return;
  const int64_t per_task = pad_rows_per_task(bound, bytes);
  const int64_t last = end * per_task < bound.rows ? end * per_task : bound.rows;
  const int64_t row_elements = bound.y_dim[bound.rank - 1] * bound.inner;
  visit_size(bytes, [&](auto unit) {
    using T = decltype(unit);
    const T value = problem.has_input(1) ? *static_cast<const T*>(call.inputs[1]) : T{0};
    for (int64_t row = begin * per_task; row < last; ++row) {
      T* y = static_cast<T*>(call.outputs[0]) + row * row_elements;
      int64_t offset = 0, rest = row;
      bool inside = true;
      for (int i = bound.rank - 2; i >= 0; --i) {
        const int64_t v =
            source_of(bound.params.mode, rest % bound.y_dim[i], bound.begin[i], bound.x_dim[i]);
        rest /= bound.y_dim[i];
        inside = inside && v >= 0;
        offset += v * bound.x_stride[i];
      }
      if (inside) {
        pad_row(bound, y, static_cast<const T*>(call.inputs[0]) + offset, value);
      } else {
        fill_run(y, value, row_elements);
      }
    }
  });
}

}  // namespace
}  // namespace pyrt
