// The specification of softmax, layer_norm and group_norm: plain loops, one row after another.
#include "kernels/common/canonical_math-inl.h"
#include "kernels/common/lane_sums-inl.h"
#include "kernels/normalize/normalize.h"

namespace pyrt {
namespace {

// One task is one row (softmax: one position of outer and inner).
int64_t softmax_tasks(const Problem& problem) {
  const SoftmaxParams& p = problem.as<SoftmaxParams>();
  return p.outer * p.inner;
}
int64_t norm_tasks(const Problem& problem) { return problem.as<NormParams>().rows; }

void run_softmax(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const SoftmaxParams& p = problem.as<SoftmaxParams>();
  for (int64_t task = begin; task < end; ++task) {
    const int64_t base = task / p.inner * p.n * p.inner + task % p.inner;
    const float* x = static_cast<const float*>(call.inputs[0]) + base;
    float* y = static_cast<float*>(call.outputs[0]) + base;
    float most = -__builtin_inff();
    // A NaN is passed over: it reaches the result through the sum.
    for (int64_t i = 0; i < p.n; ++i) most = x[i * p.inner] > most ? x[i * p.inner] : most;
    float lane[kVirtualLanes] = {};
    for (int64_t i = 0; i < p.n; ++i)
      lane[i % kVirtualLanes] += canonical::exp_of_difference(x[i * p.inner] - most);
    const float sum = add_tree(lane);
    const float inverse = 1.0f / sum, log_sum = canonical::log(sum);
    for (int64_t i = 0; i < p.n; ++i) {
      const float shifted = x[i * p.inner] - most;
      y[i * p.inner] = p.log ? shifted - log_sum : canonical::exp_of_difference(shifted) * inverse;
    }
  }
}

void run_norm(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const NormParams& p = problem.as<NormParams>();
  const float* scale = problem.has_input(1) ? static_cast<const float*>(call.inputs[1]) : nullptr;
  const float* bias = problem.has_input(2) ? static_cast<const float*>(call.inputs[2]) : nullptr;
  const float count = static_cast<float>(p.n);
  for (int64_t row = begin; row < end; ++row) {
    const float* x = static_cast<const float*>(call.inputs[0]) + row * p.n;
    float* y = static_cast<float*>(call.outputs[0]) + row * p.n;
    float lane[kVirtualLanes] = {};
    for (int64_t i = 0; i < p.n; ++i) lane[i % kVirtualLanes] += x[i];
    const float mean = add_tree(lane) / count;
    float square[kVirtualLanes] = {};
    for (int64_t i = 0; i < p.n; ++i) square[i % kVirtualLanes] += (x[i] - mean) * (x[i] - mean);
    const float inverse = 1.0f / square_root(add_tree(square) / count + p.epsilon);
    const int64_t first = p.run > 0 ? row % p.groups * (p.n / p.run) : 0;
    for (int64_t i = 0; i < p.n; ++i) {
      float v = (x[i] - mean) * inverse;
      if (scale != nullptr) v = v * scale[first + i / p.run];
      if (bias != nullptr) v = v + bias[first + i / p.run];
      y[i] = v;
    }
  }
}

double cost(const Problem& problem) {
  return 60 + 20.0 * static_cast<double>(problem.outputs[0].dims.count());
}

constexpr Row kRows[] = {
    {.name = "group_norm_f32_scalar",
     .family = "group_norm",
     .exactness = Exactness::kCanonical,
     .cost_ns = cost,
     .tasks = norm_tasks,
     .run = run_norm},
    {.name = "layer_norm_f32_scalar",
     .family = "layer_norm",
     .exactness = Exactness::kCanonical,
     .cost_ns = cost,
     .tasks = norm_tasks,
     .run = run_norm},
    {.name = "softmax_f32_scalar",
     .family = "softmax",
     .exactness = Exactness::kCanonical,
     .cost_ns = cost,
     .tasks = softmax_tasks,
     .run = run_softmax},
};

}  // namespace

extern constinit const Table normalize_scalar;
constinit const Table normalize_scalar{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
