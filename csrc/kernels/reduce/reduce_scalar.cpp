// The specification of reduce and arg_reduce: every output on its own, elements by their
// coordinates in ONNX order.
#include "kernels/common/loops-inl.h"
#include "kernels/reduce/reduce_ops-inl.h"

namespace pyrt {
namespace {

int64_t tasks(const Problem& problem) {
  const int64_t outputs = problem.outputs[0].dims.count();
  return outputs < 1 ? 1 : outputs;
}

// Element of x where output `at` (in memory) starts.
int64_t first_element(const Problem& problem, const ReduceParams& p,
                      const int64_t strides[kMaxRank], int64_t at) {
  const Operand& y = problem.outputs[0];
  int order[kMaxRank] = {};
  physical_order(y, order);
  int64_t offset = 0;
  for (int i = y.dims.rank - 1; i >= 0; --i) {
    offset += at % y.dims[order[i]] * strides[p.kept[order[i]]];
    at /= y.dims[order[i]];
  }
  return offset;
}

// Element of x, from the start, of index r over the reduced axes.
int64_t reduced_element(const Problem& problem, const ReduceParams& p,
                        const int64_t strides[kMaxRank], int64_t r) {
  const Dims& x = problem.inputs[0].dims;
  int64_t offset = 0;
  for (int i = x.rank - 1; i >= 0; --i) {
    if ((p.axes >> i & 1) == 0) continue;
    offset += r % x[i] * strides[i];
    r /= x[i];
  }
  return offset;
}

template <ReduceOp kOp, class At>
float reduce_f32(int64_t n, const At& at, float most) {
  float lane[kVirtualLanes];
  for (float& value : lane) value = kIdentity<kOp>;
  for (int64_t r = 0; r < n; ++r) {
    lane[r % kVirtualLanes] = combine<kOp>(lane[r % kVirtualLanes], mapped<kOp>(at(r), most));
  }
  return combine_tree<kOp>(lane);
}

template <ReduceOp kOp, class At>
float output_f32(int64_t n, const At& at) {
  float most = 0;
  if constexpr (kOp == ReduceOp::kLogSumExp)
    most = finite_or_zero(reduce_f32<ReduceOp::kMax>(n, at, 0.0f));
  return finished<kOp>(reduce_f32<kOp>(n, at, most), n, most);
}

template <ReduceOp kOp, class T, class U, class At>
T output_integer(int64_t n, const At& at) {
  T total = kIntegerIdentity<kOp, T>;
  for (int64_t r = 0; r < n; ++r) total = combine_integers<kOp, T, U>(total, at(r));
  return total;
}

template <ReduceOp kOp>
void run_op(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const ReduceParams& p = problem.as<ReduceParams>();
  int64_t strides[kMaxRank] = {};
  problem.inputs[0].strides(strides);
  if (end > problem.outputs[0].dims.count()) end = problem.outputs[0].dims.count();
  for (int64_t at = begin; at < end; ++at) {
    const int64_t first = first_element(problem, p, strides, at);
    const auto element = [&](const auto* x) {
      return [&, x](int64_t r) { return x[first + reduced_element(problem, p, strides, r)]; };
    };
    if (problem.inputs[0].dtype == DType::kS32) {
      static_cast<int32_t*>(call.outputs[0])[at] = output_integer<kOp, int32_t, uint32_t>(
          p.n, element(static_cast<const int32_t*>(call.inputs[0])));
    } else if (problem.inputs[0].dtype == DType::kS64) {
      static_cast<int64_t*>(call.outputs[0])[at] = output_integer<kOp, int64_t, uint64_t>(
          p.n, element(static_cast<const int64_t*>(call.inputs[0])));
    } else {
      static_cast<float*>(call.outputs[0])[at] =
          output_f32<kOp>(p.n, element(static_cast<const float*>(call.inputs[0])));
    }
  }
}

void run_reduce(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  using enum ReduceOp;
  switch (problem.as<ReduceParams>().op) {
    case kSum:
      return run_op<kSum>(problem, call, begin, end);
    case kMean:
      return run_op<kMean>(problem, call, begin, end);
    case kMax:
      return run_op<kMax>(problem, call, begin, end);
    case kMin:
      return run_op<kMin>(problem, call, begin, end);
    case kProd:
      return run_op<kProd>(problem, call, begin, end);
    case kL1:
      return run_op<kL1>(problem, call, begin, end);
    case kL2:
      return run_op<kL2>(problem, call, begin, end);
    case kSumSquare:
      return run_op<kSumSquare>(problem, call, begin, end);
    case kLogSumExp:
      return run_op<kLogSumExp>(problem, call, begin, end);
  }
}

template <class T>
int64_t position(const T* x, int64_t n, int64_t step, bool least, bool last) {
  int64_t best = 0;
  for (int64_t i = 1; i < n; ++i) {
    if (wins(x[i * step], x[best * step], least, last)) best = i;
  }
  return best;
}

void run_arg_reduce(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const ArgReduceParams& p = problem.as<ArgReduceParams>();
  if (end > p.outer * p.inner) end = p.outer * p.inner;
  for (int64_t at = begin; at < end; ++at) {
    const int64_t first = at / p.inner * p.n * p.inner + at % p.inner;
    const auto find = [&](const auto* x) {
      return position(x + first, p.n, p.inner, p.least, p.select_last);
    };
    const DType dtype = problem.inputs[0].dtype;
    static_cast<int64_t*>(call.outputs[0])[at] =
        dtype == DType::kF32   ? find(static_cast<const float*>(call.inputs[0]))
        : dtype == DType::kS32 ? find(static_cast<const int32_t*>(call.inputs[0]))
                               : find(static_cast<const int64_t*>(call.inputs[0]));
  }
}

double cost(const Problem& problem) {
  return 60 + 8.0 * static_cast<double>(problem.inputs[0].dims.count());
}

constexpr Row kRows[] = {
    {.name = "arg_reduce_scalar",
     .family = "arg_reduce",
     .cost_ns = cost,
     .tasks = tasks,
     .run = run_arg_reduce},
    {.name = "reduce_canonical_f32_scalar",
     .family = "reduce",
     .exactness = Exactness::kCanonical,
     .forms = FormRule::kFollow,
     .supports = supports_canonical,
     .cost_ns = cost,
     .tasks = tasks,
     .run = run_reduce},
    {.name = "reduce_scalar",
     .family = "reduce",
     .forms = FormRule::kFollow,
     .supports = supports_exact,
     .cost_ns = cost,
     .tasks = tasks,
     .run = run_reduce},
};

}  // namespace

extern constinit const Table reduce_scalar;
constinit const Table reduce_scalar{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
