// What pool kernels share: windows, the walk over tasks, and the formula for one channel, which is
// the specification and serves vector kernels for channels that do not fill a vector.
#pragma once

#include "kernels/common/epilogue-inl.h"
#include "kernels/pool/pool.h"

namespace pyrt {
namespace {

// The taps of one axis that lie inside the image: [first, last), the coordinate of tap 0, and how
// many count in an average.
struct WindowAxis {
  int64_t origin, first, last, counted;
};

PYRT_INLINE int64_t bounded(int64_t value, int64_t least, int64_t most) {
  return value < least ? least : (value > most ? most : value);
}

PYRT_INLINE WindowAxis window_axis(int64_t o, int64_t stride, int64_t pad, int64_t pad_end,
                                   int64_t kernel, int64_t dilation, int64_t size,
                                   bool include_pad) {
  WindowAxis w;
  w.origin = o * stride - pad;
  // Taps t with begin <= origin + t * dilation < end are [ceil((begin - origin) / dilation),
  // ceil((end - origin) / ..)).
  const auto tap = [&](int64_t coordinate) {
    const int64_t distance = coordinate - w.origin;
    return distance <= 0 ? 0 : bounded((distance + dilation - 1) / dilation, 0, kernel);
  };
  w.first = tap(0);
  w.last = tap(size);
  w.counted = include_pad ? tap(size + pad_end) : w.last - w.first;  // no tap lies before -pad
  return w;
}

struct Window {
  const char* x;  // the image
  WindowAxis h, w;
  float count;
};

PYRT_INLINE Window window_of(const PoolParams& p, const void* x, int64_t element, int64_t b,
                             int64_t oh, int64_t ow) {
  Window window;
  window.x = static_cast<const char*>(x) + b * p.H * p.W * p.C * element;
  window.h = window_axis(oh, p.stride_h, p.pad_h, p.pad_end_h, p.kernel_h, p.dilation_h, p.H,
                         p.count_include_pad);
  window.w = window_axis(ow, p.stride_w, p.pad_w, p.pad_end_w, p.kernel_w, p.dilation_w, p.W,
                         p.count_include_pad);
  const int64_t count = window.h.counted * window.w.counted;
  window.count = static_cast<float>(count > 0 ? count : 1);
  return window;
}

// The pixels under the window: visit(row, pixel) with row = index of the kernel row.
template <class T, class Visit>
PYRT_INLINE void for_taps(const PoolParams& p, const Window& window, const Visit& visit) {
  for (int64_t t_h = window.h.first; t_h < window.h.last; ++t_h) {
    const int64_t h = window.h.origin + t_h * p.dilation_h;
    const T* row = reinterpret_cast<const T*>(window.x) + h * p.W * p.C;
    for (int64_t t_w = window.w.first; t_w < window.w.last; ++t_w) {
      visit(t_h, row + (window.w.origin + t_w * p.dilation_w) * p.C);
    }
  }
}

PYRT_INLINE float max_f32(const PoolParams& p, const Window& window, int64_t c) {
  float most = -__builtin_inff();
  for_taps<float>(p, window, [&](int64_t, const float* pixel) {
    const float value = pixel[c];
    if (value > most || value != value) most = value;
  });
  return most;
}

PYRT_INLINE float average_f32(const PoolParams& p, const Window& window, int64_t c) {
  float sum = 0;
  float row_sum = 0;
  int64_t row = window.h.first;
  for_taps<float>(p, window, [&](int64_t t_h, const float* pixel) {
    if (t_h != row) {
      sum += row_sum;
      row_sum = 0;
      row = t_h;
    }
    row_sum += pixel[c];
  });
  return (sum + row_sum) / window.count;
}

PYRT_INLINE int8_t max_s8(const PoolParams& p, const Window& window, int64_t c) {
  int8_t most = -128;
  for_taps<int8_t>(p, window,
                   [&](int64_t, const int8_t* pixel) { most = pixel[c] > most ? pixel[c] : most; });
  return most;
}

// The zero point's share of a sum, modulo 2^32.
PYRT_INLINE uint32_t zero_point_share(const PoolParams& p, const Window& window) {
  const int64_t taps = (window.h.last - window.h.first) * (window.w.last - window.w.first);
  return static_cast<uint32_t>(taps) * static_cast<uint32_t>(p.x_zero_point);
}

PYRT_INLINE int8_t average_s8(const PoolParams& p, const Window& window, float scale, int64_t c) {
  uint32_t sum = 0;
  for_taps<int8_t>(p, window, [&](int64_t, const int8_t* pixel) {
    sum += static_cast<uint32_t>(int32_t{pixel[c]});
  });
  sum -= zero_point_share(p, window);
  const float f = static_cast<float>(static_cast<int32_t>(sum)) / window.count * scale;
  const auto lo = static_cast<float>(-128 - p.y_zero_point);
  const auto hi = static_cast<float>(127 - p.y_zero_point);
  return static_cast<int8_t>(round_half_even(clamp_quantized(f, lo, hi)) + p.y_zero_point);
}

// Channels are cut into parts of at least 128, so that global pools of one image use several
// threads too.
PYRT_INLINE int64_t channel_parts(const PoolParams& p) { return p.C < 256 ? 1 : p.C / 128; }

[[maybe_unused]] int64_t pool_tasks(const Problem& problem) {
  const auto& p = problem.as<PoolParams>();
  return p.B * p.OH * channel_parts(p);
}

// Calls body(window, c0, c1, y of the pixel) for each output pixel of tasks [begin, end).
template <class T, class Body>
PYRT_INLINE void for_pixels(const Problem& problem, const Call& call, int64_t begin, int64_t end,
                            const Body& body) {
  const auto& p = problem.as<PoolParams>();
  const int64_t parts = channel_parts(p);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t row = task / parts;
    const int64_t c0 = p.C * (task % parts) / parts;
    const int64_t c1 = p.C * (task % parts + 1) / parts;
    for (int64_t ow = 0; ow < p.OW; ++ow) {
      const Window window =
          window_of(p, call.inputs[kPoolX], sizeof(T), row / p.OH, row % p.OH, ow);
      body(window, c0, c1, static_cast<T*>(call.outputs[0]) + (row * p.OW + ow) * p.C);
    }
  }
}

[[maybe_unused]] const char* supports_max_f32(const Problem& problem) {
  const auto& p = problem.as<PoolParams>();
  return p.integer ? "x is s8" : (p.average ? "op is average" : nullptr);
}
[[maybe_unused]] const char* supports_average_f32(const Problem& problem) {
  const auto& p = problem.as<PoolParams>();
  return p.integer ? "x is s8" : (p.average ? nullptr : "op is max");
}
[[maybe_unused]] const char* supports_max_s8(const Problem& problem) {
  const auto& p = problem.as<PoolParams>();
  return p.integer ? (p.average ? "op is average" : nullptr) : "x is f32";
}
[[maybe_unused]] const char* supports_average_s8(const Problem& problem) {
  const auto& p = problem.as<PoolParams>();
  return p.integer ? (p.average ? nullptr : "op is max") : "x is f32";
}

// Elements looked at.
PYRT_INLINE double pool_work(const PoolParams& p) {
  return static_cast<double>(p.B * p.OH * p.OW) * static_cast<double>(p.kernel_h * p.kernel_w) *
         static_cast<double>(p.C);
}

}  // namespace
}  // namespace pyrt
