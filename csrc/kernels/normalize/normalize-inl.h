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

// Rows that are worked on at once: what combines the elements of one row is a chain of operations
// that wait for each other.
constexpr int kRowsAtOnce = 4;

// Calls each(row, constant) for rows [begin, end), where the constant says how many rows to take.
template <class Each>
PYRT_INLINE void for_row_groups(int64_t begin, int64_t end, const Each& each) {
  int64_t row = begin;
  for (; row + kRowsAtOnce <= end; row += kRowsAtOnce) each.template operator()<kRowsAtOnce>(row);
  for (; row < end; ++row) each.template operator()<1>(row);
}

// most[r] = the largest element of row r. A NaN is passed over: it reaches the result through the
// sum.
template <class F, int kRows>
PYRT_INLINE void largest(float* most, const float* x, int64_t n) {
  const auto larger_of = [](auto a, auto b) { return larger(b, a); };
  const float least = -__builtin_inff();
  F part[kRows];
  for (F& value : part) value = splat<F>(least);
  for (int64_t i = 0; i < n; i += kLanes<F>) {
    const int64_t count = n - i < kLanes<F> ? n - i : kLanes<F>;
    for (int r = 0; r < kRows; ++r)
      part[r] = larger_of(part[r], load_count<F>(x + r * n + i, count, least));
  }
  for (int r = 0; r < kRows; ++r) most[r] = fold(part[r], larger_of);
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
    const Wide value = canonical::exp_of_difference(load<Wide>(x + i) - most);
    if (y != nullptr) store(y + i, value);
    add_parts(&sum, value, 0);
  }
  for (int k = 0; i < n; ++k, i += kLanes<F>) {
    const int64_t count = n - i < kLanes<F> ? n - i : kLanes<F>;
    // Behind the end e^-infinity = 0 is added, which changes nothing.
    const F value =
        canonical::exp_of_difference(load_count<F>(x + i, count, -__builtin_inff()) - most);
    if (y != nullptr) store_count(y + i, value, count);
    add_parts(&sum, value, k);
  }
  return sum.total();
}

template <class F, int kRows>
PYRT_INLINE void softmax_rows(float* y, const float* x, int64_t n, bool log) {
  float most[kRows], sum[kRows];
  largest<F, kRows>(most, x, n);
  for (int r = 0; r < kRows; ++r)
    sum[r] = exp_sum<F>(log ? nullptr : y + r * n, x + r * n, n, most[r]);
  for (int r = 0; r < kRows; ++r) {
    if (log) {
      const float shift = most[r], log_sum = canonical::log(sum[r]);
      map_lanes<F>(y + r * n, x + r * n, n,
                   [=](F v, int64_t, int64_t) { return (v - shift) - log_sum; });
    } else {
      const float inverse = 1.0f / sum[r];
      map_lanes<F>(y + r * n, y + r * n, n, [=](F v, int64_t, int64_t) { return v * inverse; });
    }
  }
}

// `count` columns side by side, elements of a column `inner` apart.
template <class F>
PYRT_INLINE void softmax_columns(float* y, const float* x, int64_t n, int64_t inner, int64_t count,
                                 bool log) {
  const auto at = [&](const float* from, int64_t i) {
    return load_count<F>(from + i * inner, count, 0.0f);
  };
  F most = splat<F>(-__builtin_inff());
  for (int64_t i = 0; i < n; ++i) most = larger(at(x, i), most);
  F lane[kVirtualLanes] = {};
  for (int64_t i = 0; i < n; ++i) {
    const F value = canonical::exp_of_difference(at(x, i) - most);
    if (!log) store_count(y + i * inner, value, count);
    lane[i % kVirtualLanes] = lane[i % kVirtualLanes] + value;
  }
  const F sum = add_tree(lane);
  const F inverse = 1.0f / sum, log_sum = canonical::log(sum);
  for (int64_t i = 0; i < n; ++i) {
    const F value = log ? (at(x, i) - most) - log_sum : at(y, i) * inverse;
    store_count(y + i * inner, value, count);
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
    for_row_groups(begin * per_task, least(end * per_task, p.outer), [&]<int kRows>(int64_t row) {
      softmax_rows<F, kRows>(y + row * p.n, x + row * p.n, p.n, p.log);
    });
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

template <class F, int kRows>
PYRT_INLINE void moments(Moments* m, const float* x, int64_t n, float epsilon) {
  const float count = static_cast<float>(n);
  float mean[kRows], square[kRows];
  sum_rows<F, kRows>(mean, x, n, [](F v, int) { return v; });
  for (int r = 0; r < kRows; ++r) mean[r] = mean[r] / count;
  sum_rows<F, kRows>(square, x, n, [&mean](F v, int r) { return (v - mean[r]) * (v - mean[r]); });
  for (int r = 0; r < kRows; ++r) m[r] = {mean[r], 1.0f / square_root(square[r] / count + epsilon)};
}

template <class F, int kRows, bool kScale, bool kBias>
void layer_norm_rows(float* y, const float* x, int64_t n, const Moments* moments_of,
                     const float* scale, const float* bias) {
  Moments m[kRows];
  for (int r = 0; r < kRows; ++r) m[r] = moments_of[r];
  const auto vectors = [&](int64_t i, int64_t count) {
    const F factor = kScale ? load_count<F>(scale + i, count, 0.0f) : F{};
    const F offset = kBias ? load_count<F>(bias + i, count, 0.0f) : F{};
    for (int r = 0; r < kRows; ++r) {
      F v = (load_count<F>(x + r * n + i, count, 0.0f) - m[r].mean) * m[r].inverse;
      if constexpr (kScale) v = v * factor;
      if constexpr (kBias) v = v + offset;
      store_count(y + r * n + i, v, count);
    }
  };
  int64_t i = 0;
  for (; i + kLanes<F> <= n; i += kLanes<F>) vectors(i, kLanes<F>);
  if (i < n) vectors(i, n - i);
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
  for_row_groups(begin * per_task, least(end * per_task, p.rows), [&]<int kRows>(int64_t row) {
    const float* x = static_cast<const float*>(call.inputs[0]) + row * p.n;
    float* y = static_cast<float*>(call.outputs[0]) + row * p.n;
    Moments m[kRows];
    moments<F, kRows>(m, x, p.n, p.epsilon);
    if constexpr (kGroups) {
      for (int r = 0; r < kRows; ++r) {
        const int64_t first = (row + r) % p.groups * (p.n / p.run);
        group_norm_row<F>(y + r * p.n, x + r * p.n, p.n, p.run, m[r],
                          scale != nullptr ? scale + first : nullptr,
                          bias != nullptr ? bias + first : nullptr);
      }
    } else if (scale != nullptr) {
      (bias != nullptr ? layer_norm_rows<F, kRows, true, true>
                       : layer_norm_rows<F, kRows, true, false>)(y, x, p.n, m, scale, bias);
    } else {
      (bias != nullptr ? layer_norm_rows<F, kRows, false, true>
                       : layer_norm_rows<F, kRows, false, false>)(y, x, p.n, m, scale, bias);
    }
  });
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
