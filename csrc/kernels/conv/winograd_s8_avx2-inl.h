// The exact s8 arithmetic of winograd-inl.h for AVX2: sixteen channels of s16, products by
// vpmaddwd, and not one rounding.
//
// Points 0, +-1, +-2 and infinity. Bt is whole, and 24 G with a last row of 6 G is; what that
// multiplies the result with is 24 in each dimension, with 4 in place of 1 in At for the last
// element. So
//
//   576 y = At (U * V) A   with U = (24 G) w (24 G)t, |U| <= 144 * 128, V = Bt x B, |V| <= 100 *
//   128
//
// fits s16 before and s32 within a product of pairs. Sums wrap modulo 2^32, and so does what is
// made of them, but y comes back exactly: 9 has an inverse modulo 2^32, which leaves 64 y, and that
// is below 2^31 in size where the weights of each output channel sum to less than 2^18 in size.
#pragma once

#include "kernels/conv/winograd-inl.h"
#include "kernels/gemm/gemm_avx2-inl.h"

namespace pyrt {
namespace {

namespace winograd {

using S16x16 [[gnu::may_alias]] = int16_t __attribute__((vector_size(32)));
using S16x16u [[gnu::may_alias]] = int16_t __attribute__((vector_size(32), aligned(2)));

// Bt times a column of 6 values, in place.
PYRT_INLINE void input_1d(S16x16 x[kIn]) {
  const S16x16 even = x[4] - (x[2] << 2), odd = x[3] - (x[1] << 2);
  const S16x16 even2 = x[4] - x[2], odd2 = x[3] - x[1];
  x[0] = ((x[0] - x[2]) << 2) + even2;
  x[5] = (x[5] - x[3]) - (odd2 << 2);
  x[1] = even + odd;
  x[2] = even - odd;
  x[3] = even2 + (odd2 << 1);
  x[4] = even2 - (odd2 << 1);
}

// At times a column of 6 values, to the first 4.
PYRT_INLINE void output_1d(S32x8 m[kIn]) {
  const S32x8 sum_1 = m[1] + m[2], difference_1 = m[1] - m[2];
  const S32x8 sum_2 = m[3] + m[4], difference_2 = m[3] - m[4];
  m[0] = (m[0] + sum_1) + sum_2;
  m[1] = difference_1 + (difference_2 << 1);
  m[2] = sum_1 + (sum_2 << 2);
  m[3] = difference_1 + (difference_2 << 3) + (m[5] << 2);
}

// 16 channels of a tile: x[6][6] under `from` to v[i * step].
[[gnu::noinline]] inline void input_16(const int8_t* const* from, int64_t c, int16_t* v,
                                       int64_t step) {
  S16x16 d[kIn][kIn];
#pragma GCC unroll 6
  for (int j = 0; j < kIn; ++j) {
    S16x16 x[kIn];
#pragma GCC unroll 6
    for (int i = 0; i < kIn; ++i) {
      x[i] = reinterpret_cast<S16x16>(_mm256_cvtepi8_epi16(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(from[i * kIn + j] + c))));
    }
    input_1d(x);
#pragma GCC unroll 6
    for (int i = 0; i < kIn; ++i) d[i][j] = x[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < kIn; ++i) {
    S16x16 x[kIn];
#pragma GCC unroll 6
    for (int j = 0; j < kIn; ++j) x[j] = d[i][j];
    input_1d(x);
#pragma GCC unroll 6
    for (int j = 0; j < kIn; ++j) *reinterpret_cast<S16x16u*>(v + (i * kIn + j) * step) = x[j];
  }
}

// 8 channels of a tile: m[i * step] to y[4 * 4][16].
[[gnu::noinline]] inline void output_8(const int32_t* m, int64_t step, int32_t* y) {
  constexpr int32_t kInverseOf9 = 0x38e38e39;
  S32x8 half[kOut][kIn];
#pragma GCC unroll 6
  for (int j = 0; j < kIn; ++j) {
    S32x8 x[kIn];
#pragma GCC unroll 6
    for (int i = 0; i < kIn; ++i) {
      x[i] = *reinterpret_cast<const S32x8u*>(m + (i * kIn + j) * step);
    }
    output_1d(x);
#pragma GCC unroll 4
    for (int i = 0; i < kOut; ++i) half[i][j] = x[i];
  }
#pragma GCC unroll 4
  for (int i = 0; i < kOut; ++i) {
    S32x8 x[kIn];
#pragma GCC unroll 6
    for (int j = 0; j < kIn; ++j) x[j] = half[i][j];
    output_1d(x);
#pragma GCC unroll 4
    for (int j = 0; j < kOut; ++j) {
      const __m256i whole =
          _mm256_mullo_epi32(reinterpret_cast<__m256i>(x[j]), _mm256_set1_epi32(kInverseOf9));
      _mm256_store_si256(reinterpret_cast<__m256i*>(y + (i * kOut + j) * kPanel),
                         _mm256_srai_epi32(whole, 6));
    }
  }
}

}  // namespace winograd

struct WinogradS8 {
  using Isa = Avx2S16;
  using X = int8_t;
  static constexpr int64_t kInputLanes = 16, kOutputLanes = kPanel;

  static const char* supports(const Problem& problem) {
    constexpr int64_t kMostSum = int64_t{1} << 18;
    const auto& p = problem.as<ConvParams>();
    if (9 * 128 * p.C < kMostSum) return nullptr;
    const auto* w = static_cast<const int8_t*>(problem.inputs[kInputW].constant);
    for (int64_t o = 0; o < p.O; ++o) {
      int64_t sum = 0;
      for (int64_t i = 0; i < 9 * p.C; ++i, ++w) sum += *w < 0 ? -*w : *w;
      if (sum >= kMostSum) return "the weights of a channel sum to 2^18 or more";
    }
    return nullptr;
  }

  static void weights_1d(const int32_t w[3], int32_t out[winograd::kIn]) {
    out[0] = 6 * w[0];
    out[1] = -4 * (w[0] + w[1] + w[2]);
    out[2] = -4 * (w[0] - w[1] + w[2]);
    out[3] = w[0] + 2 * w[1] + 4 * w[2];
    out[4] = w[0] - 2 * w[1] + 4 * w[2];
    out[5] = 6 * w[2];
  }
  static void weights(const int8_t* w, int16_t* to, int64_t step) {
    int32_t rows[3][winograd::kIn];
    for (int i = 0; i < 3; ++i) {
      const int32_t row[3] = {w[3 * i], w[3 * i + 1], w[3 * i + 2]};
      weights_1d(row, rows[i]);
    }
    for (int j = 0; j < winograd::kIn; ++j) {
      const int32_t column[3] = {rows[0][j], rows[1][j], rows[2][j]};
      int32_t element[winograd::kIn];
      weights_1d(column, element);
      for (int i = 0; i < winograd::kIn; ++i) {
        to[(i * winograd::kIn + j) * step] = static_cast<int16_t>(element[i]);
      }
    }
  }

  static void input(const int8_t* const* from, int64_t c, int16_t* v, int64_t step) {
    winograd::input_16(from, c, v, step);
  }

  static ChannelVectors channels(const Epilogue& e, int64_t n) {
    return load_channels(e, n, column_mask(kPanel));
  }

  static void output(const ConvParams& p, const Epilogue& e, const ChannelVectors& channels,
                     const int32_t* m, int64_t step, int64_t, int64_t at, int64_t height,
                     int64_t width) {
    alignas(32) int32_t y[winograd::kOut * winograd::kOut * kPanel];
    winograd::output_8(m, step, y);
    winograd::output_8(m + 8, step, y + 8);
    for (int64_t i = 0; i < height; ++i, at += p.OW * p.O) {
      finish_rows_avx2(e, channels, y + i * winograd::kOut * kPanel, kPanel,
                       static_cast<int>(width), kPanel, at, p.O);
    }
  }
};

}  // namespace
}  // namespace pyrt
