// The specification of elementwise and qelementwise: one element at a time, each operand found by
// its strides.
#include "kernels/common/loops-inl.h"
#include "kernels/elementwise/elementwise_ops-inl.h"

namespace pyrt {
namespace {

template <ElementwiseOp kOp>
struct One {
  static void run(const Piece& p) {
    *static_cast<float*>(p.y) = unary<kOp>(*static_cast<const float*>(p.x[0]), p.alpha, p.beta);
  }
};
template <ElementwiseOp kOp>
struct Two {
  static void run(const Piece& p) {
    *static_cast<float*>(p.y) =
        binary_f32<kOp>(*static_cast<const float*>(p.x[0]), *static_cast<const float*>(p.x[1]));
  }
};
template <class T, class U>
struct TwoIntegers {
  template <ElementwiseOp kOp>
  struct Op {
    static void run(const Piece& p) {
      *static_cast<T*>(p.y) =
          binary_integer<kOp, T, U>(*static_cast<const T*>(p.x[0]), *static_cast<const T*>(p.x[1]));
    }
  };
};
template <class T>
struct Compare {
  template <ElementwiseOp kOp>
  struct Op {
    static void run(const Piece& p) {
      *static_cast<uint8_t*>(p.y) =
          compare<kOp>(*static_cast<const T*>(p.x[0]), *static_cast<const T*>(p.x[1])) ? 1 : 0;
    }
  };
};

float one(const Piece& p, int k) { return *static_cast<const float*>(p.x[k]); }
void one_sin(const Piece& p) { *static_cast<float*>(p.y) = canonical::sin(one(p, 0)); }
void one_cos(const Piece& p) { *static_cast<float*>(p.y) = canonical::cos(one(p, 0)); }
void two_pow(const Piece& p) { *static_cast<float*>(p.y) = canonical::pow(one(p, 0), one(p, 1)); }
void one_not(const Piece& p) {
  *static_cast<uint8_t*>(p.y) = *static_cast<const uint8_t*>(p.x[0]) == 0 ? 1 : 0;
}
template <class T>
void three_where(const Piece& p) {
  const bool condition = *static_cast<const uint8_t*>(p.x[0]) != 0;
  *static_cast<T*>(p.y) = *static_cast<const T*>(p.x[condition ? 1 : 2]);
}

PieceFn pick(const ElementwiseParams& params) {
  using enum ElementwiseOp;
  switch (params.op) {
    case kSin:
      return one_sin;
    case kCos:
      return one_cos;
    case kPow:
      return two_pow;
    case kNot:
      return one_not;
    case kAnd:
      return Compare<uint8_t>::Op<kAnd>::run;
    case kOr:
      return Compare<uint8_t>::Op<kOr>::run;
    case kXor:
      return Compare<uint8_t>::Op<kXor>::run;
    case kPrelu:
      return Two<kPrelu>::run;
    case kWhere:
      switch (dtype_bytes(params.dtype)) {
        case 1:
          return three_where<uint8_t>;
        case 2:
          return three_where<uint16_t>;
        case 4:
          return three_where<uint32_t>;
        default:
          return three_where<uint64_t>;
      }
    default:
      break;
  }
  if (params.arity == 1) return pick_unary<One>(params.op);
  const bool compares = params.op >= kEqual;
  switch (params.dtype) {
    case DType::kS32:
      return compares ? pick_compare<Compare<int32_t>::Op>(params.op)
                      : pick_arithmetic<TwoIntegers<int32_t, uint32_t>::Op>(params.op);
    case DType::kS64:
      return compares ? pick_compare<Compare<int64_t>::Op>(params.op)
                      : pick_arithmetic<TwoIntegers<int64_t, uint64_t>::Op>(params.op);
    case DType::kBool:
      return Compare<uint8_t>::Op<kEqual>::run;
    default:
      return compares ? pick_compare<Compare<float>::Op>(params.op)
                      : pick_arithmetic<Two>(params.op);
  }
}

// Calls each(y_offset, x_offsets) for outputs [begin, end) in the order of the output's memory.
template <class Each>
void for_each_element(const Problem& problem, int operands, int64_t begin, int64_t end,
                      const Each& each) {
  const Operand& y = problem.outputs[0];
  int64_t strides[3][kMaxRank] = {};
  for (int k = 0; k < operands; ++k) {
    broadcast_strides(problem.inputs[static_cast<size_t>(k)], y.dims, strides[k]);
  }
  int order[kMaxRank] = {};
  physical_order(y, order);
  for (int64_t at = begin; at < end; ++at) {
    int64_t offsets[3] = {};
    int64_t rest = at;
    for (int i = y.dims.rank - 1; i >= 0; --i) {
      const int axis = order[i];
      const int64_t index = rest % y.dims[axis];
      rest /= y.dims[axis];
      for (int k = 0; k < operands; ++k) offsets[k] += index * strides[k][axis];
    }
    each(at, offsets);
  }
}

void run_elementwise(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const ElementwiseParams& params = problem.as<ElementwiseParams>();
  const PieceFn fn = pick(params);
  const size_t bytes = dtype_bytes(problem.outputs[0].dtype);
  const int64_t count = problem.outputs[0].dims.count();
  for_each_element(
      problem, params.arity, task_begin(begin, bytes), task_end(end, count, bytes),
      [&](int64_t at, const int64_t* offsets) {
        Piece piece{};
        piece.n = 1;
        piece.alpha = params.alpha;
        piece.beta = params.beta;
        piece.y = static_cast<uint8_t*>(call.outputs[0]) + at * static_cast<int64_t>(bytes);
        for (int k = 0; k < params.arity; ++k) {
          const size_t x_bytes = dtype_bytes(problem.inputs[static_cast<size_t>(k)].dtype);
          piece.x[k] = static_cast<const uint8_t*>(call.inputs[k]) +
                       offsets[k] * static_cast<int64_t>(x_bytes);
        }
        fn(piece);
      });
}

void run_qelementwise(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const QElementwiseParams& p = problem.as<QElementwiseParams>();
  const int8_t* a = static_cast<const int8_t*>(call.inputs[0]);
  const int8_t* b = static_cast<const int8_t*>(call.inputs[1]);
  const float a_scale = *static_cast<const float*>(call.inputs[2]);
  const float b_scale = *static_cast<const float*>(call.inputs[3]);
  int8_t* y = static_cast<int8_t*>(call.outputs[0]);
  for_each_element(
      problem, 2, task_begin(begin, 1), task_end(end, problem.outputs[0].dims.count(), 1),
      [&](int64_t at, const int64_t* offsets) {
        const int32_t left = a[offsets[0]] - p.a_zero_point, right = b[offsets[1]] - p.b_zero_point;
        float f = 0;
        if (p.multiply) {
          f = static_cast<float>(left * right) * a_scale;
        } else {
          f = static_cast<float>(left) * a_scale + static_cast<float>(right) * b_scale;
        }
        if (f < p.lo) f = p.lo;
        if (f > p.hi) f = p.hi;
        y[at] = static_cast<int8_t>(static_cast<int32_t>(round_even(f)) + p.y_zero_point);
      });
}

const char* supports_exact(const Problem& problem) {
  return problem.as<ElementwiseParams>().canonical ? "the operation is of class D" : nullptr;
}
const char* supports_canonical(const Problem& problem) {
  return problem.as<ElementwiseParams>().canonical ? nullptr : "the operation is of class E";
}
// About 5 ns an element for the walk, 15 more for a polynomial.
double cost_exact(const Problem& problem) {
  return 60 + 5.0 * static_cast<double>(problem.outputs[0].dims.count());
}
double cost_canonical(const Problem& problem) {
  return 60 + 20.0 * static_cast<double>(problem.outputs[0].dims.count());
}

constexpr Row kRows[] = {
    {.name = "elementwise_canonical_scalar",
     .family = "elementwise",
     .exactness = Exactness::kCanonical,
     .forms = FormRule::kFollow,
     .supports = supports_canonical,
     .cost_ns = cost_canonical,
     .tasks = output_tasks,
     .run = run_elementwise},
    {.name = "elementwise_scalar",
     .family = "elementwise",
     .forms = FormRule::kFollow,
     .supports = supports_exact,
     .cost_ns = cost_exact,
     .tasks = output_tasks,
     .run = run_elementwise},
    {.name = "qelementwise_s8_scalar",
     .family = "qelementwise",
     .forms = FormRule::kFollow,
     .cost_ns = cost_exact,
     .tasks = output_tasks,
     .run = run_qelementwise},
};

}  // namespace

extern constinit const Table elementwise_scalar;
constinit const Table elementwise_scalar{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
