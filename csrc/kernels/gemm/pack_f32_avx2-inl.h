// Packing f32 operands that are computed in the run, for AVX2: panels of 16 columns as gemm.h draws
// them, and rows of a transposed matrix. Both are transpositions of 8 x 8 blocks in registers, or
// plain copies.
#pragma once

#include <immintrin.h>

#include "kernels/gemm/gemm-inl.h"

namespace pyrt {
namespace {

// to[j * ldt + i] = from[i * ldf + j] for i, j < 8.
PYRT_INLINE void transpose_8x8(const float* from, int64_t ldf, float* to, int64_t ldt) {
#pragma GCC unroll 2
  for (int h = 0; h < 2; ++h) {
    __m256 r[4];  // row i beside row i + 4, four columns each
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __m128 upper = _mm_loadu_ps(from + i * ldf + 4 * h);
      const __m128 lower = _mm_loadu_ps(from + (i + 4) * ldf + 4 * h);
      r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(upper), lower, 1);
    }
    const __m256 t0 = _mm256_unpacklo_ps(r[0], r[1]);
    const __m256 t1 = _mm256_unpackhi_ps(r[0], r[1]);
    const __m256 t2 = _mm256_unpacklo_ps(r[2], r[3]);
    const __m256 t3 = _mm256_unpackhi_ps(r[2], r[3]);
    _mm256_storeu_ps(to + (4 * h + 0) * ldt, _mm256_shuffle_ps(t0, t2, 0x44));
    _mm256_storeu_ps(to + (4 * h + 1) * ldt, _mm256_shuffle_ps(t0, t2, 0xee));
    _mm256_storeu_ps(to + (4 * h + 2) * ldt, _mm256_shuffle_ps(t1, t3, 0x44));
    _mm256_storeu_ps(to + (4 * h + 3) * ldt, _mm256_shuffle_ps(t1, t3, 0xee));
  }
}

// to[j * ldt + i] = from[i * ldf + j] for i < rows, j < columns; 16 x 16 at a time, so that a cache
// line of either side is used at once.
[[maybe_unused]] void transpose_f32(const float* from, int64_t ldf, int64_t rows, int64_t columns,
                                    float* to, int64_t ldt) {
  constexpr int64_t kBlock = 16;
  for (int64_t j0 = 0; j0 < columns; j0 += kBlock) {
    const int64_t j_end = smaller(j0 + kBlock, columns);
    for (int64_t i0 = 0; i0 < rows; i0 += kBlock) {
      const int64_t i_end = smaller(i0 + kBlock, rows);
      for (int64_t i = i0; i < i_end; i += 8) {
        for (int64_t j = j0; j < j_end; j += 8) {
          if (i + 8 <= i_end && j + 8 <= j_end) {
            transpose_8x8(from + i * ldf + j, ldf, to + j * ldt + i, ldt);
            continue;
          }
          const int64_t last_i = smaller(i + 8, i_end);
          const int64_t last_j = smaller(j + 8, j_end);
          for (int64_t jj = j; jj < last_j; ++jj) {
            for (int64_t ii = i; ii < last_i; ++ii) to[jj * ldt + ii] = from[ii * ldf + jj];
          }
        }
      }
    }
  }
}

// Panels [first, last) of w [K][N], or [N][K] if transposed, to [panel][K][16], with zeros beyond
// N.
[[maybe_unused]] void pack_f32_panels(const float* w, bool transposed, int64_t K, int64_t N,
                                      int64_t first, int64_t last, float* out) {
  for (int64_t panel = first; panel < last; ++panel, out += K * kPanel) {
    const int64_t n = panel * kPanel;
    const int64_t columns = smaller(kPanel, N - n);
    if (columns < kPanel) memset(out, 0, static_cast<size_t>(K * kPanel) * sizeof(float));
    if (transposed) {
      transpose_f32(w + n * K, K, columns, K, out, kPanel);
    } else if (columns == kPanel) {
      for (int64_t k = 0; k < K; ++k) {
        const float* from = w + k * N + n;
        _mm256_storeu_ps(out + k * kPanel, _mm256_loadu_ps(from));
        _mm256_storeu_ps(out + k * kPanel + 8, _mm256_loadu_ps(from + 8));
      }
    } else {
      for (int64_t k = 0; k < K; ++k) {
        for (int64_t i = 0; i < columns; ++i) out[k * kPanel + i] = w[k * N + n + i];
      }
    }
  }
}

}  // namespace
}  // namespace pyrt
