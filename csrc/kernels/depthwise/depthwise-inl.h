// The depthwise rows of an ISA: looking taps up, packing and running tasks. An ISA file supplies
//
//   struct Isa {
//     using X, W, Acc;
//     static constexpr int kTapStep;      // taps packed together; their number is rounded up to it
//     static int64_t packed_tap(int64_t t, int64_t c);   // place of w[c, t] in a block's weights
//     // acc[m][16] = sum over t < count of taps[m * count + t][c .. c + 16) * w[t], for kPixels
//     pixels m that share the
//     // loads of the weights; count is a multiple of kTapStep.
//     template <int kPixels>
//     static void accumulate(const X* const* taps, int64_t count, int64_t c, const W* w, Acc* acc);
//     static void finish(...);            // as in gemm/gemm-inl.h
//   };
#pragma once

#include "kernels/depthwise/depthwise.h"
#include "kernels/gemm/gemm-inl.h"

namespace pyrt {
namespace {

template <class Isa>
struct DepthwiseRows {
  using X = typename Isa::X;
  using W = typename Isa::W;
  static constexpr bool kInteger = sizeof(X) == 1;

  static const char* supports(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    if (p.epilogue.integer != kInteger) {
      return kInteger ? "the operands are f32" : "the operands are s8";
    }
    if (p.volume) return "it has three spatial dims";
    if (p.group != p.C || p.O != p.C) return "not one input and one output channel per group";
    return problem.inputs[kInputW].constant != nullptr ? nullptr : "the weights are not constant";
  }

  static int64_t taps(const ConvParams& p) { return p.kernel_h * p.kernel_w; }
  static int64_t padded_taps(const ConvParams& p) { return round_up(taps(p), Isa::kTapStep); }
  static int64_t block_elements(const ConvParams& p) { return padded_taps(p) * kDepthwiseBlock; }
  static int64_t sums_elements(const ConvParams& p) {
    return kInteger ? depthwise_blocks(p.C) * kDepthwiseBlock : 0;
  }

  static size_t packed_bytes(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    return static_cast<size_t>(sums_elements(p)) * sizeof(int32_t) +
           static_cast<size_t>(depthwise_blocks(p.C) * block_elements(p)) * sizeof(W);
  }

  static void pack(const Problem& problem, void* packed) {
    const auto& p = problem.as<ConvParams>();
    const X* w = static_cast<const X*>(problem.inputs[kInputW].constant);
    auto* sums = static_cast<int32_t*>(packed);
    auto* out = reinterpret_cast<W*>(sums + sums_elements(p));
    memset(packed, 0, packed_bytes(problem));
    for (int64_t block = 0; block < depthwise_blocks(p.C); ++block) {
      const int64_t c0 = depthwise_channel(p.C, block);
      for (int64_t i = 0; i < smaller(kDepthwiseBlock, p.C - c0); ++i) {
        for (int64_t t = 0; t < taps(p); ++t) {
          const X value = w[(c0 + i) * taps(p) + t];
          out[block * block_elements(p) + Isa::packed_tap(t, i)] = static_cast<W>(value);
          if constexpr (kInteger) sums[block * kDepthwiseBlock + i] += value;
        }
      }
    }
  }

  // Pixels of a task: a few microseconds of work.
  static int64_t task_pixels(const ConvParams& p) {
    const int64_t macs = larger(1, p.C * taps(p));
    return round_up(larger(1, smaller(64, (1 << 17) / macs)), kDepthwisePixels);
  }
  static int64_t tasks(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    return ceil_div(p.B * p.OH * p.OW, task_pixels(p));
  }

  // Scratch: tap pointers [kDepthwisePixels, padded taps], the padding row [C], and, if C < 16,
  // copies of the taps' pixels [kDepthwisePixels, padded taps, 16], because a block reads 16
  // channels.
  static int64_t pointers_bytes(const ConvParams& p) {
    return round_up(kDepthwisePixels * padded_taps(p) * static_cast<int64_t>(sizeof(X*)), 64);
  }
  static int64_t row_elements(const ConvParams& p) {
    return round_up(larger(p.C, kDepthwiseBlock), 64);
  }
  static size_t scratch_bytes(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    int64_t elements = row_elements(p);
    if (p.C < kDepthwiseBlock) elements += kDepthwisePixels * padded_taps(p) * kDepthwiseBlock;
    return static_cast<size_t>(pointers_bytes(p)) + static_cast<size_t>(elements) * sizeof(X);
  }

  // The pixel under each tap of output pixel m, or the padding row. Most pixels lie inside: they
  // take the short way.
  static void look_up(const ConvParams& p, const X* x, int64_t m, const X* padding,
                      const X** pointers) {
    const int64_t ih = m / p.OW % p.OH * p.stride_h - p.pad_h;
    const int64_t iw = m % p.OW * p.stride_w - p.pad_w;
    const X* image = x + m / (p.OH * p.OW) * p.H * p.W * p.C;
    if (ih >= 0 && iw >= 0 && ih + (p.kernel_h - 1) * p.dilation_h < p.H &&
        iw + (p.kernel_w - 1) * p.dilation_w < p.W) {
      const X* row = image + (ih * p.W + iw) * p.C;
      for (int64_t t_h = 0; t_h < p.kernel_h; ++t_h, row += p.dilation_h * p.W * p.C) {
        const X* pixel = row;
        for (int64_t t_w = 0; t_w < p.kernel_w; ++t_w, pixel += p.dilation_w * p.C) {
          *pointers++ = pixel;
        }
      }
      for (int64_t t = taps(p); t < padded_taps(p); ++t) *pointers++ = padding;
      return;
    }
    for (int64_t t_h = 0; t_h < p.kernel_h; ++t_h) {
      const int64_t h = ih + t_h * p.dilation_h;
      const bool row_inside = h >= 0 && h < p.H;
      for (int64_t t_w = 0; t_w < p.kernel_w; ++t_w) {
        const int64_t w = iw + t_w * p.dilation_w;
        const bool inside = row_inside && w >= 0 && w < p.W;
        *pointers++ = inside ? image + (h * p.W + w) * p.C : padding;
      }
    }
    for (int64_t t = taps(p); t < padded_taps(p); ++t) *pointers++ = padding;
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const auto& p = problem.as<ConvParams>();
    const X* x = static_cast<const X*>(call.inputs[kInputX]);
    char* scratch = static_cast<char*>(call.scratch);
    auto** pointers = reinterpret_cast<const X**>(scratch);
    X* padding = reinterpret_cast<X*>(scratch + pointers_bytes(p));
    X* copies = padding + row_elements(p);
    const auto* sums = static_cast<const int32_t*>(call.packed);
    const auto* weights = reinterpret_cast<const W*>(sums + sums_elements(p));
    Epilogue e = make_epilogue(p.epilogue, problem, call, nullptr);
    for (int64_t i = 0; i < row_elements(p); ++i) padding[i] = static_cast<X>(e.x_zero_point);

    const int64_t pixels = p.B * p.OH * p.OW;
    const int64_t stop = smaller(pixels, end * task_pixels(p));
    for (int64_t m0 = begin * task_pixels(p); m0 < stop; m0 += kDepthwisePixels) {
      const int64_t rows = smaller(kDepthwisePixels, stop - m0);
      for (int64_t m = 0; m < rows; ++m) {
        look_up(p, x, m0 + m, padding, pointers + m * padded_taps(p));
      }
      if (p.C < kDepthwiseBlock) {
        for (int64_t i = 0; i < rows * padded_taps(p); ++i) {
          X* copy = copies + i * kDepthwiseBlock;
          memset(copy, 0, kDepthwiseBlock * sizeof(X));
          memcpy(copy, pointers[i], static_cast<size_t>(p.C) * sizeof(X));
          pointers[i] = copy;
        }
      }
      for (int64_t block = 0; block < depthwise_blocks(p.C); ++block) {
        const int64_t c0 = depthwise_channel(p.C, block);
        alignas(64) typename Isa::Acc acc[kDepthwisePixels * kDepthwiseBlock];
        const W* w = weights + block * block_elements(p);
        int64_t m = 0;
        for (; m + 2 <= rows; m += 2) {
          Isa::template accumulate<2>(pointers + m * padded_taps(p), padded_taps(p), c0, w,
                                      acc + m * kDepthwiseBlock);
        }
        if (m < rows) {
          Isa::template accumulate<1>(pointers + m * padded_taps(p), padded_taps(p), c0, w,
                                      acc + m * kDepthwiseBlock);
        }
        if (kInteger) e.column_sums = sums + block * kDepthwiseBlock - c0;
        Isa::finish(e, acc, kDepthwiseBlock, static_cast<int>(rows),
                    static_cast<int>(smaller(kDepthwiseBlock, p.C - c0)), c0, m0 * p.C + c0, p.C);
      }
    }
  }
};

}  // namespace
}  // namespace pyrt
