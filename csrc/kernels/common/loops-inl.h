// The loop nest over a dense output and strided inputs, shared by the families that visit every
// output element once: axes in the output's physical order, size-1 axes dropped and neighbours
// merged, so that broadcasts, slices, mixed layouts and transposes all become a few long inner
// runs.
#pragma once

#include "kernels/kernel.h"

namespace pyrt {
namespace {

// Elements of output a task should have at least: about 16 KB, some microseconds of work against
// the fraction of a microsecond that waking a thread costs.
constexpr int64_t kTaskBytes = 16384;

// N strided operands beside the dense output.
template <int N>
struct Nest {
  int rank = 0;       // >= 1
  int64_t count = 0;  // elements of the output
  int64_t extent[kMaxRank] = {};
  int64_t stride[N][kMaxRank] = {};  // elements; may be 0 (broadcast) or negative
};

// Axes of `operand` from outermost to innermost in memory.
PYRT_INLINE void physical_order(const Operand& operand, int order[kMaxRank]) {
  const int rank = operand.dims.rank;
  for (int i = 0; i < rank; ++i) order[i] = i;
  if (operand.form.layout == Layout::kChannelsLast && rank >= 3) {
    for (int i = 1; i + 1 < rank; ++i) order[i] = i + 1;
    order[rank - 1] = 1;
  }
}

// Strides of `x` along the axes of `y`, to which it is broadcast as numpy does.
PYRT_INLINE void broadcast_strides(const Operand& x, const Dims& y, int64_t out[kMaxRank]) {
  int64_t own[kMaxRank] = {};
  x.strides(own);
  for (int i = 0; i < y.rank; ++i) {
    const int axis = i - (y.rank - x.dims.rank);
    out[i] = axis < 0 || x.dims[axis] == 1 ? 0 : own[axis];
  }
}

// `strides` are along the axes of y in ONNX order; extents are y's dims.
template <int N>
PYRT_INLINE Nest<N> collapse(const Operand& y, const int64_t (&strides)[N][kMaxRank]) {
  Nest<N> nest;
  nest.count = y.dims.count();
  int order[kMaxRank] = {};
  physical_order(y, order);
  for (int i = 0; i < y.dims.rank; ++i) {
    const int axis = order[i];
    const int64_t extent = y.dims[axis];
    if (extent == 1) continue;
    bool merge = nest.rank > 0;
    for (int k = 0; k < N && merge; ++k) {
      merge = nest.stride[k][nest.rank - 1] == strides[k][axis] * extent;
    }
    const int at = merge ? nest.rank - 1 : nest.rank++;
    nest.extent[at] = merge ? nest.extent[at] * extent : extent;
    for (int k = 0; k < N; ++k) nest.stride[k][at] = strides[k][axis];
  }
  if (nest.rank == 0) {
    nest.rank = 1;
    nest.extent[0] = 1;
    for (int k = 0; k < N; ++k)
      nest.stride[k][0] = 1;  // one element: any stride, and 1 is the fast one
  }
  return nest;
}

// Visits outputs [begin, end) in memory order: run(first, length, offsets) per piece of an inner
// run, where offsets[k] is the element of operand k that belongs to output `first`; along the run
// it moves by stride[k][rank - 1].
template <int N, class Run>
PYRT_INLINE void for_each_run(const Nest<N>& nest, int64_t begin, int64_t end, const Run& run) {
  if (begin >= end) return;
  const int inner = nest.rank - 1;
  int64_t index[kMaxRank] = {};
  int64_t offsets[N] = {};
  int64_t rest = begin;
  for (int i = inner; i >= 0; --i) {
    index[i] = rest % nest.extent[i];
    rest /= nest.extent[i];
    for (int k = 0; k < N; ++k) offsets[k] += index[i] * nest.stride[k][i];
  }
  for (int64_t first = begin; first < end;) {
    int64_t length = nest.extent[inner] - index[inner];
    if (length > end - first) length = end - first;
    run(first, length, offsets);
    first += length;
    for (int k = 0; k < N; ++k) offsets[k] -= index[inner] * nest.stride[k][inner];
    index[inner] = 0;
    for (int i = inner - 1; i >= 0; --i) {
      for (int k = 0; k < N; ++k) offsets[k] += nest.stride[k][i];
      if (++index[i] < nest.extent[i]) break;
      for (int k = 0; k < N; ++k) offsets[k] -= index[i] * nest.stride[k][i];
      index[i] = 0;
    }
  }
}

// Elements per task and tasks for `count` outputs of `bytes` each.
PYRT_INLINE int64_t task_elements(size_t bytes) { return kTaskBytes / static_cast<int64_t>(bytes); }
PYRT_INLINE int64_t task_count(int64_t count, size_t bytes) {
  const int64_t chunk = task_elements(bytes);
  return count <= chunk ? 1 : (count + chunk - 1) / chunk;
}
// The outputs of tasks [begin, end).
PYRT_INLINE int64_t task_begin(int64_t begin, size_t bytes) { return begin * task_elements(bytes); }
PYRT_INLINE int64_t task_end(int64_t end, int64_t count, size_t bytes) {
  const int64_t last = end * task_elements(bytes);
  return last < count ? last : count;
}

// tasks() of rows whose tasks are chunks of outputs[0].
[[maybe_unused]] int64_t output_tasks(const Problem& problem) {
  const Operand& y = problem.outputs[0];
  return task_count(y.dims.count(), dtype_bytes(y.dtype));
}

// Bytes that a step reads and writes.
[[maybe_unused]] double bytes_moved(const Problem& problem) {
  double bytes = 0;
  for (const Operand& x : problem.inputs) {
    if (x.present)
      bytes += static_cast<double>(x.dims.count()) * static_cast<double>(dtype_bytes(x.dtype));
  }
  for (const Operand& y : problem.outputs) {
    if (y.present)
      bytes += static_cast<double>(y.dims.count()) * static_cast<double>(dtype_bytes(y.dtype));
  }
  return bytes;
}

}  // namespace
}  // namespace pyrt
