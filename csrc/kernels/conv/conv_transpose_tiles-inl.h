// conv_transpose where the taps of two input pixels never meet: kernel and strides are equal and
// nothing is padded, as decoders upsample. Then each input pixel makes a tile of kernel_h x
// kernel_w output pixels of its own, and one product of the image as it lies [pixels, C] times [C,
// kernel_h * kernel_w * O] has all of them; only its rows are cut into lines of the output.
//
// Packed: bias of each column [kernel_h * kernel_w * O, to a multiple of 16] (zeros without one),
// panels of gemm.h with K = C and columns in the order (t_h, t_w, o).
#pragma once

#include "kernels/conv/conv.h"
#include "kernels/gemm/gemm-inl.h"

namespace pyrt {
namespace {

template <class Isa>
struct ConvTransposeTiles {
  using A = typename Isa::A;
  using W = typename Isa::W;
  static_assert(Isa::kInPlace && Isa::kKr == 1, "the image is read as it lies");

  static const char* supports(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    if (problem.inputs[kInputW].constant == nullptr) return "the weights are not constant";
    if (problem.has_input(kInputBias) && problem.inputs[kInputBias].constant == nullptr) {
      return "the bias is not constant";
    }
    const bool tiles = p.kernel_h == p.stride_h && p.kernel_w == p.stride_w && p.group == 1 &&
                       p.dilation_h == 1 && p.dilation_w == 1 && p.pad_h == 0 && p.pad_w == 0 &&
                       p.OH == p.H * p.kernel_h && p.OW == p.W * p.kernel_w;
    return tiles ? nullptr : "the taps of neighbouring pixels overlap or leave gaps";
  }

  static int64_t M(const ConvParams& p) { return p.B * p.H * p.W; }
  static int64_t columns(const ConvParams& p) { return p.kernel_h * p.kernel_w * p.O; }
  static Blocking blocking(const ConvParams& p) {
    return make_blocking(M(p), columns(p), p.C, p.C * static_cast<int64_t>(sizeof(A)), Isa::kMr);
  }

  static int64_t bias_elements(const ConvParams& p) { return round_up(columns(p), kPanel); }
  static size_t packed_bytes(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    return static_cast<size_t>(bias_elements(p) * (1 + p.C)) * sizeof(float);
  }

  static void pack(const Problem& problem, void* packed) {
    const auto& p = problem.as<ConvParams>();
    auto* bias = static_cast<float*>(packed);
    const auto* from = static_cast<const float*>(problem.inputs[kInputBias].constant);
    const bool has_bias = problem.has_input(kInputBias);
    for (int64_t n = 0; n < bias_elements(p); ++n) {
      bias[n] = has_bias && n < columns(p) ? from[n % p.O] : 0.0f;
    }
    const auto* w = static_cast<const float*>(problem.inputs[kInputW].constant);
    const auto at = [&](int64_t k, int64_t n) {
      return w[(k * p.O + n % p.O) * p.kernel_h * p.kernel_w + n / p.O];
    };
    pack_panels<1>(at, p.C, columns(p), 0, ceil_div(columns(p), kPanel),
                   static_cast<W*>(packed) + bias_elements(p), nullptr);
  }

  static int64_t tasks(const Problem& problem) {
    return blocking(problem.as<ConvParams>()).m_blocks;
  }
  static size_t scratch_bytes(const Problem& problem) {  // rows of the product
    const auto& p = problem.as<ConvParams>();
    return static_cast<size_t>(blocking(p).block_rows * columns(p)) * sizeof(float);
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const auto& p = problem.as<ConvParams>();
    const Blocking b = blocking(p);
    const auto* x = static_cast<const A*>(call.inputs[kInputX]);
    auto* y = static_cast<float*>(call.outputs[0]);
    auto* rows = static_cast<float*>(call.scratch);
    Epilogue e = make_epilogue(p.epilogue, problem, call, nullptr);
    e.bias = call.packed;
    e.y = rows;
    const W* w = static_cast<const W*>(call.packed) + bias_elements(p);
    const int64_t line = p.kernel_w * p.O;  // elements of a tile that lie together
    for (int64_t task = begin; task < end; ++task) {
      const int64_t m0 = part(M(p), b.m_blocks, task);
      const int64_t m1 = part(M(p), b.m_blocks, task + 1);
      multiply_matrix<Isa>(e, x + m0 * p.C, p.C, m1 - m0, w, p.C, columns(p), 0, b.panels, 0, 0,
                           columns(p));
      for (int64_t m = m0; m < m1; ++m) {
        const float* tile = rows + (m - m0) * columns(p);
        // Input row m / W of all images is the output rows kernel_h * (m / W) and following.
        float* to = y + (m / p.W * p.kernel_h * p.W + m % p.W) * line;
        for (int64_t t = 0; t < p.kernel_h; ++t, tile += line, to += p.W * line) {
          for (int64_t i = 0; i < line; ++i) to[i] = tile[i];
        }
      }
    }
  }
};

}  // namespace
}  // namespace pyrt
