// Sparse rows for AVX2. s8 is exact: activations are widened to s16 in the plane, two non-zeros of
// a column are multiplied and added at once by vpmaddwd on interleaved values.
//
// Tile of 32 pixels: s8 keeps 4 accumulators (2 vectors of 16 s16 make 2 x 2 of 8 s32), f32 also 4;
// 2 x 4 chains of 3-4 cycles latency fill the pipes, and 32 pixels keep the waste at image edges
// small.
#include "kernels/common/epilogue_avx2-inl.h"
#include "kernels/sparse/sparse-inl.h"

namespace pyrt {
namespace {

using S32x8 [[gnu::may_alias]] = int32_t __attribute__((vector_size(32)));
using F32x8 [[gnu::may_alias]] = float __attribute__((vector_size(32)));

// Rows r[0..8) of 8 floats become columns.
PYRT_INLINE void transpose8(const __m256 r[8], __m256 t[8]) {
  __m256 a[8], b[8];
  for (int i = 0; i < 4; ++i) {
    a[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    a[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    b[4 * i] = _mm256_shuffle_ps(a[4 * i], a[4 * i + 2], 0x44);
    b[4 * i + 1] = _mm256_shuffle_ps(a[4 * i], a[4 * i + 2], 0xee);
    b[4 * i + 2] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0x44);
    b[4 * i + 3] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm256_permute2f128_ps(b[i], b[4 + i], 0x20);
    t[4 + i] = _mm256_permute2f128_ps(b[i], b[4 + i], 0x31);
  }
}

// acc [16][32] to out [32][16], 4-byte elements.
[[gnu::noinline]] void transpose_tile(const float* acc, float* out) {
  for (int half = 0; half < 2; ++half) {
    for (int t = 0; t < 32; t += 8) {
      __m256 rows[8], columns[8];
      for (int i = 0; i < 8; ++i) rows[i] = _mm256_load_ps(acc + (half * 8 + i) * 32 + t);
      transpose8(rows, columns);
      for (int i = 0; i < 8; ++i) _mm256_store_ps(out + (t + i) * kPanel + half * 8, columns[i]);
    }
  }
}

struct Avx2SparseS8 {
  using X = int8_t;
  using P = int16_t;
  using Acc = int32_t;
  using Entry = SparsePair;
  static constexpr int kTile = 32;

  [[gnu::noinline]] static void column(const SparsePair* from, const SparsePair* to,
                                       const int16_t* plane, const int32_t* offsets, int32_t* acc) {
    S32x8 lo[2] = {}, hi[2] = {};
    for (; from < to; ++from) {
      const int16_t* x0 = plane + offsets[from->k[0]];
      const int16_t* x1 = plane + offsets[from->k[1]];
      int32_t pair;
      memcpy(&pair, from->w, sizeof(pair));
      const __m256i w = _mm256_set1_epi32(pair);
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x0 + 16 * v));
        const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x1 + 16 * v));
        lo[v] += reinterpret_cast<S32x8>(_mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), w));
        hi[v] += reinterpret_cast<S32x8>(_mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), w));
      }
    }
    // Interleaving works within 128 bits: lo has pixels 0-3 and 8-11, hi 4-7 and 12-15.
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      const auto l = reinterpret_cast<__m256i>(lo[v]);
      const auto h = reinterpret_cast<__m256i>(hi[v]);
      auto* out = reinterpret_cast<__m256i*>(acc + 16 * v);
      _mm256_store_si256(out, _mm256_permute2x128_si256(l, h, 0x20));
      _mm256_store_si256(out + 1, _mm256_permute2x128_si256(l, h, 0x31));
    }
  }

  static void tile(const SparsePair* entries, const uint32_t* starts, int columns,
                   const int16_t* plane, const int32_t* offsets, int32_t* acc, int32_t* out) {
    for (int i = 0; i < columns; ++i) {
      column(entries + starts[i], entries + starts[i + 1], plane, offsets, acc + i * kTile);
    }
    if (columns < kPanel) {
      memset(acc + columns * kTile, 0,
             static_cast<size_t>(kPanel - columns) * kTile * sizeof(int32_t));
    }
    transpose_tile(reinterpret_cast<const float*>(acc), reinterpret_cast<float*>(out));
  }

  // 8 pixels x 8 channels: bytes transposed in three interleavings, then widened.
  PYRT_INLINE static void spread8(const int8_t* x, int64_t pixel_step, int16_t* plane,
                                  int64_t channel_step) {
    __m128i r[8];
    for (int i = 0; i < 8; ++i) {
      r[i] = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(x + i * pixel_step));
    }
    __m128i a[4], b[4];
    for (int i = 0; i < 4; ++i) a[i] = _mm_unpacklo_epi8(r[2 * i], r[2 * i + 1]);
    for (int i = 0; i < 2; ++i) {
      b[2 * i] = _mm_unpacklo_epi16(a[2 * i], a[2 * i + 1]);
      b[2 * i + 1] = _mm_unpackhi_epi16(a[2 * i], a[2 * i + 1]);
    }
    const __m128i t[4] = {_mm_unpacklo_epi32(b[0], b[2]), _mm_unpackhi_epi32(b[0], b[2]),
                          _mm_unpacklo_epi32(b[1], b[3]), _mm_unpackhi_epi32(b[1], b[3])};
    for (int i = 0; i < 4; ++i) {
      auto* even = reinterpret_cast<__m128i*>(plane + 2 * i * channel_step);
      auto* odd = reinterpret_cast<__m128i*>(plane + (2 * i + 1) * channel_step);
      _mm_storeu_si128(even, _mm_cvtepi8_epi16(t[i]));
      _mm_storeu_si128(odd, _mm_cvtepi8_epi16(_mm_srli_si128(t[i], 8)));
    }
  }

  static void spread(const int8_t* x, int64_t pixel_step, int64_t count, int64_t C, int16_t* plane,
                     int64_t channel_step) {
    int64_t j = 0;
    for (; j + 8 <= count; j += 8) {
      int64_t c = 0;
      for (; c + 8 <= C; c += 8) {
        spread8(x + j * pixel_step + c, pixel_step, plane + c * channel_step + j, channel_step);
      }
      for (; c < C; ++c) {
        for (int64_t i = j; i < j + 8; ++i) plane[c * channel_step + i] = x[i * pixel_step + c];
      }
    }
    for (; j < count; ++j) {
      for (int64_t c = 0; c < C; ++c) plane[c * channel_step + j] = x[j * pixel_step + c];
    }
  }

  static void finish(const Epilogue& e, const int32_t* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    finish_s32_avx2(e, acc, ldacc, rows, columns, n, at, ldy);
  }
};

struct Avx2SparseF32 {
  using X = float;
  using P = float;
  using Acc = float;
  using Entry = SparseEntry;
  static constexpr int kTile = 32;

  [[gnu::noinline]] static void column(const SparseEntry* from, const SparseEntry* to,
                                       const float* plane, const int32_t* offsets, float* acc) {
    F32x8 c[4] = {};
    for (; from < to; ++from) {
      const float* x = plane + offsets[from->k];
      const __m256 w = _mm256_broadcast_ss(&from->w);
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) {
        c[v] = reinterpret_cast<F32x8>(
            _mm256_fmadd_ps(_mm256_loadu_ps(x + 8 * v), w, reinterpret_cast<__m256>(c[v])));
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) _mm256_store_ps(acc + 8 * v, reinterpret_cast<__m256>(c[v]));
  }

  static void tile(const SparseEntry* entries, const uint32_t* starts, int columns,
                   const float* plane, const int32_t* offsets, float* acc, float* out) {
    for (int i = 0; i < columns; ++i) {
      column(entries + starts[i], entries + starts[i + 1], plane, offsets, acc + i * kTile);
    }
    if (columns < kPanel) {
      memset(acc + columns * kTile, 0,
             static_cast<size_t>(kPanel - columns) * kTile * sizeof(float));
    }
    transpose_tile(acc, out);
  }

  static void spread(const float* x, int64_t pixel_step, int64_t count, int64_t C, float* plane,
                     int64_t channel_step) {
    int64_t j = 0;
    for (; j + 8 <= count; j += 8) {
      int64_t c = 0;
      for (; c + 8 <= C; c += 8) {
        __m256 rows[8], columns[8];
        for (int i = 0; i < 8; ++i) rows[i] = _mm256_loadu_ps(x + (j + i) * pixel_step + c);
        transpose8(rows, columns);
        for (int i = 0; i < 8; ++i) {
          _mm256_storeu_ps(plane + (c + i) * channel_step + j, columns[i]);
        }
      }
      for (; c < C; ++c) {
        for (int64_t i = j; i < j + 8; ++i) plane[c * channel_step + i] = x[i * pixel_step + c];
      }
    }
    for (; j < count; ++j) {
      for (int64_t c = 0; c < C; ++c) plane[c * channel_step + j] = x[j * pixel_step + c];
    }
  }

  static void finish(const Epilogue& e, const float* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    finish_f32_avx2(e, acc, ldacc, rows, columns, n, at, ldy);
  }
};

// Zen 3 at 3.4 GHz: 15 (s8) and 10 (f32) multiply-adds a cycle in the inner loop.
constexpr SparseRates kS8{50, 0.25, 0.12, 0.45, 150};
constexpr SparseRates kF32{34, 0.22, 0.20, 0.35, 150};

double s8_gemm_ns(const Problem& p) { return sparse_cost_ns<Avx2SparseS8, GemmParams>(kS8, p); }
double s8_conv_ns(const Problem& p) { return sparse_cost_ns<Avx2SparseS8, ConvParams>(kS8, p); }
double f32_gemm_ns(const Problem& p) { return sparse_cost_ns<Avx2SparseF32, GemmParams>(kF32, p); }
double f32_conv_ns(const Problem& p) { return sparse_cost_ns<Avx2SparseF32, ConvParams>(kF32, p); }
double s8_vector_ns(const Problem& p) { return sparse_vector_cost_ns<Avx2SparseS8>(kS8, p); }
double f32_vector_ns(const Problem& p) { return sparse_vector_cost_ns<Avx2SparseF32>(kF32, p); }

constexpr Row kRows[] = {
    sparse_row<Avx2SparseS8, GemmParams>("gemm_s8_sparse_s32_32x1x2_avx2", "gemm", FormRule::kPlain,
                                         kPresetAvx2, s8_gemm_ns),
    sparse_row<Avx2SparseF32, GemmParams>("gemm_f32_sparse_f32_32x1x1_avx2", "gemm",
                                          FormRule::kPlain, kPresetAvx2, f32_gemm_ns),
    sparse_vector_row<Avx2SparseS8>("gemm_s8_sparse_s32_1x1x2_avx2", kPresetAvx2, s8_vector_ns),
    sparse_vector_row<Avx2SparseF32>("gemm_f32_sparse_f32_1x1x1_avx2", kPresetAvx2, f32_vector_ns),
    sparse_row<Avx2SparseS8, ConvParams>("conv_s8_sparse_s32_32x1x2_avx2", "conv",
                                         FormRule::kChannelsLast, kPresetAvx2, s8_conv_ns),
    sparse_row<Avx2SparseF32, ConvParams>("conv_f32_sparse_f32_32x1x1_avx2", "conv",
                                          FormRule::kChannelsLast, kPresetAvx2, f32_conv_ns),
};

}  // namespace

extern constinit const Table sparse_avx2;
constinit const Table sparse_avx2{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
