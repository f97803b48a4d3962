// The only rows: a step runs for nanoseconds.
#include "kernels/sizes/sizes.h"

namespace pyrt {
namespace {

template <class T, class At>
PYRT_INLINE void write(void* y, int64_t n, const At& at) {
  for (int64_t i = 0; i < n; ++i) static_cast<T*>(y)[i] = static_cast<T>(at(i));
}

template <class At>
PYRT_INLINE void write_any(const Problem& problem, const Call& call, const At& at) {
  const int64_t n = problem.outputs[0].dims.count();
  switch (problem.outputs[0].dtype) {
    case DType::kS32:
      return write<int32_t>(call.outputs[0], n, at);
    case DType::kS64:
      return write<int64_t>(call.outputs[0], n, at);
    case DType::kF32:
      return write<float>(call.outputs[0], n, at);
    default:
      return write<double>(call.outputs[0], n, at);
  }
}

void run_sizes(const Problem& problem, const Call& call, int64_t, int64_t) {
  const SizesParams& params = problem.as<SizesParams>();
  write_any(problem, call, [&](int64_t i) { return params.values[i]; });
}

void run_range(const Problem& problem, const Call& call, int64_t, int64_t) {
  const RangeParams& params = problem.as<RangeParams>();
  write_any(problem, call, [&](int64_t i) { return params.start + i * params.step; });
}

double cost(const Problem& problem) {
  return 20 + static_cast<double>(problem.outputs[0].dims.count());
}

constexpr Row kRows[] = {
    {.name = "range_scalar", .family = "range", .cost_ns = cost, .run = run_range},
    {.name = "sizes_scalar", .family = "sizes", .cost_ns = cost, .run = run_sizes},
};

}  // namespace

extern constinit const Table sizes_scalar;
constinit const Table sizes_scalar{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
