// Sparse rows for AVX2. s8 is exact: activations are widened to s16 in the plane, two non-zeros of
// a column are multiplied and added at once by vpmaddwd on interleaved values.
//
// Duos of neighbouring channels, for weights that are zero in runs: the plane holds both channels
// of a pixel side by side, so that nothing is interleaved.
//
// Tiles of 64 pixels: 8 accumulators. Blocks of k whose part of a plane is 48 KB, so that most of
// what the columns of a group read comes from L1.
#include "kernels/common/epilogue_avx2-inl.h"
#include "kernels/sparse_planes/planes-inl.h"
#include "kernels/sparse_planes/vector_column-inl.h"

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

inline constexpr int kTilePixels = 64;

// acc [16][64] to out [64][16], 4-byte elements.
[[gnu::noinline]] void transpose_tile(const float* acc, int pixels, float* out) {
  for (int half = 0; half < 2; ++half) {
    for (int t = 0; t < pixels; t += 8) {
      __m256 rows[8], columns[8];
      for (int i = 0; i < 8; ++i) rows[i] = _mm256_load_ps(acc + (half * 8 + i) * kTilePixels + t);
      transpose8(rows, columns);
      for (int i = 0; i < 8; ++i) _mm256_store_ps(out + (t + i) * kPanel + half * 8, columns[i]);
    }
  }
}

// Dwords d of `count` rows of row_bytes, transposed: plane[c * channel_step + j].
template <class Row>
PYRT_INLINE void spread8_dwords(const Row& row, float* plane, int64_t channel_step) {
  __m256 rows[8], columns[8];
  for (int i = 0; i < 8; ++i) rows[i] = row(i);
  transpose8(rows, columns);
  for (int i = 0; i < 8; ++i) _mm256_storeu_ps(plane + i * channel_step, columns[i]);
}

struct Avx2S8 {
  using X = int8_t;
  using Acc = int32_t;
  static constexpr bool kOffset = false;
  static constexpr int kTile = kTilePixels;
  static constexpr int64_t kGroup = 64, kPlaneBytes = 256 * 1024;

  static void transpose(const int32_t* acc, int, int pixels, int32_t* out) {
    transpose_tile(reinterpret_cast<const float*>(acc), pixels, reinterpret_cast<float*>(out));
  }
  static void finish(const Epilogue& e, const int32_t* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    finish_s32_avx2(e, acc, ldacc, rows, columns, n, at, ldy);
  }
};

struct Avx2Pairs : Avx2S8 {
  using P = int16_t;
  using Entry = SparsePair;
  static constexpr int kUnit = 32;
  static constexpr int64_t kBlockK = 384;

  // Interleaving works within 128 bits: lo has pixels 0-3 and 8-11, hi 4-7 and 12-15.
  template <int kPixels>
  [[gnu::noinline]] static void of_width(const SparsePair* from, const SparsePair* to,
                                         const int16_t* plane, const int32_t* offsets, bool first,
                                         int32_t* acc) {
    constexpr int kVectors = kPixels / 16;
    S32x8 lo[kVectors] = {}, hi[kVectors] = {};
    for (; from < to; ++from) {
      const int16_t* x0 = plane + offsets[from->k[0]];
      const int16_t* x1 = plane + offsets[from->k[1]];
      int32_t pair;
      memcpy(&pair, from->w, sizeof(pair));
      const __m256i w = _mm256_set1_epi32(pair);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x0 + 16 * v));
        __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x1 + 16 * v));
        asm("" : "+x"(a), "+x"(b));  // else g++ 12 loads each twice
        lo[v] += reinterpret_cast<S32x8>(_mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), w));
        hi[v] += reinterpret_cast<S32x8>(_mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), w));
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const auto l = reinterpret_cast<__m256i>(lo[v]);
      const auto h = reinterpret_cast<__m256i>(hi[v]);
      auto* out = reinterpret_cast<S32x8*>(acc + 16 * v);
      const auto a = reinterpret_cast<S32x8>(_mm256_permute2x128_si256(l, h, 0x20));
      const auto b = reinterpret_cast<S32x8>(_mm256_permute2x128_si256(l, h, 0x31));
      out[0] = first ? a : out[0] + a;
      out[1] = first ? b : out[1] + b;
    }
  }

  static void column(const SparsePair* from, const SparsePair* to, const int16_t* plane,
                     const int32_t* offsets, int pixels, bool first, int32_t* acc) {
    if (pixels == 32) return of_width<32>(from, to, plane, offsets, first, acc);
    of_width<64>(from, to, plane, offsets, first, acc);
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

  static int16_t filling(int32_t zero_point) { return static_cast<int16_t>(zero_point); }
};

struct MultiplyDuo {
  using Element = int32_t;
  using Entry = SparseDuo;
  using P = uint32_t;
  using Register = S32x8;

  PYRT_INLINE static __m256i weight(const SparseDuo& duo) {
    int32_t pair;
    memcpy(&pair, duo.w, sizeof(pair));
    return _mm256_set1_epi32(pair);
  }
  PYRT_INLINE static S32x8 add(S32x8 sum, const uint32_t* x, __m256i w) {
    const __m256i values = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
    return sum + reinterpret_cast<S32x8>(_mm256_madd_epi16(values, w));
  }
};

struct Avx2Duos : Avx2S8 {
  using P = uint32_t;
  using Entry = SparseDuo;
  static constexpr int kUnit = 16;
  static constexpr int64_t kBlockK = 192;

  static void column(const SparseDuo* from, const SparseDuo* to, const uint32_t* plane,
                     const int32_t* offsets, int pixels, bool first, int32_t* acc) {
    VectorColumn<MultiplyDuo>::column(from, to, plane, offsets, pixels, first, acc);
  }

  static uint32_t two(int32_t a, int32_t b) {
    return static_cast<uint32_t>(a & 0xffff) | static_cast<uint32_t>(b) << 16;
  }

  static void spread(const int8_t* x, int64_t pixel_step, int64_t count, int64_t C, uint32_t* plane,
                     int64_t channel_step) {
    for (int64_t j = 0; j < count;) {
      const int64_t pixels = count - j >= 8 ? 8 : 1;
      int64_t c = 0;
      for (; pixels == 8 && c + 16 <= C; c += 16) {
        const auto row = [&](int i) {
          const int8_t* from = x + (j + i) * pixel_step + c;
          return _mm256_castsi256_ps(
              _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
        };
        spread8_dwords(row, reinterpret_cast<float*>(plane + c / 2 * channel_step + j),
                       channel_step);
      }
      for (; c < C; c += 2) {
        for (int64_t i = j; i < j + pixels; ++i) {
          const int8_t* from = x + i * pixel_step + c;
          plane[c / 2 * channel_step + i] = two(from[0], c + 1 < C ? from[1] : 0);
        }
      }
      j += pixels;
    }
  }
  static uint32_t filling(int32_t zero_point) { return two(zero_point, zero_point); }
};

struct MultiplyAdd {
  using Element = float;
  using Entry = SparseEntry;
  using P = float;
  using Register = F32x8;

  PYRT_INLINE static __m256 weight(const SparseEntry& entry) {
    return _mm256_broadcast_ss(&entry.w);
  }
  PYRT_INLINE static F32x8 add(F32x8 sum, const float* x, __m256 w) {
    return reinterpret_cast<F32x8>(
        _mm256_fmadd_ps(_mm256_loadu_ps(x), w, reinterpret_cast<__m256>(sum)));
  }
};

struct Avx2SparseF32 {
  using X = float;
  using P = float;
  using Acc = float;
  using Entry = SparseEntry;
  static constexpr bool kOffset = false;
  static constexpr int kTile = kTilePixels, kUnit = 16;
  static constexpr int64_t kBlockK = 192, kGroup = 64, kPlaneBytes = 256 * 1024;

  static void column(const SparseEntry* from, const SparseEntry* to, const float* plane,
                     const int32_t* offsets, int pixels, bool first, float* acc) {
    VectorColumn<MultiplyAdd>::column(from, to, plane, offsets, pixels, first, acc);
  }
  static void transpose(const float* acc, int, int pixels, float* out) {
    transpose_tile(acc, pixels, out);
  }
  static float filling(int32_t) { return 0; }

  static void spread(const float* x, int64_t pixel_step, int64_t count, int64_t C, float* plane,
                     int64_t channel_step) {
    int64_t j = 0;
    for (; j + 8 <= count; j += 8) {
      int64_t c = 0;
      for (; c + 8 <= C; c += 8) {
        const auto row = [&](int i) { return _mm256_loadu_ps(x + (j + i) * pixel_step + c); };
        spread8_dwords(row, plane + c * channel_step + j, channel_step);
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

// Zen 4 at 3.4 GHz.
constexpr SparseRates kS8{2.8, 0.2, 0, 8, 0.11, 0.06, 150};
constexpr SparseRates kDuos{1.7, 0.3, 0, 8, 0.11, 0.06, 150};
constexpr SparseRates kF32{1.9, 0.2, 0, 8, 0.12, 0.08, 150};

// For rows of vectors: columns in their order.
struct PairsOfColumns : Avx2Pairs {
  static constexpr int64_t kBlockK = 0;
};
struct F32OfColumns : Avx2SparseF32 {
  static constexpr int64_t kBlockK = 0;
};

double s8_gemm_ns(const Problem& p) { return sparse_cost_ns<Avx2Pairs, GemmParams>(kS8, p); }
double s8_conv_ns(const Problem& p) { return sparse_cost_ns<Avx2Pairs, ConvParams>(kS8, p); }
double duo_gemm_ns(const Problem& p) { return sparse_cost_ns<Avx2Duos, GemmParams>(kDuos, p); }
double duo_conv_ns(const Problem& p) { return sparse_cost_ns<Avx2Duos, ConvParams>(kDuos, p); }
double f32_gemm_ns(const Problem& p) { return sparse_cost_ns<Avx2SparseF32, GemmParams>(kF32, p); }
double f32_conv_ns(const Problem& p) { return sparse_cost_ns<Avx2SparseF32, ConvParams>(kF32, p); }
double s8_vector_ns(const Problem& p) { return sparse_vector_cost_ns<PairsOfColumns>(0.45, p); }
double f32_vector_ns(const Problem& p) { return sparse_vector_cost_ns<F32OfColumns>(0.35, p); }

template <class Isa, class Params>
constexpr Row row(const char* name, const char* packing, double (*cost_ns)(const Problem&)) {
  constexpr bool kConv = requires { &Params::volume; };
  return sparse_row<Isa, Params>(name, kConv ? "conv" : "gemm",
                                 kConv ? FormRule::kChannelsLast : FormRule::kPlain, kPresetAvx2,
                                 packing, cost_ns);
}

constexpr Row kRows[] = {
    row<Avx2Pairs, GemmParams>("gemm_s8_sparse_s32_64x1x2_avx2", "sparse_s8_k384", s8_gemm_ns),
    row<Avx2Duos, GemmParams>("gemm_s8_sparse2_s32_64x1x2_avx2", "sparse_s8_duos", duo_gemm_ns),
    row<Avx2SparseF32, GemmParams>("gemm_f32_sparse_f32_64x1x1_avx2", "sparse_f32_k192_64",
                                   f32_gemm_ns),
    sparse_vector_row<PairsOfColumns>("gemm_s8_sparse_s32_1x1x2_avx2", kPresetAvx2, "sparse_s8",
                                      s8_vector_ns),
    sparse_vector_row<F32OfColumns>("gemm_f32_sparse_f32_1x1x1_avx2", kPresetAvx2, "sparse_f32",
                                    f32_vector_ns),
    row<Avx2Pairs, ConvParams>("conv_s8_sparse_s32_64x1x2_avx2", "sparse_s8_k384", s8_conv_ns),
    row<Avx2Duos, ConvParams>("conv_s8_sparse2_s32_64x1x2_avx2", "sparse_s8_duos", duo_conv_ns),
    row<Avx2SparseF32, ConvParams>("conv_f32_sparse_f32_64x1x1_avx2", "sparse_f32_k192_64",
                                   f32_conv_ns),
};

}  // namespace

extern constinit const Table sparse_planes_avx2;
constinit const Table sparse_planes_avx2{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
