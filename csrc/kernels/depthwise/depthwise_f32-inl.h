// The f32 depthwise row of an ISA: every output pixel adds up its taps straight from the image.
// Neighbouring pixels are computed several at a time, sharing the loads of the weights: along a
// row, or down a column at the left and right borders, where columns of taps outside are left out,
// as are rows at the upper and lower ones. See depthwise.h for the formula.
//
//   packed weights  [block][tap][width], width = 16 channels, or 8 where there are fewer than 16
//
// With several outputs per channel, or fewer than 8 channels, the part of the image that a tile
// needs is copied first, one input channel for each output channel.
//
// 3 x 3 taps slide instead (depthwise_slide-inl.h).
//
// A task is a band of output rows. Within it a tile of columns goes down all rows before the next,
// for as many channels at a time as leave the rows of the image that it shares with the next row of
// output in L1.
//
// An ISA file supplies
//
//   struct Isa {
//     using SlideVector;                  // V of depthwise_slide-inl.h
//     static constexpr int64_t kPixels;   // at most so many at a time
//     // pixels <= kPixels, vectors = width / 8
//     static void tile(int pixels, int vectors, const DepthwiseTile& t);
//     static void finish(...);            // as in gemm/gemm-inl.h
//   };
#pragma once

#include <cmath>

#include "kernels/depthwise/depthwise.h"
#include "kernels/depthwise/depthwise_slide-inl.h"
#include "kernels/gemm/gemm-inl.h"

namespace pyrt {
namespace {

// Neighbouring output pixels of one block:
// y[m][c] = clamp(bias[c] + sum over r < rows, q < columns of x(r, q, m)[c] * w(r, q)[c])
struct DepthwiseTile {
  const float* x;                             // first tap of the first pixel
  int64_t row_step, column_step, pixel_step;  // elements of x from tap to tap, pixel to pixel
  int64_t rows, columns;                      // of taps
  const float* w;
  int64_t w_row_step;  // from row to row of taps; columns follow each other
  float* y;
  int64_t ldy;
  const float* bias;  // [width]
  float lo, hi;
};

template <class Isa>
struct DepthwiseF32Rows {
  static const char* supports(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    if (p.epilogue.integer) return "the operands are s8";
    if (p.volume) return "it has three spatial dims";
    if (!p.depthwise()) return "not one input channel per group";
    return problem.inputs[kInputW].constant != nullptr ? nullptr : "the weights are not constant";
  }

  static int64_t width(const ConvParams& p) { return p.O >= 16 ? 16 : 8; }
  static int64_t taps(const ConvParams& p) { return p.kernel_h * p.kernel_w; }
  static int64_t block_elements(const ConvParams& p) { return taps(p) * width(p); }
  static int64_t blocks(const ConvParams& p) { return ceil_div(p.O, width(p)); }
  static int64_t channel(const ConvParams& p, int64_t block) {
    return depthwise_channel(p.O, width(p), block);
  }
  static bool copies(const ConvParams& p) { return p.O != p.C || p.C < 8; }

  static size_t packed_bytes(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    return static_cast<size_t>(blocks(p) * block_elements(p)) * sizeof(float);
  }

  static void pack(const Problem& problem, void* packed) {
    const auto& p = problem.as<ConvParams>();
    const auto* w = static_cast<const float*>(problem.inputs[kInputW].constant);
    auto* out = static_cast<float*>(packed);
    memset(packed, 0, packed_bytes(problem));
    for (int64_t block = 0; block < blocks(p); ++block, out += block_elements(p)) {
      const int64_t c0 = channel(p, block);
      for (int64_t i = 0; i < smaller(width(p), p.O - c0); ++i) {
        for (int64_t t = 0; t < taps(p); ++t) out[t * width(p) + i] = w[(c0 + i) * taps(p) + t];
      }
    }
  }

  // Output rows of a task: some microseconds of work.
  static int64_t band(const ConvParams& p) {
    constexpr int64_t kTaskMacs = 1 << 18;
    const int64_t rows = larger(1, kTaskMacs / larger(1, p.OW * p.O * taps(p)));
    const int64_t bands = ceil_div(p.OH, rows);
    return round_up(larger(1, ceil_div(p.OH, larger(1, bands))), Isa::SlideVector::kRows);
  }
  static int64_t bands(const ConvParams& p) { return ceil_div(p.OH, band(p)); }
  static int64_t tasks(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    return p.B * bands(p);
  }

  // Scratch: sums of a tile [kPixels, 16], for outputs that are finished apart, and a tile's copy
  // of the image [rows of taps, columns, 16].
  static constexpr int64_t kSums = Isa::kPixels * 16;
  static int64_t span(const ConvParams& p, int64_t pixels) {
    return (pixels - 1) * p.stride_w + (p.kernel_w - 1) * p.dilation_w + 1;
  }
  static size_t scratch_bytes(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    const int64_t copy = copies(p) ? p.kernel_h * span(p, Isa::kPixels) * width(p) : 0;
    return static_cast<size_t>(kSums + copy) * sizeof(float);
  }

  // What of a problem and a call every tile uses.
  struct Context {
    const ConvParams* p;
    Epilogue epilogue;
    const float* x;
    const float* weights;
    float* sums;
    float* copy;
    bool apart;  // outputs need more than bias and clamp, or blocks are not full
  };

  // The taps [begin, end) at distance `step` that lie in [0, size), the first being at `at`.
  struct Range {
    int64_t begin, end;
    int64_t count() const { return end - begin; }
  };
  static Range inside(int64_t at, int64_t step, int64_t taps, int64_t size) {
    const int64_t begin = at < 0 ? smaller(taps, ceil_div(-at, step)) : 0;
    const int64_t end = at < size ? smaller(taps, ceil_div(size - at, step)) : 0;
    return {begin, larger(begin, end)};
  }
  // The output positions [begin, end) whose taps all lie inside.
  static Range interior(int64_t outputs, int64_t stride, int64_t pad, int64_t reach, int64_t size) {
    const int64_t begin = smaller(outputs, ceil_div(larger(0, pad), stride));
    const int64_t last = size - 1 - reach + pad;  // what the first tap may be at
    const int64_t end = last < 0 ? begin : smaller(outputs, last / stride + 1);
    return {begin, larger(begin, end)};
  }

  // Neighbouring output pixels, of a row or of a column, that have the same taps.
  struct Pixels {
    int64_t y, x;  // the first
    int64_t count;
    bool down;
    Range rows, columns;  // of taps
  };

  static void copy_window(const Context& c, const Pixels& pixels, const float* x, int64_t span,
                          int64_t c0) {
    const ConvParams& p = *c.p;
    const int64_t multiplier = p.O / p.C;
    float* to = c.copy;
    for (int64_t r = pixels.rows.count(); r > 0; --r, x += p.dilation_h * p.W * p.C) {
      for (int64_t i = 0; i < span; ++i, to += width(p)) {
        for (int64_t n = 0; n < width(p); ++n) {
          to[n] = c0 + n < p.O ? x[i * p.C + (c0 + n) / multiplier] : 0;
        }
      }
    }
  }

  // What the same tile of the next row of output will read first: processors do not foresee it.
  static void fetch_below(const ConvParams& p, const DepthwiseTile& t, int64_t span) {
    const float* row = t.x + t.rows * t.row_step;
    for (int64_t r = 0; r < p.stride_h; ++r, row += p.W * p.C) {
      for (int64_t i = 0; i < span; ++i) __builtin_prefetch(row + i * p.C);
    }
  }

  // Blocks [first, last) of some pixels.
  static void run_pixels(const Context& c, const Pixels& pixels, int64_t image, int64_t first,
                         int64_t last) {
    const ConvParams& p = *c.p;
    const int64_t lanes = width(p);
    const bool copied = copies(p);
    const float* x = c.x;
    DepthwiseTile t{};
    t.columns = pixels.columns.count();
    t.rows = t.columns > 0 ? pixels.rows.count() : 0;
    if (t.rows > 0) {
      const int64_t h = pixels.y * p.stride_h - p.pad_h + pixels.rows.begin * p.dilation_h;
      const int64_t w = pixels.x * p.stride_w - p.pad_w + pixels.columns.begin * p.dilation_w;
      x += ((image * p.H + h) * p.W + w) * p.C;
    }
    const int64_t span = (pixels.count - 1) * p.stride_w + (t.columns - 1) * p.dilation_w + 1;
    const int64_t step = copied ? lanes : p.C;  // from pixel to pixel of the image
    t.row_step = copied ? span * lanes : p.dilation_h * p.W * p.C;
    t.column_step = p.dilation_w * step;
    t.pixel_step = pixels.down ? p.stride_h * p.W * step : p.stride_w * step;
    t.w_row_step = p.kernel_w * lanes;
    t.ldy = c.apart ? lanes : (pixels.down ? p.OW * p.O : p.O);
    t.lo = c.apart ? -INFINITY : c.epilogue.params.lo;
    t.hi = c.apart ? INFINITY : c.epilogue.params.hi;
    const auto* bias = static_cast<const float*>(c.epilogue.bias);
    const bool fetches = !copied && !pixels.down;
    const float* w = c.weights + (pixels.rows.begin * p.kernel_w + pixels.columns.begin) * lanes;
    const int64_t at = ((image * p.OH + pixels.y) * p.OW + pixels.x) * p.O;
    for (int64_t block = first; block < last; ++block) {
      const int64_t c0 = channel(p, block);
      if (copied) copy_window(c, pixels, x, span, c0);
      t.x = copied ? c.copy : x + c0;
      if (fetches) fetch_below(p, t, span);
      t.w = w + block * block_elements(p);
      t.bias = c.apart || bias == nullptr ? kZeros : bias + c0;
      t.y = c.apart ? c.sums : static_cast<float*>(c.epilogue.y) + at + c0;
      Isa::tile(static_cast<int>(pixels.count), static_cast<int>(lanes / 8), t);
      if (c.apart) {
        Isa::finish(c.epilogue, c.sums, static_cast<int>(lanes), static_cast<int>(pixels.count),
                    static_cast<int>(smaller(lanes, p.O - c0)), c0, at + c0,
                    pixels.down ? p.OW * p.O : p.O);
      }
    }
  }
  alignas(64) static constexpr float kZeros[16] = {};

  // Rows [y0, y1) of a run of columns with the same taps, as many channels at a time as stay in L1.
  static void run_columns(const Context& c, Pixels pixels, int64_t image, Range all, int64_t y0,
                          int64_t y1) {
    constexpr int64_t kWindowBytes = 16 << 10;
    const ConvParams& p = *c.p;
    // Single columns go down instead.
    const bool down = pixels.count == 1 && !copies(p);
    const int64_t width_bytes = width(p) * static_cast<int64_t>(sizeof(float));
    const int64_t block_bytes = p.kernel_h * span(p, pixels.count) * width_bytes;
    const int64_t step = larger(1, kWindowBytes / block_bytes);
    for (int64_t first = 0; first < blocks(p); first += step) {
      const int64_t last = smaller(blocks(p), first + step);
      for (int64_t y = y0; y < y1;) {
        pixels.y = y;
        pixels.rows = {0, p.kernel_h};
        pixels.down = down && y >= all.begin && y < all.end;
        if (pixels.down) pixels.count = share(smaller(all.end, y1) - y);
        if (y < all.begin || y >= all.end) {
          pixels.rows = inside(y * p.stride_h - p.pad_h, p.dilation_h, p.kernel_h, p.H);
          if (down) pixels.count = 1;
        }
        run_pixels(c, pixels, image, first, last);
        y += pixels.down ? pixels.count : 1;
      }
    }
  }
  // How many of `rest` pixels the next tile takes, so that all are about as large.
  static int64_t share(int64_t rest) { return ceil_div(rest, ceil_div(rest, Isa::kPixels)); }

  // Whether 3 x 3 taps slide: at most one column of them lies outside at each side.
  using V = typename Isa::SlideVector;
  static constexpr int64_t kSlideLanes = kLanes<typename V::F>;
  static bool slides(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    const bool three = p.kernel_h == 3 && p.kernel_w == 3 && p.dilation_h == 1 && p.dilation_w == 1;
    const bool strides = p.stride_h == p.stride_w && p.stride_w <= V::kMaxStride;
    return three && strides && p.OW >= V::kMinWidth && !copies(p) && width(p) >= kSlideLanes &&
           p.pad_w <= 1 && (p.OW - 1) * p.stride_w - p.pad_w + 2 <= p.W &&
           !problem.has_input(kInputResidual);
  }

  // Output rows y and following ones, of one block.
  template <int kRows, int kStride>
  static void slide(const Context& c, int64_t image, int64_t y, int64_t block) {
    using Slider = DepthwiseSlider<V, kRows, kStride>;
    const ConvParams& p = *c.p;
    DepthwiseSlide s{};
    s.n = p.OW;
    s.left = p.pad_w > 0;
    s.right = (p.OW - 1) * kStride - p.pad_w + 2 >= p.W;
    const auto* bias = static_cast<const float*>(c.epilogue.bias);
    s.w_step = width(p);
    s.lo = c.epilogue.params.lo;
    s.hi = c.epilogue.params.hi;
    s.ldy = p.O;
    s.y_row_step = p.OW * p.O;
    for (int64_t part = 0; part < width(p); part += kSlideLanes) {
      const int64_t channel = DepthwiseF32Rows::channel(p, block) + part;
      for (int64_t i = 0; i < Slider::kImageRows; ++i) {
        const int64_t h = y * kStride - p.pad_h + i;
        const bool inside = h >= 0 && h < p.H;
        s.rows[i] = inside ? c.x + (image * p.H + h) * p.W * p.C + channel : kZeros;
        s.steps[i] = inside ? p.C : 0;
      }
      s.w = c.weights + block * block_elements(p) + part;
      s.bias = bias == nullptr ? kZeros : bias + channel;
      s.y = static_cast<float*>(c.epilogue.y) + (image * p.OH + y) * p.OW * p.O + channel;
      Slider::run(s);
    }
  }

  // Rows [y0, y1).
  template <int kStride>
  static void slide_band(const Context& c, int64_t image, int64_t y0, int64_t y1) {
    for (int64_t y = y0; y < y1; y += V::kRows) {
      for (int64_t block = 0; block < blocks(*c.p); ++block) {
        if (y + V::kRows <= y1) {
          slide<V::kRows, kStride>(c, image, y, block);
        } else {
          slide<1, kStride>(c, image, y, block);
        }
      }
    }
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const auto& p = problem.as<ConvParams>();
    Context c{};
    c.p = &p;
    c.epilogue = make_epilogue(p.epilogue, problem, call, nullptr);
    c.x = static_cast<const float*>(call.inputs[kInputX]);
    c.weights = static_cast<const float*>(call.packed);
    c.sums = static_cast<float*>(call.scratch);
    c.copy = c.sums + kSums;
    c.apart = c.epilogue.residual != nullptr || p.O < 8;

    const bool sliding = slides(problem);
    const Range rows = interior(p.OH, p.stride_h, p.pad_h, (p.kernel_h - 1) * p.dilation_h, p.H);
    const Range columns = interior(p.OW, p.stride_w, p.pad_w, (p.kernel_w - 1) * p.dilation_w, p.W);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t image = task / bands(p);
      const int64_t y0 = task % bands(p) * band(p), y1 = smaller(p.OH, y0 + band(p));
      if (sliding) {
        p.stride_w == 1 ? slide_band<1>(c, image, y0, y1) : slide_band<2>(c, image, y0, y1);
        continue;
      }
      int64_t next = 0;
      for (Pixels pixels{}; pixels.x < p.OW; pixels.x = next) {
        const bool whole = pixels.x >= columns.begin && pixels.x < columns.end;
        pixels.count = whole ? share(columns.end - pixels.x) : 1;
        pixels.columns =
            whole ? Range{0, p.kernel_w}
                  : inside(pixels.x * p.stride_w - p.pad_w, p.dilation_w, p.kernel_w, p.W);
        next = pixels.x + pixels.count;
        run_columns(c, pixels, image, rows, y0, y1);
      }
    }
  }
};

}  // namespace
}  // namespace pyrt
