// The s8 arithmetic of the product engine (gemm-inl.h) for AVX-512 with VNNI: vpdpbusd on
// activations with an offset of 128. f32 is in gemm_f32_avx512-inl.h.
//
// Tile 6 x 64: 24 accumulators, 4 of weights, 1 broadcast of the 32 registers. No cache blocking of
// K nor packing of activations is needed up to K = 4096 with 6 rows, even at row strides of a
// multiple of 4096 bytes, where tiles of 14 or more rows fall to a fifth of their speed. N beyond a
// multiple of 64 takes tiles of 2 or 1 panels, which are as fast with 6 rows as with 12.
#pragma once

#include "kernels/common/epilogue_avx512-inl.h"
#include "kernels/gemm/gemm_f32_avx512-inl.h"
#include "kernels/gemm/quantized_avx512-inl.h"
#include "kernels/gemm/vnni_ymm-inl.h"

namespace pyrt {
namespace {

// Predicted time of a product of M x N x K, without a call's overhead. Rates on Zen 4: s8 200 of
// 235 multiply-adds a nanosecond at the peak, f32 50 of 59. Measured are 230 and 57, but the AVX2
// rows, whose costs were measured on Zen 3, are faster by as much here. An s8 output takes 0.07 ns
// to quantise. Tiles of few rows are bound by reading weights.
struct Product512 {
  double macs_per_ns;
  double weight_bytes;  // of one packed weight
};
inline constexpr Product512 kAvx512S8Rates{200, 1};
inline constexpr Product512 kAvx512F32Rates{50, 4};

// What one core reads a nanosecond of so many bytes, again and again: from 1 MB of L2, from 32 MB
// of L3 that others use too, from DRAM.
inline constexpr double kL2BytesPerNs = 95;
PYRT_INLINE double read_bytes_per_ns_avx512(double bytes) {
  return bytes < 1.1e6 ? kL2BytesPerNs : (bytes < 2e7 ? 80 : 24);
}

PYRT_INLINE double product_ns_avx512(const Product512& r, double M, double N, double K,
                                     bool prepare) {
  const double columns = static_cast<double>(round_up(static_cast<int64_t>(N), kPanel));
  const double tiles = static_cast<double>(ceil_div(static_cast<int64_t>(M), 6));
  const double by_macs = M * columns * (K + 1) / r.macs_per_ns;
  const double bytes = columns * (K + 1) * r.weight_bytes;
  const double by_weights =
      bytes / read_bytes_per_ns_avx512(bytes) + (tiles - 1) * bytes / kL2BytesPerNs;
  return tiles * columns * 0.42 + (prepare ? M * (K + 1) * 0.03 : 0) +
         (by_macs > by_weights ? by_macs : by_weights);
}

// vpdpbusd on zmm registers, one to a panel.
struct VnniZmm {
  using Register = S32x16;
  static constexpr int kRegisters = 1;  // of a panel
  static constexpr int kFile = 32;

  static int panels(int) { return 4; }
  PYRT_INLINE static Register load_sums(const int32_t* from) {
    return *reinterpret_cast<const Register*>(from);
  }
  PYRT_INLINE static void store_sums(int32_t* to, Register sums) {
    _mm512_storeu_si512(to, reinterpret_cast<__m512i>(sums));
  }
  PYRT_INLINE static Register load(const int8_t* from) {
    return reinterpret_cast<Register>(_mm512_loadu_si512(from));
  }
  PYRT_INLINE static Register broadcast(int32_t four) {
    return reinterpret_cast<Register>(_mm512_set1_epi32(four));
  }
  PYRT_INLINE static Register dot(Register sum, Register a, Register w) {
    const auto s = reinterpret_cast<__m512i>(sum);
    const auto x = reinterpret_cast<__m512i>(a);
    const auto y = reinterpret_cast<__m512i>(w);
    return reinterpret_cast<Register>(_mm512_dpbusd_epi32(s, x, y));
  }
  static constexpr bool kStoresParts = true;
  template <bool kResidual, int kRows, int kPanels>
  PYRT_INLINE static void store_bytes(const Register (&c)[kRows][kPanels],
                                      const QuantizedPanel* panels, int last_columns,
                                      const uint8_t* residual, uint8_t* y, int64_t ldy) {
    store_quantized_rows<kResidual>(c, panels, last_columns, residual, y, ldy);
  }
  static void finish(const Epilogue& e, const int32_t* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    finish_s32_avx512(e, acc, ldacc, rows, columns, n, at, ldy);
  }
};
using Avx512S8 = VnniS8<VnniZmm>;

// And on ymm registers, for CPUs that slow down when they use zmm ones: `pyruntime tune` finds out.
struct DotEvex {
  PYRT_INLINE static __m256i dot(__m256i sum, __m256i a, __m256i w) {
    return _mm256_dpbusd_epi32(sum, a, w);
  }
};
using Avx512YmmS8 = VnniS8<VnniYmm<DotEvex, 32>>;

}  // namespace
}  // namespace pyrt
