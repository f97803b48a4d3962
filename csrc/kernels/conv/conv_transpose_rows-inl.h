// The conv_transpose rows of an ISA, on top of the product engine. Output pixels whose coordinates
// (plus padding) are equal modulo the strides form a phase: they all use the same taps, and each
// tap belongs to one phase. So a phase is a convolution with stride 1 over the inputs, and no
// product is wasted on inserted zeros nor added up in memory.
//
// Packed: per group and phase (r_h, r_w) the panels of gemm.h with K = taps of the phase * C/group.
#pragma once

#include "kernels/conv/conv.h"
#include "kernels/gemm/gemm-inl.h"

namespace pyrt {
namespace {

inline constexpr int64_t kMaxPhases = 64;

// Taps of one axis whose offset is r modulo the stride, in ascending order: first, first + step, ..
// (count of them).
struct Taps {
  int64_t first, step, count;
};

[[maybe_unused]] Taps taps_of(int64_t r, int64_t kernel, int64_t dilation, int64_t stride) {
  Taps taps{0, stride, 0};  // t * dilation = r mod stride repeats after at most `stride` taps
  int64_t found = 0;
  for (int64_t t = 0; t < kernel && t < 2 * stride && found < 2; ++t) {
    if (t * dilation % stride != r) continue;
    if (found == 0) taps.first = t;
    if (found == 1) taps.step = t - taps.first;
    ++found;
  }
  if (found > 0) taps.count = (kernel - 1 - taps.first) / taps.step + 1;
  return taps;
}

// Output coordinates of one phase along one axis: first, first + stride, .. (count of them).
struct Pixels {
  int64_t first, count;
};

PYRT_INLINE Pixels pixels_of(int64_t r, int64_t pad, int64_t stride, int64_t size) {
  const int64_t first = ((r - pad) % stride + stride) % stride;
  return {first, first < size ? (size - 1 - first) / stride + 1 : 0};
}

struct Phase {
  Taps h, w;
  Pixels y, x;
  PYRT_INLINE int64_t taps() const { return h.count * w.count; }
  PYRT_INLINE int64_t pixels() const { return y.count * x.count; }
};

template <class Isa>
struct ConvTransposeRows {
  using A = typename Isa::A;
  using W = typename Isa::W;

  static const char* supports(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    if (problem.inputs[kInputW].constant == nullptr) return "the weights are not constant";
    const bool few = p.stride_h <= kMaxPhases && p.stride_w <= kMaxPhases &&
                     p.stride_h * p.stride_w <= kMaxPhases;
    return few ? nullptr : "the product of the strides exceeds 64";
  }

  static int64_t phases(const ConvParams& p) { return p.stride_h * p.stride_w; }
  static Phase phase(const ConvParams& p, int64_t index) {
    const int64_t r_h = index / p.stride_w;
    const int64_t r_w = index % p.stride_w;
    return {taps_of(r_h, p.kernel_h, p.dilation_h, p.stride_h),
            taps_of(r_w, p.kernel_w, p.dilation_w, p.stride_w),
            pixels_of(r_h, p.pad_h, p.stride_h, p.OH), pixels_of(r_w, p.pad_w, p.stride_w, p.OW)};
  }

  static int64_t most_taps(const ConvParams& p) {
    int64_t most = 0;
    for (int64_t i = 0; i < phases(p); ++i) most = larger(most, phase(p, i).taps());
    return most;
  }
  // Of the largest phase; smaller ones leave some tasks with fewer rows.
  static Blocking blocking(const ConvParams& p) {
    const int64_t pixels = p.B * ceil_div(p.OH, p.stride_h) * ceil_div(p.OW, p.stride_w);
    const int64_t K = most_taps(p) * (p.C / p.group);
    return make_blocking(pixels, p.N(), K, K * static_cast<int64_t>(sizeof(A)), Isa::kMr);
  }

  static int64_t panel_width(const ConvParams& p) { return round_up(p.N(), kPanel); }
  // Every tap is in one phase, so a group's panels are those of all taps.
  static int64_t group_elements(const ConvParams& p) {
    return panel_width(p) * p.kernel_h * p.kernel_w * (p.C / p.group);
  }
  static size_t packed_bytes(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    return static_cast<size_t>(p.group * group_elements(p)) * sizeof(W);
  }

  static void pack(const Problem& problem, void* packed) {
    const auto& p = problem.as<ConvParams>();
    const int64_t Cg = p.C / p.group;
    const int64_t N = p.N();
    W* to = static_cast<W*>(packed);
    for (int64_t g = 0; g < p.group; ++g) {
      const auto* w = static_cast<const typename Isa::X*>(problem.inputs[kInputW].constant) +
                      g * Cg * N * p.kernel_h * p.kernel_w;
      for (int64_t i = 0; i < phases(p); ++i) {
        const Phase f = phase(p, i);
        const int64_t K = f.taps() * Cg;
        const auto at = [&](int64_t k, int64_t n) {
          const int64_t tap = k / Cg;
          const int64_t t_h = f.h.first + tap / f.w.count * f.h.step;
          const int64_t t_w = f.w.first + tap % f.w.count * f.w.step;
          return w[((k % Cg * N + n) * p.kernel_h + t_h) * p.kernel_w + t_w];
        };
        pack_panels<1>(at, K, N, 0, ceil_div(N, kPanel), to, nullptr);
        to += panel_width(p) * K;
      }
    }
  }

  static int64_t tasks(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    const Blocking b = blocking(p);
    return phases(p) * p.group * b.m_blocks * b.n_blocks;
  }
  static int64_t gathered_bytes(const ConvParams& p) {
    const int64_t row = most_taps(p) * (p.C / p.group) * static_cast<int64_t>(sizeof(A));
    return round_up(blocking(p).block_rows * row, 64);
  }
  static size_t scratch_bytes(const Problem& problem) {  // gathered rows, then results
    const auto& p = problem.as<ConvParams>();
    return static_cast<size_t>(gathered_bytes(p)) +
           static_cast<size_t>(blocking(p).block_rows * p.N()) * sizeof(float);
  }

  // The m-th output pixel of a phase, counted over all images: image, output row and output column.
  static void locate(const ConvParams& p, const Phase& f, int64_t m, int64_t* b, int64_t* oh,
                     int64_t* ow) {
    *b = m / f.pixels();
    *oh = f.y.first + m / f.x.count % f.y.count * p.stride_h;
    *ow = f.x.first + m % f.x.count * p.stride_w;
  }

  static void gather(const ConvParams& p, const Phase& f, const float* x, int64_t group, int64_t m0,
                     int64_t rows, A* to) {
    const int64_t Cg = p.C / p.group;
    for (int64_t m = m0; m < m0 + rows; ++m) {
      int64_t b, oh, ow;
      locate(p, f, m, &b, &oh, &ow);
      for (int64_t i = 0; i < f.taps(); ++i, to += Cg) {
        const int64_t t_h = f.h.first + i / f.w.count * f.h.step;
        const int64_t t_w = f.w.first + i % f.w.count * f.w.step;
        const int64_t h = oh + p.pad_h - t_h * p.dilation_h;  // multiples of the strides
        const int64_t w = ow + p.pad_w - t_w * p.dilation_w;
        const int64_t ih = h / p.stride_h;
        const int64_t iw = w / p.stride_w;
        if (h >= 0 && w >= 0 && ih < p.H && iw < p.W) {
          Isa::prepare(x + ((b * p.H + ih) * p.W + iw) * p.C + group * Cg, Cg, to);
        } else {
          for (int64_t c = 0; c < Cg; ++c) to[c] = A{0};
        }
      }
    }
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const auto& p = problem.as<ConvParams>();
    const Blocking b = blocking(p);
    const int64_t Cg = p.C / p.group;
    A* gathered = static_cast<A*>(call.scratch);
    auto* results = reinterpret_cast<float*>(static_cast<char*>(call.scratch) + gathered_bytes(p));
    auto* y = static_cast<float*>(call.outputs[0]);
    Epilogue e = make_epilogue(p.epilogue, problem, call, nullptr);
    e.y = results;
    int64_t last_gathered = -1;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t ni = task % b.n_blocks;
      const int64_t block = task / b.n_blocks;
      const int64_t mi = block % b.m_blocks;
      const int64_t index = block / b.m_blocks % phases(p);
      const int64_t group = block / b.m_blocks / phases(p);
      const Phase f = phase(p, index);
      const int64_t m0 = part(p.B * f.pixels(), b.m_blocks, mi);
      const int64_t rows = part(p.B * f.pixels(), b.m_blocks, mi + 1) - m0;
      if (block != last_gathered) {
        gather(p, f, static_cast<const float*>(call.inputs[kInputX]), group, m0, rows, gathered);
        last_gathered = block;
      }
      const W* w = static_cast<const W*>(call.packed) + group * group_elements(p);
      for (int64_t i = 0; i < index; ++i) w += panel_width(p) * phase(p, i).taps() * Cg;
      const int64_t K = f.taps() * Cg;
      const int64_t first = part(b.panels, b.n_blocks, ni);
      const int64_t last = part(b.panels, b.n_blocks, ni + 1);
      multiply_matrix<Isa>(e, gathered, K, rows, w, K, p.N(), first, last, group * p.N(), 0, p.N());
      const int64_t n0 = first * kPanel;
      const int64_t n1 = smaller(p.N(), last * kPanel);
      for (int64_t m = 0; m < rows && n1 > n0; ++m) {
        int64_t image, oh, ow;
        locate(p, f, m0 + m, &image, &oh, &ow);
        memcpy(y + ((image * p.OH + oh) * p.OW + ow) * p.O + group * p.N() + n0,
               results + m * p.N() + n0, static_cast<size_t>(n1 - n0) * sizeof(float));
      }
    }
  }
};

}  // namespace
}  // namespace pyrt
