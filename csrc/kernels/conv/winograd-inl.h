// 3 x 3 convolutions with a quarter of the multiplications: Winograd's F(4 x 4, 3 x 3) (Lavin and
// Gray, arXiv 1509.09308). A tile of 4 x 4 outputs needs 6 x 6 inputs d; with constant matrices,
// y = At ((G w Gt) * (Bt d B)) A, where * is element by element. So channels are summed by 36
// products [tiles] x [C] x [O], one for each element, on the product engine. Transforms supplies
// the matrices (winograd_f32-inl.h, winograd_s8_avx2-inl.h):
//
//   struct Transforms {
//     using Isa;                                    // of the products
//     using X;                                      // elements of x and w
//     static constexpr int64_t kInputLanes, kOutputLanes;  // C and O are multiples of them
//     static const char* supports(const Problem&);
//     // The 36 elements of G w Gt, of Bt d B (d[6][6] at from[..] + c) and of the sums are `step`
//     // apart.
//     static void weights(const X* w, W* to, int64_t step);
//     static void input(const X* const* from, int64_t c, A* v, int64_t step);
//     static Channels channels(const Epilogue&, int64_t n);  // what depends on them alone
//     // height x width pixels of y from element `at` on, channels [n, n + kOutputLanes).
//     static void output(const ConvParams&, const Epilogue&, const Channels&, const Acc* m,
//                        int64_t step, int64_t n, int64_t at, int64_t height, int64_t width);
//   };
//
// Packed: s8: column sums as in gemm.h. For each of 36 elements the panels of gemm.h of the
// transformed weights, K = C.
#pragma once

#include "kernels/conv/conv.h"
#include "kernels/gemm/gemm-inl.h"

namespace pyrt {
namespace {

namespace winograd {
inline constexpr int kOut = 4, kIn = 6, kElements = kIn * kIn;
}  // namespace winograd

template <class Transforms>
struct WinogradRows {
  using Isa = typename Transforms::Isa;
  using X = typename Transforms::X;
  using A = typename Isa::A;
  using W = typename Isa::W;
  using Acc = typename Isa::Acc;
  static constexpr bool kInteger = sizeof(X) == 1;
  static constexpr int kElements = winograd::kElements;

  static const char* supports(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    if (p.epilogue.integer != kInteger) {
      return kInteger ? "the operands are f32" : "the operands are s8";
    }
    if (p.volume) return "it has three spatial dims";
    if (p.kernel_h != 3 || p.kernel_w != 3) return "the kernel is not 3 x 3";
    if (p.stride_h != 1 || p.stride_w != 1 || p.dilation_h != 1 || p.dilation_w != 1) {
      return "strides or dilations are not 1";
    }
    if (p.group != 1) return "it is grouped";
    if (p.C % Transforms::kInputLanes != 0 || p.O % Transforms::kOutputLanes != 0) {
      return "the channels do not fill vectors";
    }
    if (problem.inputs[kInputW].constant == nullptr) return "the weights are not constant";
    return Transforms::supports(problem);
  }

  static int64_t tiles_h(const ConvParams& p) { return ceil_div(p.OH, winograd::kOut); }
  static int64_t tiles_w(const ConvParams& p) { return ceil_div(p.OW, winograd::kOut); }
  static int64_t tiles(const ConvParams& p) { return p.B * tiles_h(p) * tiles_w(p); }
  static int64_t element_weights(const ConvParams& p) { return round_up(p.O, kPanel) * p.C; }
  static int64_t sums_size(const ConvParams& p) { return kInteger ? sums_bytes(p.O) : 0; }
  static int64_t weight_bytes(const ConvParams& p) {
    return kElements * element_weights(p) * static_cast<int64_t>(sizeof(W));
  }

  static size_t packed_bytes(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    return static_cast<size_t>(sums_size(p) + weight_bytes(p));
  }

  static void pack(const Problem& problem, void* packed) {
    const auto& p = problem.as<ConvParams>();
    const auto* w = static_cast<const X*>(problem.inputs[kInputW].constant);
    memset(packed, 0, packed_bytes(problem));
    auto* sums = static_cast<int32_t*>(packed);
    auto* out = reinterpret_cast<W*>(static_cast<char*>(packed) + sums_size(p));
    for (int64_t o = 0; o < p.O; ++o) {
      for (int64_t c = 0; c < p.C; ++c, w += 9) {
        if constexpr (kInteger) {
          for (int i = 0; i < 9; ++i) sums[o] += w[i];
        }
        const int64_t panel = o / kPanel * p.C * kPanel;
        W* to =
            out + panel + c / Isa::kKr * kPanel * Isa::kKr + o % kPanel * Isa::kKr + c % Isa::kKr;
        Transforms::weights(w, to, element_weights(p));
      }
    }
  }

  // Tiles of a block: their transformed inputs take about 200 KiB, of which a product reads one of
  // 36. Panels of a block's step: the sums of 36 products stay in L2.
  struct Blocks {
    int64_t m_blocks, n_blocks, rows, panels, step;
  };
  static Blocks blocks(const ConvParams& p) {
    constexpr int64_t kInputBytes = 200 * 1024;
    constexpr int64_t kSumBytes = 200 * 1024;
    const int64_t tile_bytes = larger(1, p.C) * kElements * static_cast<int64_t>(sizeof(A));
    const int64_t most =
        larger(2 * Isa::kMr, smaller(kMaxTiles * Isa::kMr, kInputBytes / tile_bytes));
    const int64_t all = larger(1, ceil_div(tiles(p), Isa::kMr));
    Blocks b{};
    b.m_blocks = ceil_div(all, larger(1, most / Isa::kMr));
    b.rows = ceil_div(all, b.m_blocks) * Isa::kMr;
    b.panels = ceil_div(p.O, kPanel);
    b.step = larger(1, smaller(b.panels, kSumBytes / (kElements * kPanel * 4 * b.rows)));
    // Some tasks for two threads to share; those of one block transform its inputs once if they run
    // on one thread.
    b.n_blocks = b.m_blocks >= 8 ? 1 : smaller(2, b.panels);
    return b;
  }
  // Elements of T from one of 36 matrices to the next: an odd number of cache lines, so that those
  // of a tile do not share a set of L1.
  template <class T>
  static int64_t matrix_elements(int64_t rows, int64_t columns) {
    constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));
    return (ceil_div(rows * columns, kLine) | 1) * kLine;
  }
  static int64_t tasks(const Problem& problem) {
    const Blocks b = blocks(problem.as<ConvParams>());
    return b.m_blocks * b.n_blocks;
  }

  // Scratch: a pixel of padding [C], inputs [36][rows][C], sums [36][rows][step * 16].
  static int64_t padding_bytes(const ConvParams& p) {
    return round_up(p.C * static_cast<int64_t>(sizeof(X)), 64);
  }
  static int64_t input_bytes(const ConvParams& p, const Blocks& b) {
    return kElements * matrix_elements<A>(b.rows, p.C) * static_cast<int64_t>(sizeof(A));
  }
  static size_t scratch_bytes(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    const Blocks b = blocks(p);
    return static_cast<size_t>(padding_bytes(p) + input_bytes(p, b)) +
           static_cast<size_t>(kElements * matrix_elements<Acc>(b.rows, b.step * kPanel)) *
               sizeof(Acc);
  }

  // Where tiles [first, first + rows) begin: image, line and column, and what of them exists.
  struct Place {
    int64_t image, h, w;
    int64_t at;  // element of y
    int64_t height, width;
  };
  static void locate(const ConvParams& p, int64_t first, int64_t rows, Place* places) {
    for (int64_t t = first; t < first + rows; ++t, ++places) {
      const int64_t line = t / tiles_w(p);
      const int64_t image = line / tiles_h(p);
      const int64_t h = line % tiles_h(p) * winograd::kOut;
      const int64_t w = t % tiles_w(p) * winograd::kOut;
      *places = {image,
                 h,
                 w,
                 ((image * p.OH + h) * p.OW + w) * p.O,
                 smaller(winograd::kOut, p.OH - h),
                 smaller(winograd::kOut, p.OW - w)};
    }
  }

  static void transform_input(const ConvParams& p, const X* x, const Place* places, int64_t rows,
                              const X* padding, A* v) {
    constexpr int kIn = winograd::kIn;
    const int64_t step = matrix_elements<A>(rows, p.C);
    for (int64_t t = 0; t < rows; ++t) {
      const Place& place = places[t];
      const X* line[kIn];
      int64_t column[kIn];
      bool has_line[kIn], has_column[kIn];
      for (int i = 0; i < kIn; ++i) {
        const int64_t ih = place.h + i - p.pad_h;
        const int64_t iw = place.w + i - p.pad_w;
        has_line[i] = ih >= 0 && ih < p.H;
        has_column[i] = iw >= 0 && iw < p.W;
        line[i] = x + (place.image * p.H + (has_line[i] ? ih : 0)) * p.W * p.C;
        column[i] = iw * p.C;
      }
      const X* from[kElements];
      for (int i = 0; i < kIn; ++i) {
        for (int j = 0; j < kIn; ++j) {
          from[i * kIn + j] = has_line[i] && has_column[j] ? line[i] + column[j] : padding;
        }
      }
      for (int64_t c = 0; c < p.C; c += Transforms::kInputLanes) {
        Transforms::input(from, c, v + t * p.C + c, step);
      }
    }
  }

  // Sums m [36][rows][columns] of output channels [n, n + columns) to y.
  static void transform_output(const ConvParams& p, const Epilogue& e, const Place* places,
                               int64_t rows, int64_t n, int64_t columns, const Acc* m) {
    const int64_t step = matrix_elements<Acc>(rows, columns);
    const int64_t last = smaller(n + columns, p.O);
    for (; n < last; n += Transforms::kOutputLanes, m += Transforms::kOutputLanes) {
      const auto channels = Transforms::channels(e, n);
      for (int64_t t = 0; t < rows; ++t) {
        const Place& place = places[t];
        Transforms::output(p, e, channels, m + t * columns, step, n, place.at + n, place.height,
                           place.width);
      }
    }
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const auto& p = problem.as<ConvParams>();
    const Blocks b = blocks(p);
    char* scratch = static_cast<char*>(call.scratch);
    X* padding = reinterpret_cast<X*>(scratch);
    A* v = reinterpret_cast<A*>(scratch + padding_bytes(p));
    Acc* sums = reinterpret_cast<Acc*>(scratch + padding_bytes(p) + input_bytes(p, b));
    const auto* packed = static_cast<const char*>(call.packed);
    const W* w = reinterpret_cast<const W*>(packed + sums_size(p));
    const Epilogue e = make_epilogue(p.epilogue, problem, call,
                                     kInteger ? reinterpret_cast<const int32_t*>(packed) : nullptr);
    for (int64_t c = 0; c < p.C; ++c) padding[c] = static_cast<X>(e.x_zero_point);
    Epilogue plain{};  // of the 36 products
    plain.params.lo = -__builtin_inff();
    plain.params.hi = __builtin_inff();
    plain.y = sums;
    Place places[kMaxTiles * Isa::kMr];
    const A* pointers[kMaxTiles * Isa::kMr];
    int64_t transformed = -1;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t mi = task / b.n_blocks;
      const int64_t ni = task % b.n_blocks;
      const int64_t all = ceil_div(tiles(p), Isa::kMr);
      const int64_t first = part(all, b.m_blocks, mi) * Isa::kMr;
      const int64_t rows = smaller(tiles(p), part(all, b.m_blocks, mi + 1) * Isa::kMr) - first;
      if (rows <= 0) continue;
      if (mi != transformed) {
        locate(p, first, rows, places);
        transform_input(p, static_cast<const X*>(call.inputs[kInputX]), places, rows, padding, v);
        for (int64_t m = 0; m < rows; ++m) pointers[m] = v + m * p.C;
        transformed = mi;
      }
      const int64_t last_panel = part(b.panels, b.n_blocks, ni + 1);
      for (int64_t panel = part(b.panels, b.n_blocks, ni); panel < last_panel; panel += b.step) {
        const int64_t count = smaller(b.step, last_panel - panel);
        const int64_t columns = count * kPanel;
        for (int64_t i = 0; i < kElements; ++i) {
          const int64_t tap = i * matrix_elements<A>(rows, p.C);
          multiply<Isa>(plain, {pointers, &tap, 1, p.C}, rows,
                        w + i * element_weights(p) + panel * kPanel * p.C, columns, 0, count, 0,
                        i * matrix_elements<Acc>(rows, columns), columns);
        }
        transform_output(p, e, places, rows, panel * kPanel, columns, sums);
      }
    }
  }
};

}  // namespace
}  // namespace pyrt
