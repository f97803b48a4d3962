// The conv rows of an ISA, on top of the product engine (gemm/gemm-inl.h): the rows of a block of
// output pixels are gathered into scratch, tap by tap, so that no image-sized im2col exists; a
// pointwise convolution in a form that the engine can read is not copied at all.
//
// Packed: per group the column sums (s8) and panels of gemm.h with K = kernel_h * kernel_w *
// C/group, k as in conv.h.
#pragma once

#include "kernels/conv/conv.h"
#include "kernels/gemm/gemm-inl.h"

namespace pyrt {
namespace {

template <class Isa>
struct ConvRows {
  using X = typename Isa::X;
  using A = typename Isa::A;
  using W = typename Isa::W;
  static constexpr bool kInteger = sizeof(X) == 1;

  static const char* supports(const Problem& problem) {
    if (problem.as<ConvParams>().epilogue.integer != kInteger) {
      return kInteger ? "the operands are f32" : "the operands are s8";
    }
    return problem.inputs[kInputW].constant != nullptr ? nullptr : "the weights are not constant";
  }

  static int64_t M(const ConvParams& p) { return p.B * p.OH * p.OW; }
  static int64_t panel_K(const ConvParams& p) { return round_up(p.K(), Isa::kKr); }
  static bool in_place(const ConvParams& p) {
    return Isa::kInPlace && p.pointwise() && p.K() % Isa::kKr == 0;
  }
  static Blocking blocking(const ConvParams& p) {
    return make_blocking(M(p), p.N(), p.K(), p.K() * static_cast<int64_t>(sizeof(A)), Isa::kMr);
  }

  static int64_t group_bytes(const ConvParams& p) {
    const int64_t sums = kInteger ? sums_bytes(p.N()) : 0;
    return sums + round_up(p.N(), kPanel) * panel_K(p) * static_cast<int64_t>(sizeof(W));
  }
  static size_t packed_bytes(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    return static_cast<size_t>(p.group * group_bytes(p));
  }

  static void pack(const Problem& problem, void* packed) {
    const auto& p = problem.as<ConvParams>();
    const int64_t Cg = p.C / p.group;
    const int64_t taps = p.kernel_h * p.kernel_w;
    for (int64_t g = 0; g < p.group; ++g) {
      const X* w = static_cast<const X*>(problem.inputs[kInputW].constant) + g * p.N() * p.K();
      char* to = static_cast<char*>(packed) + g * group_bytes(p);
      const auto at = [w, Cg, taps](int64_t k, int64_t n) {
        return w[(n * Cg + k % Cg) * taps + k / Cg];
      };
      pack_panels<Isa::kKr>(at, p.K(), p.N(), 0, ceil_div(p.N(), kPanel),
                            reinterpret_cast<W*>(to + (kInteger ? sums_bytes(p.N()) : 0)),
                            kInteger ? reinterpret_cast<int32_t*>(to) : nullptr);
    }
  }

  static int64_t tasks(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    const Blocking b = blocking(p);
    return p.group * b.m_blocks * b.n_blocks;
  }
  static size_t scratch_bytes(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    if (in_place(p)) return 0;
    return static_cast<size_t>(rows_bytes(p) + (by_lines(p) ? p.kernel_h * line_bytes(p) : 0));
  }
  // Gathered rows; 64 bytes of slack, since lines are copied in whole chunks.
  static int64_t rows_bytes(const ConvParams& p) {
    const int64_t elements = blocking(p).block_rows * panel_K(p);
    return round_up(elements * static_cast<int64_t>(sizeof(A)) + 64, 64);
  }

  static A* fill(A* to, int64_t count, A value) {
    for (int64_t i = 0; i < count; ++i) to[i] = value;
    return to + count;
  }

  // The taps of one kernel row: `row` is x at (b, ih, 0, first channel of the group), iw the column
  // of tap 0.
  static A* gather_row(const ConvParams& p, const X* row, int64_t iw, A padding, A* to) {
    const int64_t Cg = p.C / p.group;
    if (p.group == 1 && p.dilation_w == 1) {  // the taps are one run of pixels
      const int64_t first = smaller(p.kernel_w, larger(0, -iw));
      const int64_t last = larger(first, smaller(p.kernel_w, p.W - iw));
      to = fill(to, first * Cg, padding);
      if (last > first) Isa::prepare(row + (iw + first) * Cg, (last - first) * Cg, to);
      to += (last - first) * Cg;
      return fill(to, (p.kernel_w - last) * Cg, padding);
    }
    for (int64_t t = 0; t < p.kernel_w; ++t, iw += p.dilation_w) {
      if (iw < 0 || iw >= p.W) {
        to = fill(to, Cg, padding);
      } else {
        Isa::prepare(row + iw * p.C, Cg, to);
        to += Cg;
      }
    }
    return to;
  }

  // First layers have few channels: the taps of a kernel row are a short run, and finding it costs
  // more than copying it. The input lines of an output row are then prepared once, borders
  // included, and each run is copied from there in whole chunks.
  static constexpr int64_t kChunk = 32;  // bytes, one register
  static bool by_lines(const ConvParams& p) {
    const int64_t run = p.kernel_w * p.C * static_cast<int64_t>(sizeof(A));
    return p.group == 1 && p.dilation_w == 1 && run <= 4 * kChunk && !in_place(p);
  }
  static int64_t line_elements(const ConvParams& p) {
    return ((larger(p.OW, 1) - 1) * p.stride_w + p.kernel_w) * p.C;
  }
  static int64_t line_bytes(const ConvParams& p) {
    return round_up(line_elements(p) * static_cast<int64_t>(sizeof(A)) + kChunk, 64);
  }
  static A* line(const ConvParams& p, A* lines, int64_t t) {
    return reinterpret_cast<A*>(reinterpret_cast<char*>(lines) + t * line_bytes(p));
  }

  static void prepare_line(const ConvParams& p, const X* image, int64_t y, A padding, A* to) {
    const int64_t elements = line_elements(p);
    if (y < 0 || y >= p.H) {
      fill(to, elements, padding);
      return;
    }
    const int64_t before = smaller(elements, p.pad_w * p.C);
    const int64_t inside = smaller(elements - before, p.W * p.C);
    fill(to, before, padding);
    Isa::prepare(image + y * p.W * p.C, inside, to + before);
    fill(to + before + inside, elements - before - inside, padding);
  }

  static void gather_by_lines(const ConvParams& p, const X* x, int64_t m0, int64_t rows, A padding,
                              A* lines, A* out) {
    const int64_t run = p.kernel_w * p.C;
    const int64_t run_bytes = run * static_cast<int64_t>(sizeof(A));
    int64_t line_of = -1;  // the output row that the lines belong to
    for (int64_t m = m0; m < m0 + rows; ++m) {
      const int64_t y = m / p.OW;  // over all images
      if (y != line_of) {
        line_of = y;
        const X* image = x + y / p.OH * p.H * p.W * p.C;
        const int64_t ih = y % p.OH * p.stride_h - p.pad_h;
        for (int64_t t = 0; t < p.kernel_h; ++t) {
          prepare_line(p, image, ih + t * p.dilation_h, padding, line(p, lines, t));
        }
      }
      const int64_t at = m % p.OW * p.stride_w * p.C;
      A* to = out + (m - m0) * panel_K(p);
      for (int64_t t = 0; t < p.kernel_h; ++t, to += run) {
        const char* from = reinterpret_cast<const char*>(line(p, lines, t) + at);
        // What is copied beyond the run is overwritten by the next run, row or padding.
        for (int64_t i = 0; i < run_bytes; i += kChunk) {
          memcpy(reinterpret_cast<char*>(to) + i, from + i, kChunk);
        }
      }
      fill(to, panel_K(p) - p.K(), A{0});
    }
  }

  // Rows of the product for output pixels [m0, m0 + rows) to out [rows][panel_K].
  static void gather(const ConvParams& p, const X* x, int64_t group, int64_t m0, int64_t rows,
                     A padding, A* out) {
    const int64_t Cg = p.C / p.group;
    for (int64_t m = m0; m < m0 + rows; ++m) {
      const int64_t b = m / (p.OH * p.OW);
      const int64_t ih = m / p.OW % p.OH * p.stride_h - p.pad_h;
      const int64_t iw = m % p.OW * p.stride_w - p.pad_w;
      A* to = out + (m - m0) * panel_K(p);
      for (int64_t t = 0; t < p.kernel_h; ++t) {
        const int64_t i = ih + t * p.dilation_h;
        if (i < 0 || i >= p.H) {
          to = fill(to, p.kernel_w * Cg, padding);
        } else {
          to = gather_row(p, x + (b * p.H + i) * p.W * p.C + group * Cg, iw, padding, to);
        }
      }
      fill(to, panel_K(p) - p.K(), A{0});
    }
  }

  // Predicted time of finding the pixels of all rows, beyond copying their elements: on Zen 3 about
  // 8 ns for a run of taps (7 x 7 kernels on 3 channels), 5 ns for a single tap (3 x 3, one channel
  // per group).
  static double gather_ns(const ConvParams& p) {
    if (in_place(p)) return 0;
    const bool runs = p.group == 1 && p.dilation_w == 1;
    const double run_ns = by_lines(p) ? 1.5 : 8;
    const double row_ns =
        static_cast<double>(p.kernel_h) * (runs ? run_ns : 5 * static_cast<double>(p.kernel_w));
    return row_ns * static_cast<double>(M(p)) * static_cast<double>(p.group);
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const auto& p = problem.as<ConvParams>();
    const Blocking b = blocking(p);
    const int64_t K = panel_K(p);
    const X* x = static_cast<const X*>(call.inputs[kInputX]);
    A* gathered = static_cast<A*>(call.scratch);
    A* lines = reinterpret_cast<A*>(static_cast<char*>(call.scratch) + rows_bytes(p));
    Epilogue e = make_epilogue(p.epilogue, problem, call, nullptr);
    int64_t last_gathered = -1;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t ni = task % b.n_blocks;
      const int64_t rows_of_group = task / b.n_blocks;
      const int64_t group = rows_of_group % p.group;
      const int64_t mi = rows_of_group / p.group;
      const int64_t m0 = part(M(p), b.m_blocks, mi);
      const int64_t rows = part(M(p), b.m_blocks, mi + 1) - m0;
      const A* block = gathered;
      int64_t lda = K;
      if (in_place(p)) {
        block = reinterpret_cast<const A*>(x + m0 * p.C + group * (p.C / p.group));
        lda = p.C;
      } else if (rows_of_group != last_gathered) {
        const auto padding = static_cast<A>(e.x_zero_point);
        if (by_lines(p)) {
          gather_by_lines(p, x, m0, rows, padding, lines, gathered);
        } else {
          gather(p, x, group, m0, rows, padding, gathered);
        }
        last_gathered = rows_of_group;
      }
      const char* packed = static_cast<const char*>(call.packed) + group * group_bytes(p);
      if (kInteger) e.column_sums = reinterpret_cast<const int32_t*>(packed) - group * p.N();
      const auto* w = reinterpret_cast<const W*>(packed + (kInteger ? sums_bytes(p.N()) : 0));
      multiply_matrix<Isa>(e, block, lda, rows, w, K, p.N(), part(b.panels, b.n_blocks, ni),
                           part(b.panels, b.n_blocks, ni + 1), group * p.N(),
                           m0 * p.O + group * p.N(), p.O);
    }
  }
};

}  // namespace
}  // namespace pyrt
