// Rows of the quantize families for the vector ISAs: branch-free loops over contiguous runs that
// the compiler vectorises. A run has one scale (per tensor, or channels outside) or one per element
// (channels innermost).
#pragma once

#include "kernels/common/loops-inl.h"
#include "kernels/quantize/quantize.h"
#include "kernels/quantize/quantize_run-inl.h"

namespace pyrt {
namespace {

struct BoundQuantize {
  QuantizeParams params;
  Nest<2> nest;  // strides of x, and of the channel
};

PYRT_INLINE void setup_nest(Problem& problem, int axis) {
  int64_t strides[2][kMaxRank] = {};
  problem.inputs[0].strides(strides[0]);
  if (axis >= 0) strides[1][axis] = 1;
  problem.as<BoundQuantize>().nest = collapse<2>(problem.outputs[0], strides);
}
[[maybe_unused]] void setup_channels(Problem& problem) {
  setup_nest(problem, problem.as<BoundQuantize>().params.axis);
}
[[maybe_unused]] void setup_linear(Problem& problem) { setup_nest(problem, -1); }

// Calls piece(y_at, x_at, channel, channel_step, n) for contiguous pieces of the outputs of tasks
// [begin, end).
template <class Piece>
PYRT_INLINE void for_each_piece(const Problem& problem, int64_t begin, int64_t end,
                                const Piece& piece) {
  const Nest<2>& nest = problem.as<BoundQuantize>().nest;
  const size_t bytes = dtype_bytes(problem.outputs[0].dtype);
  const int inner = nest.rank - 1;
  const int64_t x_step = nest.stride[0][inner],
                channel_step = nest.extent[inner] > 1 ? nest.stride[1][inner] : 0;
  for_each_run(nest, task_begin(begin, bytes), task_end(end, nest.count, bytes),
               [&](int64_t first, int64_t n, const int64_t* offsets) {
                 const int64_t length =
                     x_step == 1 ? n : 1;  // layouts that differ: element by element
                 for (int64_t i = 0; i < n; i += length) {
                   piece(first + i, offsets[0] + i * x_step, offsets[1] + i * channel_step,
                         channel_step, length);
                 }
               });
}

// |f| <= 255 after the clamp, so adding 1.5 * 2^23 rounds half to even; NaN fails the first
// comparison's mask.
PYRT_INLINE int32_t quantized(float f, float lo, float hi, int32_t zero_point) {
  f = f != f ? 0.0f : f;
  f = f < lo ? lo : f;
  f = f > hi ? hi : f;
  return static_cast<int32_t>((f + 12582912.0f) - 12582912.0f) + zero_point;
}

// n elements with one scale. T is int8_t or uint8_t.
template <class V, class T>
PYRT_INLINE void quantize_piece(T* y, const float* x, int64_t n, float scale, float lo, float hi,
                                int32_t zero_point) {
  int64_t i = 0;
  if (fits_quantize_run(scale)) {
    const auto bound = [zero_point](float f) {
      return static_cast<int16_t>(static_cast<int32_t>(f) + zero_point);
    };
    i = quantize_run<V>(y, x, n, scale, {static_cast<int16_t>(zero_point), bound(lo), bound(hi)});
  }
  for (; i < n; ++i) y[i] = static_cast<T>(quantized(x[i] / scale, lo, hi, zero_point));
}

template <class V>
void run_quantize(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const QuantizeParams p = problem.as<BoundQuantize>().params;
  const float lo = p.lo, hi = p.hi;
  const int32_t zero_point = p.y_zero_point;
  for_each_piece(problem, begin, end,
                 [&](int64_t y_at, int64_t x_at, int64_t channel, int64_t step, int64_t n) {
                   const float* x = static_cast<const float*>(call.inputs[0]) + x_at;
                   const float* scale = static_cast<const float*>(call.inputs[1]) + channel;
                   int8_t* y = static_cast<int8_t*>(call.outputs[0]) + y_at;
                   if (step == 0) {
                     quantize_piece<V>(y, x, n, *scale, lo, hi, zero_point);
                   } else {
                     for (int64_t i = 0; i < n; ++i)
                       y[i] = static_cast<int8_t>(quantized(x[i] / scale[i], lo, hi, zero_point));
                   }
                 });
}

template <class T>
PYRT_INLINE void dequantize_piece(float* y, const T* x, const float* scale, int64_t step, int64_t n,
                                  uint32_t zero) {
  const auto real = [zero](T q) {
    return static_cast<float>(
        static_cast<int32_t>(static_cast<uint32_t>(static_cast<int32_t>(q)) - zero));
  };
  if (step == 0) {
    const float one = *scale;
    for (int64_t i = 0; i < n; ++i) y[i] = real(x[i]) * one;
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = real(x[i]) * scale[i];
  }
}

[[maybe_unused]] void run_dequantize(const Problem& problem, const Call& call, int64_t begin,
                                     int64_t end) {
  const uint32_t zero = static_cast<uint32_t>(problem.as<BoundQuantize>().params.x_zero_point);
  const bool wide = problem.inputs[0].dtype == DType::kS32;
  for_each_piece(problem, begin, end,
                 [&](int64_t y_at, int64_t x_at, int64_t channel, int64_t step, int64_t n) {
                   float* y = static_cast<float*>(call.outputs[0]) + y_at;
                   const float* scale = static_cast<const float*>(call.inputs[1]) + channel;
                   if (wide) {
                     dequantize_piece(y, static_cast<const int32_t*>(call.inputs[0]) + x_at, scale,
                                      step, n, zero);
                   } else {
                     dequantize_piece(y, static_cast<const int8_t*>(call.inputs[0]) + x_at, scale,
                                      step, n, zero);
                   }
                 });
}

[[maybe_unused]] void run_requantize(const Problem& problem, const Call& call, int64_t begin,
                                     int64_t end) {
  const QuantizeParams p = problem.as<BoundQuantize>().params;
  const float scale = *static_cast<const float*>(call.inputs[1]), lo = p.lo, hi = p.hi;
  const int32_t x_zero = p.x_zero_point, y_zero = p.y_zero_point;
  for_each_piece(problem, begin, end, [&](int64_t y_at, int64_t x_at, int64_t, int64_t, int64_t n) {
    const int8_t* x = static_cast<const int8_t*>(call.inputs[0]) + x_at;
    int8_t* y = static_cast<int8_t*>(call.outputs[0]) + y_at;
    for (int64_t i = 0; i < n; ++i) {
      const float f = static_cast<float>(x[i] - x_zero) * scale;
      y[i] = static_cast<int8_t>(quantized(f, lo, hi, y_zero));
    }
  });
}

// Lookup: y = table[x + 128] for a contiguous run; the ISA's own.
using LookupFn = void (*)(const void* table, const uint8_t* x, uint8_t* y, int64_t n);

template <LookupFn kLookup>
void run_lookup(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  for_each_piece(problem, begin, end, [&](int64_t y_at, int64_t x_at, int64_t, int64_t, int64_t n) {
    kLookup(call.inputs[1], static_cast<const uint8_t*>(call.inputs[0]) + x_at,
            static_cast<uint8_t*>(call.outputs[0]) + y_at, n);
  });
}

[[maybe_unused]] void run_cast_sign(const Problem& problem, const Call& call, int64_t begin,
                                    int64_t end) {
  for_each_piece(problem, begin, end, [&](int64_t y_at, int64_t x_at, int64_t, int64_t, int64_t n) {
    const uint8_t* x = static_cast<const uint8_t*>(call.inputs[0]) + x_at;
    uint8_t* y = static_cast<uint8_t*>(call.outputs[0]) + y_at;
    for (int64_t i = 0; i < n; ++i) y[i] = static_cast<uint8_t>(x[i] ^ 0x80);
  });
}

// Minimum and maximum do not depend on the order, and NaN loses every comparison: 16 lanes are the
// same as one.
PYRT_INLINE void widen_range(const float* x, int64_t n, float* lo, float* hi) {
  float low[16], high[16];
  for (int k = 0; k < 16; ++k) {
    low[k] = *lo;
    high[k] = *hi;
  }
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int k = 0; k < 16; ++k) {
      low[k] = x[i + k] < low[k] ? x[i + k] : low[k];
      high[k] = x[i + k] > high[k] ? x[i + k] : high[k];
    }
  }
  for (; i < n; ++i) {
    low[0] = x[i] < low[0] ? x[i] : low[0];
    high[0] = x[i] > high[0] ? x[i] : high[0];
  }
  for (int k = 0; k < 16; ++k) {
    *lo = low[k] < *lo ? low[k] : *lo;
    *hi = high[k] > *hi ? high[k] : *hi;
  }
}

template <class V>
void run_dynamic(const Problem& problem, const Call& call, int64_t, int64_t) {
  const int64_t tasks = output_tasks(problem);
  float lo = 0, hi = 0;
  for_each_piece(problem, 0, tasks, [&](int64_t, int64_t x_at, int64_t, int64_t, int64_t n) {
    widen_range(static_cast<const float*>(call.inputs[0]) + x_at, n, &lo, &hi);
  });
  float scale = (hi - lo) / 255.0f;
  if (scale == 0.0f) scale = 1.0f;
  const int32_t zero_point = quantized((0.0f - lo) / scale, 0.0f, 255.0f, 0);
  const float least = static_cast<float>(-zero_point), most = static_cast<float>(255 - zero_point);
  for_each_piece(problem, 0, tasks, [&](int64_t y_at, int64_t x_at, int64_t, int64_t, int64_t n) {
    const float* x = static_cast<const float*>(call.inputs[0]) + x_at;
    uint8_t* y = static_cast<uint8_t*>(call.outputs[0]) + y_at;
    quantize_piece<V>(y, x, n, scale, least, most, zero_point);
  });
  *static_cast<float*>(call.outputs[1]) = scale;
  *static_cast<uint8_t*>(call.outputs[2]) = static_cast<uint8_t>(zero_point);
}

// About the rate of memory on the side with the wider elements, in bytes a nanosecond.
template <int kRate>
double cost_bytes(const Problem& problem) {
  return 60 + bytes_moved(problem) / kRate;
}

using RunFn = void (*)(const Problem&, const Call&, int64_t, int64_t);
template <int kRate>
constexpr Row quantize_row(std::string_view name, std::string_view family, FeatureMask features,
                           RunFn run, void (*setup)(Problem&)) {
  return {.name = name,
          .family = family,
          .features = features,
          .forms = FormRule::kFollow,
          .cost_ns = cost_bytes<kRate>,
          .setup = setup,
          .tasks = family == "dynamic_quantize" ? nullptr : output_tasks,
          .run = run};
}

}  // namespace
}  // namespace pyrt
