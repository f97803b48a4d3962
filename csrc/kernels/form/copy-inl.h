// Strided reads into a dense output (transpose, slice, expand) and block copies (concat): collapsed
// to the longest runs that are contiguous on both sides, with a tiled path where the innermost axes
// of the two sides differ.
#pragma once

#include "kernels/common/loops-inl.h"
#include "kernels/form/form.h"

namespace pyrt {
namespace {

PYRT_INLINE const uint8_t* element(const void* base, int64_t at, size_t bytes) {
  return static_cast<const uint8_t*>(base) + at * static_cast<int64_t>(bytes);
}
PYRT_INLINE uint8_t* element(void* base, int64_t at, size_t bytes) {
  return static_cast<uint8_t*>(base) + at * static_cast<int64_t>(bytes);
}
PYRT_INLINE void copy_bytes(void* to, const void* from, int64_t elements, size_t bytes) {
  if (elements > 0) __builtin_memcpy(to, from, static_cast<size_t>(elements) * bytes);
}

// Calls visit(T{}) with an unsigned integer of `bytes`.
template <class Visit>
PYRT_INLINE void visit_size(size_t bytes, const Visit& visit) {
  switch (bytes) {
    case 1:
      return visit(uint8_t{});
    case 2:
      return visit(uint16_t{});
    case 4:
      return visit(uint32_t{});
    default:
      return visit(uint64_t{});
  }
}

template <class T>
PYRT_INLINE void strided_run(T* y, const T* x, int64_t stride, int64_t n) {
  if (stride == 1) return copy_bytes(y, x, n, sizeof(T));
  if (stride == 0) {
    const T value = *x;
    for (int64_t i = 0; i < n; ++i) y[i] = value;
    return;
  }
  for (int64_t i = 0; i < n; ++i) y[i] = x[i * stride];
}

struct BoundCopy {
  CopyParams params;
  int64_t offset = 0;
  int across = -1;  // axis of the nest whose neighbours are neighbours in x, where the innermost
                    // axis has not that
  Nest<1> nest;
};

[[maybe_unused]] void setup_copy(Problem& problem) {
  BoundCopy& bound = problem.as<BoundCopy>();
  const Operand &x = problem.inputs[0], &y = problem.outputs[0];
  int64_t own[kMaxRank] = {};
  x.strides(own);
  int64_t strides[1][kMaxRank] = {};
  bound.offset = 0;
  for (int i = 0; i < x.dims.rank; ++i) bound.offset += bound.params.start[i] * own[i];
  for (int i = 0; i < y.dims.rank; ++i) {
    const int axis = bound.params.axis[i];
    if (axis >= 0 && y.dims[i] > 1) strides[0][i] = own[axis] * bound.params.step[i];
  }
  bound.nest = collapse<1>(y, strides);
  bound.across = -1;
  const int inner = bound.nest.rank - 1;
  if (bound.nest.stride[0][inner] == 1 || bound.nest.stride[0][inner] == 0) return;
  for (int i = 0; i < inner; ++i) {
    // A short axis gives too little to share a cache line.
    if (bound.nest.stride[0][i] == 1 && bound.nest.extent[i] >= 4) bound.across = i;
  }
}

// Rows of the axis `across` per task where the tiled path is taken: a multiple of the tile.
constexpr int64_t kTile = 16;
PYRT_INLINE int64_t rows_per_task(const Nest<1>& nest, size_t bytes) {
  const int64_t row = nest.extent[nest.rank - 1] * static_cast<int64_t>(bytes);
  const int64_t rows = kTaskBytes / (row > 0 ? row : 1);
  return rows < kTile ? kTile : (rows + kTile - 1) / kTile * kTile;
}

[[maybe_unused]] int64_t copy_tasks(const Problem& problem) {
  const BoundCopy& bound = problem.as<BoundCopy>();
  if (bound.across < 0) return output_tasks(problem);
  const Nest<1>& nest = bound.nest;
  if (nest.count == 0) return 1;
  const int64_t rows = nest.extent[bound.across];
  const int64_t per_task = rows_per_task(nest, dtype_bytes(problem.outputs[0].dtype));
  return nest.count / (rows * nest.extent[nest.rank - 1]) * ((rows + per_task - 1) / per_task);
}

// y[j * y_row + i] = x[j + i * x_column] for j < rows, i < columns, in tiles that keep both sides
// in L1.
template <class T>
PYRT_INLINE void transpose_block(T* y, int64_t y_row, const T* x, int64_t x_column, int64_t rows,
                                 int64_t columns) {
  int64_t i0 = 0;
  for (; i0 + kTile <= columns; i0 += kTile) {
    int64_t j0 = 0;
    for (; j0 + kTile <= rows; j0 += kTile) {
      T tile[kTile][kTile];
      for (int64_t i = 0; i < kTile; ++i) {
        const T* from = x + j0 + (i0 + i) * x_column;
        for (int64_t j = 0; j < kTile; ++j) tile[j][i] = from[j];
      }
      for (int64_t j = 0; j < kTile; ++j) {
        __builtin_memcpy(y + (j0 + j) * y_row + i0, tile[j], sizeof(tile[j]));
      }
    }
    for (; j0 < rows; ++j0) {
      for (int64_t i = i0; i < i0 + kTile; ++i) y[j0 * y_row + i] = x[j0 + i * x_column];
    }
  }
  for (int64_t j = 0; j < rows; ++j) {
    for (int64_t i = i0; i < columns; ++i) y[j * y_row + i] = x[j + i * x_column];
  }
}

PYRT_INLINE void run_across(const BoundCopy& bound, const void* x, void* y, size_t bytes,
                            int64_t begin, int64_t end) {
  const Nest<1>& nest = bound.nest;
  const int inner = nest.rank - 1, across = bound.across;
  int64_t y_stride[kMaxRank] = {};
  y_stride[inner] = 1;
  for (int i = inner - 1; i >= 0; --i) y_stride[i] = y_stride[i + 1] * nest.extent[i + 1];
  const int64_t rows = nest.extent[across], per_task = rows_per_task(nest, bytes);
  const int64_t blocks = (rows + per_task - 1) / per_task;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t first = task % blocks * per_task;
    int64_t rest = task / blocks;
    int64_t from = bound.offset + first, to = first * y_stride[across];
    for (int i = inner - 1; i >= 0; --i) {
      if (i == across) continue;
      const int64_t index = rest % nest.extent[i];
      rest /= nest.extent[i];
      from += index * nest.stride[0][i];
      to += index * y_stride[i];
    }
    const int64_t n = rows - first < per_task ? rows - first : per_task;
    visit_size(bytes, [&](auto unit) {
      using T = decltype(unit);
      transpose_block(static_cast<T*>(y) + to, y_stride[across], static_cast<const T*>(x) + from,
                      nest.stride[0][inner], n, nest.extent[inner]);
    });
  }
}

[[maybe_unused]] void run_copy(const Problem& problem, const Call& call, int64_t begin,
                               int64_t end) {
  const BoundCopy& bound = problem.as<BoundCopy>();
  const size_t bytes = dtype_bytes(problem.outputs[0].dtype);
  if (bound.nest.count == 0) return;
  if (bound.across >= 0)
    return run_across(bound, call.inputs[0], call.outputs[0], bytes, begin, end);
  const int64_t stride = bound.nest.stride[0][bound.nest.rank - 1];
  visit_size(bytes, [&](auto unit) {
    using T = decltype(unit);
    const T* x = static_cast<const T*>(call.inputs[0]) + bound.offset;
    T* y = static_cast<T*>(call.outputs[0]);
    for_each_run(bound.nest, task_begin(begin, bytes), task_end(end, bound.nest.count, bytes),
                 [&](int64_t first, int64_t n, const int64_t* offsets) {
                   strided_run(y + first, x + offsets[0], stride, n);
                 });
  });
}

// Every input of concat is cut into tasks of its own.
[[maybe_unused]] int64_t concat_tasks(const Problem& problem) {
  int64_t tasks = 0;
  for (const Operand& x : problem.inputs) tasks += task_count(x.dims.count(), dtype_bytes(x.dtype));
  return tasks;
}

PYRT_INLINE void concat_input(const Operand& x, const Operand& y, int64_t y_offset,
                              const void* from, void* to, int64_t begin, int64_t end) {
  // The walk is over x in the order of y's memory; both sides have strides.
  Operand part = x;
  part.form = y.form;
  int64_t strides[2][kMaxRank] = {};
  x.strides(strides[0]);
  y.strides(strides[1]);
  const Nest<2> nest = collapse<2>(part, strides);
  const size_t bytes = dtype_bytes(x.dtype);
  const int64_t x_step = nest.stride[0][nest.rank - 1], y_step = nest.stride[1][nest.rank - 1];
  for_each_run(nest, task_begin(begin, bytes), task_end(end, nest.count, bytes),
               [&](int64_t, int64_t n, const int64_t* offsets) {
                 if (x_step == 1 && y_step == 1) {
                   return copy_bytes(element(to, y_offset + offsets[1], bytes),
                                     element(from, offsets[0], bytes), n, bytes);
                 }
                 visit_size(bytes, [&](auto unit) {
                   using T = decltype(unit);
                   const T* a = static_cast<const T*>(from) + offsets[0];
                   T* b = static_cast<T*>(to) + y_offset + offsets[1];
                   for (int64_t i = 0; i < n; ++i) b[i * y_step] = a[i * x_step];
                 });
               });
}

[[maybe_unused]] void run_concat(const Problem& problem, const Call& call, int64_t begin,
                                 int64_t end) {
  const int axis = problem.as<ConcatParams>().axis;
  const Operand& y = problem.outputs[0];
  int64_t y_strides[kMaxRank] = {};
  y.strides(y_strides);
  int64_t y_offset = 0;
  for (size_t i = 0; i < problem.inputs.size(); ++i) {
    const Operand& x = problem.inputs[i];
    const int64_t tasks = task_count(x.dims.count(), dtype_bytes(x.dtype));
    if (begin < tasks && end > 0 && x.dims.count() > 0) {
      concat_input(x, y, y_offset, call.inputs[i], call.outputs[0], begin > 0 ? begin : 0,
                   end < tasks ? end : tasks);
    }
    begin -= tasks;
    end -= tasks;
    y_offset += x.dims[axis] * y_strides[axis];
  }
}

}  // namespace
}  // namespace pyrt
