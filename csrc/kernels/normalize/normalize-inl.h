// Rows of softmax, layer_norm and group_norm for the vector ISAs; F is the vector of the ISA. A row
// that is contiguous is summed in vectors that hold the virtual lanes; where the axis is not the
// last, a vector holds neighbouring rows.
#pragma once

#include "kernels/common/canonical_math-inl.h"
#include "kernels/common/lane_sums-inl.h"
#include "kernels/common/loops-inl.h"
#include "kernels/common/pair-inl.h"
#include "kernels/normalize/normalize.h"

namespace pyrt {
namespace {

// Rows of n floats per task.
PYRT_INLINE int64_t rows_per_task(int64_t n) {
  const int64_t rows = n > 0 ? kTaskBytes / static_cast<int64_t>(sizeof(float)) / n : 1;
  return rows < 1 ? 1 : rows;
}
PYRT_INLINE int64_t tasks_of(int64_t rows, int64_t per_task) {
  const int64_t tasks = (rows + per_task - 1) / per_task;
  return tasks < 1 ? 1 : tasks;
}
PYRT_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// The largest element. A NaN is passed over: it reaches the result through the sum.
template <class F>
PYRT_INLINE float largest(const float* x, int64_t n) {
  const auto larger = [](F a, F b) { return select(b > a, b, a); };
  const F least = splat<F>(-__builtin_inff());
  F part[4] = {least, least, least, least};  // chains: a comparison waits for the one before
  int64_t i = 0;
  for (; i + 4 * kLanes<F> <= n; i += 4 * kLanes<F>) {
    for (int k = 0; k < 4; ++k) part[k] = larger(part[k], load<F>(x + i + k * kLanes<F>));
  }
  for (; i < n; i += kLanes<F>) {
    part[0] = larger(
        part[0], load_count<F>(x + i, n - i < kLanes<F> ? n - i : kLanes<F>, -__builtin_inff()));
  }
  float lane[kLanes<F>];
  store(lane, larger(larger(part[0], part[1]), larger(part[2], part[3])));
  float most = lane[0];
  for (int64_t k = 1; k < kLanes<F>; ++k) most = lane[k] > most ? lane[k] : most;
  return most;
}

// Adds vector `first` and those behind it in the order of the elements.
template <class F>
PYRT_INLINE void add_parts(LaneSum<F>* sum, F value, int first) {
  F& part = sum->part[first % LaneSum<F>::kParts];
  part = part + value;
}
template <class F, class V>
PYRT_INLINE void add_parts(LaneSum<F>* sum, Pair<V> value, int first) {
  add_parts(sum, value.lo, first);
  add_parts(sum, value.hi, first + static_cast<int>(kLanes<V> / kLanes<F>));
}

// Sum of e^(x - most); y, where given, receives the terms.
template <class F>
PYRT_INLINE float exp_sum(float* y, const float* x, int64_t n, float most) {
  using Wide = typename WideOf<F>::Type;
  static_assert(kLanes<Wide> % kVirtualLanes == 0);
  LaneSum<F> sum;
  int64_t i = 0;
  for (; i + kLanes<Wide> <= n; i += kLanes<Wide>) {
    const Wide value = canonical::exp_nonpositive(load<Wide>(x + i) - most);
    if (y != nullptr) store(y + i, value);
    add_parts(&sum, value, 0);
  }
  const auto map = [most](F v) { return canonical::exp_nonpositive(v - most); };
  const auto keep = [y, i](int64_t at, F value, int64_t count) {
    if (y == nullptr) return;
    if (count == kLanes<F>) {
      store(y + i + at, value);
    } else {
      store_part(y + i + at, value, count);
    }
  };
  return sum_lanes<F>(x + i, n - i, 0.0f, map, keep, sum);
}

template <class F>
PYRT_INLINE void softmax_row(float* y, const float* x, int64_t n, bool log) {
  const float most = largest<F>(x, n);
  if (log) {
    const float log_sum = canonical::log(exp_sum<F>(nullptr, x, n, most));
    map_lanes<F>(y, x, n, [most, log_sum](F v, int64_t, int64_t) { return (v - most) - log_sum; });
    return;
  }
  const float inverse = 1.0f / exp_sum<F>(y, x, n, most);
  map_lanes<F>(y, y, n, [inverse](F v, int64_t, int64_t) { return v * inverse; });
}

// `count` columns side by side, elements of a column `inner` apart.
template <class F>
PYRT_INLINE void softmax_columns(float* y, const float* x, int64_t n, int64_t inner, int64_t count,
                                 bool log) {
  const auto at = [&](int64_t i) { return load_count<F>(x + i * inner, count, 0.0f); };
  F most = splat<F>(-__builtin_inff());
  for (int64_t i = 0; i < n; ++i) most = select(at(i) > most, at(i), most);
  F lane[kVirtualLanes] = {};
  for (int64_t i = 0; i < n; ++i)
    lane[i % kVirtualLanes] = lane[i % kVirtualLanes] + canonical::exp_nonpositive(at(i) - most);
  const F sum = add_tree(lane);
  const F inverse = 1.0f / sum, log_sum = canonical::log(sum);
  for (int64_t i = 0; i < n; ++i) {
    const F shifted = at(i) - most;
    const F value = log ? shifted - log_sum : canonical::exp_nonpositive(shifted) * inverse;
    if (count == kLanes<F>) {
      store(y + i * inner, value);
    } else {
      store_part(y + i * inner, value, count);
    }
  }
}

// Softmax tasks: some rows where inner is 1, else one vector of columns.
template <class F>
int64_t softmax_tasks(const Problem& problem) {
  const SoftmaxParams& p = problem.as<SoftmaxParams>();
  if (p.inner == 1) return tasks_of(p.outer, rows_per_task(p.n));
  return p.outer * ((p.inner + kLanes<F> - 1) / kLanes<F>);
}

template <class F>
void run_softmax(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const SoftmaxParams& p = problem.as<SoftmaxParams>();
  const float* x = static_cast<const float*>(call.inputs[0]);
  float* y = static_cast<float*>(call.outputs[0]);
  if (p.n == 0) return;
  if (p.inner == 1) {
    const int64_t per_task = rows_per_task(p.n);
    for (int64_t row = begin * per_task; row < least(end * per_task, p.outer); ++row) {
      softmax_row<F>(y + row * p.n, x + row * p.n, p.n, p.log);
    }
    return;
  }
  const int64_t blocks = (p.inner + kLanes<F> - 1) / kLanes<F>;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t column = task % blocks * kLanes<F>;
    const int64_t base = task / blocks * p.n * p.inner + column;
    softmax_columns<F>(y + base, x + base, p.n, p.inner, least(kLanes<F>, p.inner - column), p.log);
  }
}

struct Moments {
  float mean, inverse;
};

template <class F>
PYRT_INLINE Moments moments(const float* x, int64_t n, float epsilon) {
  const float count = static_cast<float>(n);
  const float mean = sum_lanes<F>(x, n, 0.0f, [](F v) { return v; }) / count;
  const float square = sum_lanes<F>(x, n, 0.0f, [mean](F v) { return (v - mean) * (v - mean); });
  return {mean, 1.0f / square_root(square / count + epsilon)};
}

template <class F, bool kScale, bool kBias>
void layer_norm_row(float* y, const float* x, int64_t n, Moments m, const float* scale,
                    const float* bias) {
  map_lanes<F>(y, x, n, [=](F v, int64_t at, int64_t count) {
    F r = (v - m.mean) * m.inverse;
    if constexpr (kScale) r = r * load_count<F>(scale + at, count, 0.0f);
    if constexpr (kBias) r = r + load_count<F>(bias + at, count, 0.0f);
    return r;
  });
}

template <class F>
PYRT_INLINE void group_norm_row(float* y, const float* x, int64_t n, int64_t run, Moments m,
                                const float* scale, const float* bias) {
  for (int64_t c = 0; c * run < n; ++c) {
    const float factor = scale != nullptr ? scale[c] : 1.0f,
                offset = bias != nullptr ? bias[c] : 0.0f;
    const bool shift = bias != nullptr;  // adding 0 would turn -0 into +0
    map_lanes<F>(y + c * run, x + c * run, run, [=](F v, int64_t, int64_t) {
      const F r = (v - m.mean) * m.inverse * factor;
      return shift ? r + offset : r;
    });
  }
}

[[maybe_unused]] int64_t norm_tasks(const Problem& problem) {
  const NormParams& p = problem.as<NormParams>();
  return tasks_of(p.rows, rows_per_task(p.n));
}

template <class F, bool kGroups>
void run_norm(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const NormParams& p = problem.as<NormParams>();
  if (p.n == 0) return;
  const float* scale = problem.has_input(1) ? static_cast<const float*>(call.inputs[1]) : nullptr;
  const float* bias = problem.has_input(2) ? static_cast<const float*>(call.inputs[2]) : nullptr;
  const int64_t per_task = rows_per_task(p.n);
  for (int64_t row = begin * per_task; row < least(end * per_task, p.rows); ++row) {
    const float* x = static_cast<const float*>(call.inputs[0]) + row * p.n;
    float* y = static_cast<float*>(call.outputs[0]) + row * p.n;
    const Moments m = moments<F>(x, p.n, p.epsilon);
    if constexpr (kGroups) {
      const int64_t first = row % p.groups * (p.n / p.run);
      group_norm_row<F>(y, x, p.n, p.run, m, scale != nullptr ? scale + first : nullptr,
                        bias != nullptr ? bias + first : nullptr);
    } else if (scale != nullptr) {
      (bias != nullptr ? layer_norm_row<F, true, true>
                       : layer_norm_row<F, true, false>)(y, x, p.n, m, scale, bias);
    } else {
      (bias != nullptr ? layer_norm_row<F, false, true>
                       : layer_norm_row<F, false, false>)(y, x, p.n, m, scale, bias);
    }
  }
}

// Softmax is bound by the polynomial, the norms by three passes over the row.
template <class F>
double cost_softmax(const Problem& problem) {
  return 60 + static_cast<double>(problem.outputs[0].dims.count()) /
                  (0.08 * static_cast<double>(kLanes<F>));
}
template <class F>
double cost_norm(const Problem& problem) {
  return 60 + static_cast<double>(problem.outputs[0].dims.count()) /
                  (0.25 * static_cast<double>(kLanes<F>));
}

template <class F>
constexpr Row softmax_row_of(std::string_view name, FeatureMask features) {
  return {.name = name,
          .family = "softmax",
          .exactness = Exactness::kCanonical,
          .features = features,
          .cost_ns = cost_softmax<F>,
          .tasks = softmax_tasks<F>,
          .run = run_softmax<F>};
}
template <class F, bool kGroups>
constexpr Row norm_row_of(std::string_view name, FeatureMask features) {
  return {.name = name,
          .family = kGroups ? "group_norm" : "layer_norm",
          .exactness = Exactness::kCanonical,
          .features = features,
          .cost_ns = cost_norm<F>,
          .tasks = norm_tasks,
          .run = run_norm<F, kGroups>};
}

}  // namespace
}  // namespace pyrt
