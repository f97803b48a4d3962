// pool in plain loops: the specification of every other row.
#include "kernels/pool/pool-inl.h"

namespace pyrt {
namespace {

double cost_ns(const Problem& problem) {  // order of magnitude on Zen 3: any vector row must win
  return 50 + 1.5 * pool_work(problem.as<PoolParams>());
}

void run_max_f32(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const auto& p = problem.as<PoolParams>();
  for_pixels<float>(problem, call, begin, end,
                    [&p](const Window& window, int64_t c0, int64_t c1, float* y) {
                      for (int64_t c = c0; c < c1; ++c) y[c] = max_f32(p, window, c);
                    });
}

void run_average_f32(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const auto& p = problem.as<PoolParams>();
  for_pixels<float>(problem, call, begin, end,
                    [&p](const Window& window, int64_t c0, int64_t c1, float* y) {
                      for (int64_t c = c0; c < c1; ++c) y[c] = average_f32(p, window, c);
                    });
}

void run_max_s8(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const auto& p = problem.as<PoolParams>();
  for_pixels<int8_t>(problem, call, begin, end,
                     [&p](const Window& window, int64_t c0, int64_t c1, int8_t* y) {
                       for (int64_t c = c0; c < c1; ++c) y[c] = max_s8(p, window, c);
                     });
}

void run_average_s8(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const auto& p = problem.as<PoolParams>();
  const float scale = *static_cast<const float*>(call.inputs[kPoolScale]);
  for_pixels<int8_t>(problem, call, begin, end,
                     [&p, scale](const Window& window, int64_t c0, int64_t c1, int8_t* y) {
                       for (int64_t c = c0; c < c1; ++c) y[c] = average_s8(p, window, scale, c);
                     });
}

constexpr Row row(const char* name, Exactness exactness, const char* (*supports)(const Problem&),
                  void (*run)(const Problem&, const Call&, int64_t, int64_t)) {
  return {.name = name,
          .family = "pool",
          .exactness = exactness,
          .forms = FormRule::kChannelsLast,
          .supports = supports,
          .cost_ns = cost_ns,
          .tasks = pool_tasks,
          .run = run};
}

constexpr Row kRows[] = {
    row("pool_average_f32_scalar", Exactness::kCanonical, supports_average_f32, run_average_f32),
    row("pool_average_s8_scalar", Exactness::kExact, supports_average_s8, run_average_s8),
    row("pool_max_f32_scalar", Exactness::kExact, supports_max_f32, run_max_f32),
    row("pool_max_s8_scalar", Exactness::kExact, supports_max_s8, run_max_s8),
};

}  // namespace

extern constinit const Table pool_scalar;
constinit const Table pool_scalar{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
