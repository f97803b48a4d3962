// Rows of reduce and arg_reduce for the vector ISAs; F is the vector of the ISA. Where the reduced
// elements of an output are contiguous, vectors hold virtual lanes; where neighbouring outputs are,
// vectors hold outputs and there are 16 of them; else one output at a time.
#pragma once

#include "kernels/common/loops-inl.h"
#include "kernels/reduce/reduce_ops-inl.h"

namespace pyrt {
namespace {

struct BoundReduce {
  ReduceParams params;
  Nest<1> kept;     // over the outputs, strides in x
  Nest<1> reduced;  // over what an output combines, in ONNX order, strides in x
};

[[maybe_unused]] void setup_reduce(Problem& problem) {
  BoundReduce& bound = problem.as<BoundReduce>();
  const Operand &x = problem.inputs[0], &y = problem.outputs[0];
  int64_t own[kMaxRank] = {};
  x.strides(own);
  int64_t kept[1][kMaxRank] = {}, reduced[1][kMaxRank] = {};
  for (int i = 0; i < y.dims.rank; ++i) kept[0][i] = own[bound.params.kept[i]];
  bound.kept = collapse<1>(y, kept);
  Operand inside = x;  // a copy: a default constructor would be a weak symbol in debug builds
  inside.form.layout = Layout::kPlain;
  inside.dims.rank = 0;
  for (int i = 0; i < x.dims.rank; ++i) {
    if ((bound.params.axes >> i & 1) == 0) continue;
    reduced[0][inside.dims.rank] = own[i];
    inside.dims.at[inside.dims.rank++] = x.dims[i];
  }
  bound.reduced = collapse<1>(inside, reduced);
}

PYRT_INLINE int64_t outputs_per_task(int64_t n) {
  const int64_t outputs = n > 0 ? kTaskBytes / static_cast<int64_t>(sizeof(float)) / n : kTaskBytes;
  return (outputs + 15) / 16 * 16 + (outputs < 1 ? 16 : 0);  // whole vectors of outputs
}
[[maybe_unused]] int64_t reduce_tasks(const Problem& problem) {
  const int64_t per_task = outputs_per_task(problem.as<BoundReduce>().params.n);
  const int64_t tasks = (problem.outputs[0].dims.count() + per_task - 1) / per_task;
  return tasks < 1 ? 1 : tasks;
}

// n contiguous elements into the lanes, of which `phase` is the next.
template <ReduceOp kOp, class F>
PYRT_INLINE void reduce_segment(float lane[kVirtualLanes], int64_t* phase, const float* x,
                                int64_t n, float most) {
  int64_t i = 0;
  const auto one = [&] {
    lane[*phase] = combine<kOp>(lane[*phase], mapped<kOp>(x[i], most));
    *phase = (*phase + 1) % kVirtualLanes;
    ++i;
  };
  while (i < n && *phase != 0) one();
  if (i + kVirtualLanes <= n) {
    constexpr int kParts = LaneSum<F>::kParts;
    F part[kParts];
    const F shift = splat<F>(most);
    for (int k = 0; k < kParts; ++k) part[k] = load<F>(lane + k * kLanes<F>);
    for (; i + kVirtualLanes <= n; i += kVirtualLanes) {
      for (int k = 0; k < kParts; ++k) {
        part[k] = combine<kOp>(part[k], mapped<kOp>(load<F>(x + i + k * kLanes<F>), shift));
      }
    }
    for (int k = 0; k < kParts; ++k) store(lane + k * kLanes<F>, part[k]);
  }
  while (i < n) one();
}

template <ReduceOp kOp, class F>
PYRT_INLINE float reduce_row(const Nest<1>& reduced, const float* x, float most) {
  float lane[kVirtualLanes];
  for (float& value : lane) value = kIdentity<kOp>;
  int64_t phase = 0;
  for_each_run(reduced, 0, reduced.count, [&](int64_t, int64_t n, const int64_t* offsets) {
    reduce_segment<kOp, F>(lane, &phase, x + offsets[0], n, most);
  });
  return combine_tree<kOp>(lane);
}

// `count` neighbouring outputs; V is F, or float for one output whose elements lie anywhere.
template <ReduceOp kOp, class V>
PYRT_INLINE V reduce_columns(const Nest<1>& reduced, const float* x, int64_t count, V most) {
  V lane[kVirtualLanes];
  for (V& value : lane) value = splat_exact<V>(kIdentity<kOp>);
  const int64_t step = reduced.stride[0][reduced.rank - 1];
  for_each_run(reduced, 0, reduced.count, [&](int64_t first, int64_t n, const int64_t* offsets) {
    for (int64_t i = 0; i < n; ++i) {
      const V value = load_count<V>(x + offsets[0] + i * step, count, 0.0f);
      V& total = lane[(first + i) % kVirtualLanes];
      total = combine<kOp>(total, mapped<kOp>(value, most));
    }
  });
  return combine_tree<kOp>(lane);
}

template <ReduceOp kOp, class V>
PYRT_INLINE void reduce_block(float* y, const BoundReduce& bound, const float* x, int64_t count) {
  V most = splat<V>(0.0f);
  if constexpr (kOp == ReduceOp::kLogSumExp) {
    most = finite_or_zero(reduce_columns<ReduceOp::kMax>(bound.reduced, x, count, most));
  }
  const V value =
      finished<kOp>(reduce_columns<kOp>(bound.reduced, x, count, most), bound.params.n, most);
  if (count == kLanes<V>) {
    store(y, value);
  } else {
    store_part(y, value, count);
  }
}

template <ReduceOp kOp, class F>
void reduce_f32(const BoundReduce& bound, const float* x, float* y, int64_t begin, int64_t end) {
  const int64_t step = bound.kept.stride[0][bound.kept.rank - 1];
  const bool rows = bound.reduced.stride[0][bound.reduced.rank - 1] == 1;
  for_each_run(bound.kept, begin, end, [&](int64_t first, int64_t n, const int64_t* offsets) {
    if (rows) {
      for (int64_t i = 0; i < n; ++i) {
        const float* from = x + offsets[0] + i * step;
        float most = 0;
        if constexpr (kOp == ReduceOp::kLogSumExp) {
          most = finite_or_zero(reduce_row<ReduceOp::kMax, F>(bound.reduced, from, 0.0f));
        }
        y[first + i] =
            finished<kOp>(reduce_row<kOp, F>(bound.reduced, from, most), bound.params.n, most);
      }
    } else if (step == 1) {
      for (int64_t i = 0; i < n; i += kLanes<F>) {
        const int64_t count = n - i < kLanes<F> ? n - i : kLanes<F>;
        reduce_block<kOp, F>(y + first + i, bound, x + offsets[0] + i, count);
      }
    } else {
      for (int64_t i = 0; i < n; ++i)
        reduce_block<kOp, float>(y + first + i, bound, x + offsets[0] + i * step, 1);
    }
  });
}

template <ReduceOp kOp, class T, class U>
void reduce_integers(const BoundReduce& bound, const T* x, T* y, int64_t begin, int64_t end) {
  const int64_t step = bound.kept.stride[0][bound.kept.rank - 1];
  const int64_t inside = bound.reduced.stride[0][bound.reduced.rank - 1];
  for_each_run(bound.kept, begin, end, [&](int64_t first, int64_t n, const int64_t* offsets) {
    for (int64_t i = 0; i < n; ++i) {
      T total = kIntegerIdentity<kOp, T>;
      const T* from = x + offsets[0] + i * step;
      for_each_run(bound.reduced, 0, bound.reduced.count,
                   [&](int64_t, int64_t length, const int64_t* more) {
                     for (int64_t k = 0; k < length; ++k)
                       total = combine_integers<kOp, T, U>(total, from[more[0] + k * inside]);
                   });
      y[first + i] = total;
    }
  });
}

// The operations that integers have; never reached for the others.
template <ReduceOp kOp, class F>
PYRT_INLINE void reduce_any(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const BoundReduce& bound = problem.as<BoundReduce>();
  const void* x = call.inputs[0];
  void* y = call.outputs[0];
  switch (problem.inputs[0].dtype) {
    case DType::kS32:
      return reduce_integers<kOp, int32_t, uint32_t>(bound, static_cast<const int32_t*>(x),
                                                     static_cast<int32_t*>(y), begin, end);
    case DType::kS64:
      return reduce_integers<kOp, int64_t, uint64_t>(bound, static_cast<const int64_t*>(x),
                                                     static_cast<int64_t*>(y), begin, end);
    default:
      return reduce_f32<kOp, F>(bound, static_cast<const float*>(x), static_cast<float*>(y), begin,
                                end);
  }
}

template <class F>
void run_reduce(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  using enum ReduceOp;
  const BoundReduce& bound = problem.as<BoundReduce>();
  const int64_t per_task = outputs_per_task(bound.params.n),
                outputs = problem.outputs[0].dims.count();
  begin *= per_task;
  end = end * per_task < outputs ? end * per_task : outputs;
  const float* x = static_cast<const float*>(call.inputs[0]);
  float* y = static_cast<float*>(call.outputs[0]);
  switch (bound.params.op) {
    case kSum:
      return reduce_any<kSum, F>(problem, call, begin, end);
    case kMax:
      return reduce_any<kMax, F>(problem, call, begin, end);
    case kMin:
      return reduce_any<kMin, F>(problem, call, begin, end);
    case kMean:
      return reduce_f32<kMean, F>(bound, x, y, begin, end);
    case kProd:
      return reduce_f32<kProd, F>(bound, x, y, begin, end);
    case kL1:
      return reduce_f32<kL1, F>(bound, x, y, begin, end);
    case kL2:
      return reduce_f32<kL2, F>(bound, x, y, begin, end);
    case kSumSquare:
      return reduce_f32<kSumSquare, F>(bound, x, y, begin, end);
    case kLogSumExp:
      return reduce_f32<kLogSumExp, F>(bound, x, y, begin, end);
  }
}

// Columns of arg_reduce that are scanned side by side.
constexpr int64_t kColumns = 64;

template <class T>
PYRT_INLINE void positions(int64_t* y, const T* x, const ArgReduceParams& p, int64_t count) {
  T best[kColumns];
  int64_t at[kColumns];
  for (int64_t c = 0; c < count; ++c) {
    best[c] = x[c];
    at[c] = 0;
  }
  for (int64_t i = 1; i < p.n; ++i) {
    const T* row = x + i * p.inner;
    for (int64_t c = 0; c < count; ++c) {
      const bool better = wins(row[c], best[c], p.least, p.select_last);
      best[c] = better ? row[c] : best[c];
      at[c] = better ? i : at[c];
    }
  }
  for (int64_t c = 0; c < count; ++c) y[c] = at[c];
}

[[maybe_unused]] int64_t arg_reduce_tasks(const Problem& problem) {
  const ArgReduceParams& p = problem.as<ArgReduceParams>();
  const int64_t tasks = p.outer * ((p.inner + kColumns - 1) / kColumns);
  return tasks < 1 ? 1 : tasks;
}

[[maybe_unused]] void run_arg_reduce(const Problem& problem, const Call& call, int64_t begin,
                                     int64_t end) {
  const ArgReduceParams p = problem.as<ArgReduceParams>();
  if (p.outer * p.inner == 0) return;
  const int64_t blocks = (p.inner + kColumns - 1) / kColumns;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t outer = task / blocks, column = task % blocks * kColumns;
    const int64_t count = p.inner - column < kColumns ? p.inner - column : kColumns;
    const int64_t from = outer * p.n * p.inner + column;
    int64_t* y = static_cast<int64_t*>(call.outputs[0]) + outer * p.inner + column;
    switch (problem.inputs[0].dtype) {
      case DType::kF32:
        positions(y, static_cast<const float*>(call.inputs[0]) + from, p, count);
        break;
      case DType::kS32:
        positions(y, static_cast<const int32_t*>(call.inputs[0]) + from, p, count);
        break;
      default:
        positions(y, static_cast<const int64_t*>(call.inputs[0]) + from, p, count);
        break;
    }
  }
}

template <class F>
double cost_reduce(const Problem& problem) {
  const ReduceOp op = problem.as<ReduceParams>().op;
  const double rate = op == ReduceOp::kLogSumExp ? 0.08 : 0.4;  // elements a nanosecond and lane
  return 60 + static_cast<double>(problem.inputs[0].dims.count()) /
                  (rate * static_cast<double>(kLanes<F>));
}
[[maybe_unused]] double cost_arg_reduce(const Problem& problem) {
  return 60 + static_cast<double>(problem.inputs[0].dims.count()) / 0.8;
}

template <class F>
constexpr Row reduce_row_of(std::string_view name, FeatureMask features, Exactness exactness) {
  return {.name = name,
          .family = "reduce",
          .exactness = exactness,
          .features = features,
          .forms = FormRule::kFollow,
          .supports = exactness == Exactness::kExact ? supports_exact : supports_canonical,
          .cost_ns = cost_reduce<F>,
          .setup = setup_reduce,
          .tasks = reduce_tasks,
          .run = run_reduce<F>};
}
constexpr Row arg_reduce_row(std::string_view name, FeatureMask features) {
  return {.name = name,
          .family = "arg_reduce",
          .features = features,
          .cost_ns = cost_arg_reduce,
          .tasks = arg_reduce_tasks,
          .run = run_arg_reduce};
}

}  // namespace
}  // namespace pyrt
