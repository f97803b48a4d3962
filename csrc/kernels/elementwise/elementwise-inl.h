// Rows of elementwise and qelementwise for the vector ISAs: F is the vector of the ISA. The loop
// nest is collapsed once (setup), and each inner run goes to one loop over contiguous or
// single-element operands; other strides are copied into a small buffer first.
#pragma once

#include "kernels/common/loops-inl.h"
#include "kernels/common/pair-inl.h"
#include "kernels/elementwise/elementwise_ops-inl.h"

namespace pyrt {
namespace {

template <class F>
struct Vectorized {
  using Wide = typename WideOf<F>::Type;

  template <ElementwiseOp kOp>
  struct Unary {
    static void run(const Piece& p) {
      const float* x = static_cast<const float*>(p.x[0]);
      float* y = static_cast<float*>(p.y);
      const float alpha = p.alpha, beta = p.beta;
      int64_t i = 0;
      for (; i + kLanes<Wide> <= p.n; i += kLanes<Wide>)
        store(y + i, unary<kOp>(load<Wide>(x + i), alpha, beta));
      for (; i + kLanes<F> <= p.n; i += kLanes<F>)
        store(y + i, unary<kOp>(load<F>(x + i), alpha, beta));
      if (i < p.n)
        store_part(y + i, unary<kOp>(load_part<F>(x + i, p.n - i, 1.0f), alpha, beta), p.n - i);
    }
  };

  template <ElementwiseOp kOp>
  struct Binary {
    template <bool kSplatA, bool kSplatB>
    static void loop(const Piece& p) {
      const float* a = static_cast<const float*>(p.x[0]);
      const float* b = static_cast<const float*>(p.x[1]);
      float* y = static_cast<float*>(p.y);
      const F a_all = splat_exact<F>(*a), b_all = splat_exact<F>(*b);
      int64_t i = 0;
      for (; i + kLanes<F> <= p.n; i += kLanes<F>) {
        const F left = kSplatA ? a_all : load<F>(a + i), right = kSplatB ? b_all : load<F>(b + i);
        store(y + i, binary_f32<kOp>(left, right));
      }
      for (; i < p.n; ++i) y[i] = binary_f32<kOp>(kSplatA ? *a : a[i], kSplatB ? *b : b[i]);
    }
    static void run(const Piece& p) {
      if (p.splat[0]) return p.splat[1] ? loop<true, true>(p) : loop<true, false>(p);
      return p.splat[1] ? loop<false, true>(p) : loop<false, false>(p);
    }
  };
};

template <class T, class U>
struct Integer {
  template <ElementwiseOp kOp>
  struct Binary {
    static void run(const Piece& p) {
      const T* a = static_cast<const T*>(p.x[0]);
      const T* b = static_cast<const T*>(p.x[1]);
      T* y = static_cast<T*>(p.y);
      for (int64_t i = 0; i < p.n; ++i) y[i] = binary_integer<kOp, T, U>(a[i], b[i]);
    }
  };
};

template <class T>
struct Comparison {
  template <ElementwiseOp kOp>
  struct Binary {
    static void run(const Piece& p) {
      const T* a = static_cast<const T*>(p.x[0]);
      const T* b = static_cast<const T*>(p.x[1]);
      uint8_t* y = static_cast<uint8_t*>(p.y);
      for (int64_t i = 0; i < p.n; ++i) y[i] = compare<kOp>(a[i], b[i]) ? 1 : 0;
    }
  };
};

template <float (*kFunction)(float)>
void map_scalar(const Piece& p) {
  const float* x = static_cast<const float*>(p.x[0]);
  float* y = static_cast<float*>(p.y);
  for (int64_t i = 0; i < p.n; ++i) y[i] = kFunction(x[i]);
}

[[maybe_unused]] void map_pow(const Piece& p) {
  const float* a = static_cast<const float*>(p.x[0]);
  const float* b = static_cast<const float*>(p.x[1]);
  float* y = static_cast<float*>(p.y);
  const int64_t b_step = p.splat[1] ? 0 : 1, a_step = p.splat[0] ? 0 : 1;
  if (p.splat[1] && *b == 2.0f && a_step == 1) {
    for (int64_t i = 0; i < p.n; ++i) y[i] = a[i] * a[i];
    return;
  }
  for (int64_t i = 0; i < p.n; ++i) y[i] = canonical::pow(a[i * a_step], b[i * b_step]);
}

[[maybe_unused]] void map_not(const Piece& p) {
  const uint8_t* x = static_cast<const uint8_t*>(p.x[0]);
  uint8_t* y = static_cast<uint8_t*>(p.y);
  for (int64_t i = 0; i < p.n; ++i) y[i] = x[i] == 0 ? 1 : 0;
}

template <class T>
void map_where(const Piece& p) {
  const uint8_t* condition = static_cast<const uint8_t*>(p.x[0]);
  const T* a = static_cast<const T*>(p.x[1]);
  const T* b = static_cast<const T*>(p.x[2]);
  T* y = static_cast<T*>(p.y);
  for (int64_t i = 0; i < p.n; ++i) {
    const T left = a[i], right = b[i];
    y[i] = condition[i] != 0 ? left : right;
  }
}

template <class F>
PieceFn pick(const ElementwiseParams& params) {
  using enum ElementwiseOp;
  switch (params.op) {
    case kSin:
      return map_scalar<canonical::sin>;
    case kCos:
      return map_scalar<canonical::cos>;
    case kPow:
      return map_pow;
    case kNot:
      return map_not;
    case kAnd:
      return Comparison<uint8_t>::Binary<kAnd>::run;
    case kOr:
      return Comparison<uint8_t>::Binary<kOr>::run;
    case kXor:
      return Comparison<uint8_t>::Binary<kXor>::run;
    case kPrelu:
      return Vectorized<F>::template Binary<kPrelu>::run;
    case kWhere:
      switch (dtype_bytes(params.dtype)) {
        case 1:
          return map_where<uint8_t>;
        case 2:
          return map_where<uint16_t>;
        case 4:
          return map_where<uint32_t>;
        default:
          return map_where<uint64_t>;
      }
    default:
      break;
  }
  if (params.arity == 1) return pick_unary<Vectorized<F>::template Unary>(params.op);
  const bool compares = params.op >= kEqual;
  switch (params.dtype) {
    case DType::kS32:
      return compares ? pick_compare<Comparison<int32_t>::template Binary>(params.op)
                      : pick_arithmetic<Integer<int32_t, uint32_t>::template Binary>(params.op);
    case DType::kS64:
      return compares ? pick_compare<Comparison<int64_t>::template Binary>(params.op)
                      : pick_arithmetic<Integer<int64_t, uint64_t>::template Binary>(params.op);
    case DType::kBool:
      return Comparison<uint8_t>::Binary<kEqual>::run;
    default:
      return compares ? pick_compare<Comparison<float>::template Binary>(params.op)
                      : pick_arithmetic<Vectorized<F>::template Binary>(params.op);
  }
}

// Elements copied at a time where an operand is neither contiguous nor taken as a single element.
constexpr int64_t kPieceElements = 256;

PYRT_INLINE void copy_strided(void* to, const void* from, int64_t stride, int64_t n, size_t bytes) {
  const auto copy = [&](auto* y, const auto* x) {
    for (int64_t i = 0; i < n; ++i) y[i] = x[i * stride];
  };
  switch (bytes) {
    case 1:
      return copy(static_cast<uint8_t*>(to), static_cast<const uint8_t*>(from));
    case 2:
      return copy(static_cast<uint16_t*>(to), static_cast<const uint16_t*>(from));
    case 4:
      return copy(static_cast<uint32_t*>(to), static_cast<const uint32_t*>(from));
    default:
      return copy(static_cast<uint64_t*>(to), static_cast<const uint64_t*>(from));
  }
}

struct BoundElementwise {
  ElementwiseParams params;
  Nest<3> nest;
};

[[maybe_unused]] void setup_elementwise(Problem& problem) {
  BoundElementwise& bound = problem.as<BoundElementwise>();
  const Operand& y = problem.outputs[0];
  int64_t strides[3][kMaxRank] = {};
  for (int k = 0; k < bound.params.arity; ++k) {
    broadcast_strides(problem.inputs[static_cast<size_t>(k)], y.dims, strides[k]);
  }
  bound.nest = collapse<3>(y, strides);
}

template <class F>
void run_elementwise(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const BoundElementwise& bound = problem.as<BoundElementwise>();
  const ElementwiseParams& params = bound.params;
  const PieceFn fn = pick<F>(params);
  const int inner = bound.nest.rank - 1;
  const size_t y_bytes = dtype_bytes(problem.outputs[0].dtype);
  size_t bytes[3] = {};
  int64_t step[3] = {};
  bool direct = true;
  Piece piece{};
  piece.alpha = params.alpha;
  piece.beta = params.beta;
  const bool takes_splat =
      params.arity == 2 && params.dtype == DType::kF32 && params.op < ElementwiseOp::kEqual;
  bool buffered[3] = {};
  for (int k = 0; k < params.arity; ++k) {
    bytes[k] = dtype_bytes(problem.inputs[static_cast<size_t>(k)].dtype);
    step[k] = bound.nest.stride[k][inner];
    piece.splat[k] = step[k] == 0 && takes_splat;
    buffered[k] = step[k] != 1 && !piece.splat[k];
    direct = direct && !buffered[k];
  }
  alignas(64) uint64_t buffer[3][kPieceElements];
  for_each_run(bound.nest, task_begin(begin, y_bytes), task_end(end, bound.nest.count, y_bytes),
               [&](int64_t first, int64_t length, const int64_t* offsets) {
                 const int64_t most = direct ? length : kPieceElements;
                 for (int64_t done = 0; done < length; done += most) {
                   piece.n = length - done < most ? length - done : most;
                   piece.y = static_cast<uint8_t*>(call.outputs[0]) +
                             (first + done) * static_cast<int64_t>(y_bytes);
                   for (int k = 0; k < params.arity; ++k) {
                     piece.x[k] = static_cast<const uint8_t*>(call.inputs[k]) +
                                  (offsets[k] + done * step[k]) * static_cast<int64_t>(bytes[k]);
                     if (buffered[k]) {
                       copy_strided(buffer[k], piece.x[k], step[k], piece.n, bytes[k]);
                       piece.x[k] = buffer[k];
                     }
                   }
                   fn(piece);
                 }
               });
}

[[maybe_unused]] const char* supports_exact(const Problem& problem) {
  return problem.as<ElementwiseParams>().canonical ? "the operation is of class D" : nullptr;
}
[[maybe_unused]] const char* supports_canonical(const Problem& problem) {
  return problem.as<ElementwiseParams>().canonical ? nullptr : "the operation is of class E";
}

// Rates of one core on Zen 3 and Ice Lake, L2 to L3; a call costs about 60 ns.
template <class F>
double cost_exact(const Problem& problem) {
  return 60 + bytes_moved(problem) / (sizeof(F) == 4 ? 1.5 : 25.0);
}
template <class F>
double cost_canonical(const Problem& problem) {
  const double elements = static_cast<double>(problem.outputs[0].dims.count());
  return 60 + elements / (sizeof(F) == 4 ? 0.12 : 0.03 * static_cast<double>(kLanes<F>) + 0.5);
}

struct BoundQElementwise {
  QElementwiseParams params;
  Nest<2> nest;
};

[[maybe_unused]] void setup_qelementwise(Problem& problem) {
  BoundQElementwise& bound = problem.as<BoundQElementwise>();
  const Operand& y = problem.outputs[0];
  int64_t strides[2][kMaxRank] = {};
  for (int k = 0; k < 2; ++k)
    broadcast_strides(problem.inputs[static_cast<size_t>(k)], y.dims, strides[k]);
  bound.nest = collapse<2>(y, strides);
}

// The contract for one element; NaN cannot occur. Rounding by adding 1.5 * 2^23, as |f| <= 255.
PYRT_INLINE int8_t qelement(int32_t a, int32_t b, const QElementwiseParams& p, float a_scale,
                            float b_scale) {
  const float product = static_cast<float>((a - p.a_zero_point) * (b - p.b_zero_point)) * a_scale;
  const float sum = static_cast<float>(a - p.a_zero_point) * a_scale +
                    static_cast<float>(b - p.b_zero_point) * b_scale;
  float f = p.multiply ? product : sum;
  f = f < p.lo ? p.lo : f;
  f = f > p.hi ? p.hi : f;
  return static_cast<int8_t>(static_cast<int32_t>((f + 12582912.0f) - 12582912.0f) +
                             p.y_zero_point);
}

template <bool kMultiply>
PYRT_INLINE void qelement_loop(int8_t* y, const int8_t* a, int64_t a_step, const int8_t* b,
                               int64_t b_step, int64_t n, QElementwiseParams p, float a_scale,
                               float b_scale) {
  p.multiply = kMultiply;
  if (a_step == 1 && b_step == 1) {
    for (int64_t i = 0; i < n; ++i) y[i] = qelement(a[i], b[i], p, a_scale, b_scale);
  } else if (a_step == 1 && b_step == 0) {
    const int8_t all = *b;
    for (int64_t i = 0; i < n; ++i) y[i] = qelement(a[i], all, p, a_scale, b_scale);
  } else {
    for (int64_t i = 0; i < n; ++i)
      y[i] = qelement(a[i * a_step], b[i * b_step], p, a_scale, b_scale);
  }
}

[[maybe_unused]] void run_qelementwise(const Problem& problem, const Call& call, int64_t begin,
                                       int64_t end) {
  const BoundQElementwise& bound = problem.as<BoundQElementwise>();
  const int8_t* a = static_cast<const int8_t*>(call.inputs[0]);
  const int8_t* b = static_cast<const int8_t*>(call.inputs[1]);
  int8_t* y = static_cast<int8_t*>(call.outputs[0]);
  const float a_scale = *static_cast<const float*>(call.inputs[2]);
  const float b_scale = *static_cast<const float*>(call.inputs[3]);
  const int inner = bound.nest.rank - 1;
  const int64_t a_step = bound.nest.stride[0][inner], b_step = bound.nest.stride[1][inner];
  const QElementwiseParams params = bound.params;
  for_each_run(bound.nest, task_begin(begin, 1), task_end(end, bound.nest.count, 1),
               [&](int64_t first, int64_t n, const int64_t* offsets) {
                 const auto loop = params.multiply ? qelement_loop<true> : qelement_loop<false>;
                 loop(y + first, a + offsets[0], a_step, b + offsets[1], b_step, n, params, a_scale,
                      b_scale);
               });
}

template <class F>
double cost_qelementwise(const Problem& problem) {
  return 60 + static_cast<double>(problem.outputs[0].dims.count()) / (sizeof(F) == 4 ? 0.5 : 8.0);
}

template <class F>
constexpr Row elementwise_row(std::string_view name, FeatureMask features, Exactness exactness) {
  const bool exact = exactness == Exactness::kExact;
  return {.name = name,
          .family = "elementwise",
          .exactness = exactness,
          .features = features,
          .forms = FormRule::kFollow,
          .supports = exact ? supports_exact : supports_canonical,
          .cost_ns = exact ? cost_exact<F> : cost_canonical<F>,
          .setup = setup_elementwise,
          .tasks = output_tasks,
          .run = run_elementwise<F>};
}
template <class F>
constexpr Row qelementwise_row(std::string_view name, FeatureMask features) {
  return {.name = name,
          .family = "qelementwise",
          .features = features,
          .forms = FormRule::kFollow,
          .cost_ns = cost_qelementwise<F>,
          .setup = setup_qelementwise,
          .tasks = output_tasks,
          .run = run_qelementwise};
}

}  // namespace
}  // namespace pyrt
