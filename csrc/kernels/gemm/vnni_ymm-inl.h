// vpdpbusd on ymm registers, two to a panel: in VEX form (AVX-VNNI, 16 registers) and in EVEX form
// (AVX-512 VL with VNNI, 32 registers), which CPUs of the first AVX-512 VNNI generations have
// alone.
//
// VEX tile 6 x 16, EVEX tile 6 x 32; few rows take 2 or 4 panels, so that chains are many enough
// for 5 cycles of latency and 2 instructions a cycle.
#pragma once

#include "kernels/common/epilogue_avx2-inl.h"
#include "kernels/gemm/vnni-inl.h"

namespace pyrt {
namespace {

// Dot::dot(sum, a, w) is the instruction; kRegisterFile is 16 or 32.
template <class Dot, int kRegisterFile>
struct VnniYmm {
  using Register = S32x8;               // g++ 12 spills arrays of __m256i
  static constexpr int kRegisters = 2;  // of a panel
  static constexpr int kFile = kRegisterFile;

  static int panels(int rows) {
    if (kFile == 16) return rows == 1 ? 4 : (rows == 2 ? 2 : 1);
    return rows <= 2 ? 4 : 2;
  }
  PYRT_INLINE static Register load_sums(const int32_t* from) {
    return *reinterpret_cast<const Register*>(from);
  }
  PYRT_INLINE static Register load(const int8_t* from) {
    return reinterpret_cast<Register>(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  PYRT_INLINE static Register broadcast(int32_t four) {
    return reinterpret_cast<Register>(_mm256_set1_epi32(four));
  }
  PYRT_INLINE static Register dot(Register sum, Register a, Register w) {
    const auto s = reinterpret_cast<__m256i>(sum);
    const auto x = reinterpret_cast<__m256i>(a);
    const auto y = reinterpret_cast<__m256i>(w);
    return reinterpret_cast<Register>(Dot::dot(s, x, y));
  }
  PYRT_INLINE static void store_sums(int32_t* to, Register value) {
    *reinterpret_cast<S32x8u*>(to) = value;
  }
  // Of whole panels.
  static constexpr bool kStoresParts = false;
  template <bool kResidual, int kRows, int kWidth>
  PYRT_INLINE static void store_bytes(const Register (&c)[kRows][kWidth],
                                      const QuantizedPanel* panels, int /*last_columns*/,
                                      const uint8_t* residual, uint8_t* y, int64_t ldy) {
#pragma GCC unroll 4
    for (int p = 0; p < kWidth / kRegisters; ++p) {
      Register panel[kRows][kRegisters];
#pragma GCC unroll 6
      for (int r = 0; r < kRows; ++r) {
        panel[r][0] = c[r][kRegisters * p];
        panel[r][1] = c[r][kRegisters * p + 1];
      }
      store_quantized_rows<kRows, kRegisters, kResidual>(
          panel, panels + p, kResidual ? residual + p * kPanel : nullptr, y + p * kPanel, ldy);
    }
  }
  static void finish(const Epilogue& e, const int32_t* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    finish_s32_avx2(e, acc, ldacc, rows, columns, n, at, ldy);
  }
};

// Predicted time of a product, without a call's overhead; not measured on a CPU with AVX-VNNI, but
// 0.95 to 1 times as fast as zmm on Zen 4, with more tiles.
PYRT_INLINE double vnni_ymm_ns(double M, double N, double K) {
  const double columns = static_cast<double>(round_up(static_cast<int64_t>(N), kPanel));
  const double tiles = static_cast<double>(ceil_div(static_cast<int64_t>(M), 6));
  const double by_macs = M * columns * (K + 1) / 195;
  const double by_weights = tiles * columns * (K + 1) / 80;
  return tiles * columns * 0.45 + (by_macs > by_weights ? by_macs : by_weights);
}

}  // namespace
}  // namespace pyrt
