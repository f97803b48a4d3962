// Sparse s8 rows for AVX-512 with VNNI: vpdpbusd on activations with an offset of 128.
//
// Quads, for scattered zeros: four non-zeros of a column at any k. Their four runs of 64 pixels are
// interleaved by 8 unpackings, then multiplied: 8 cycles for 256 multiply-adds on Zen 4, where a
// dense row takes 4.
//
// Blocks of 4 neighbouring channels of a column: the plane holds four channels of a pixel together,
// so that nothing is interleaved.
#include "kernels/sparse_planes/planes_avx512-inl.h"

namespace pyrt {
namespace {

using S32x16 [[gnu::may_alias]] = int32_t __attribute__((vector_size(64)));
using S32x8 [[gnu::may_alias]] = int32_t __attribute__((vector_size(32)));

PYRT_INLINE int32_t four(const int8_t w[4]) {
  int32_t value;
  memcpy(&value, w, sizeof(value));
  return value;
}

struct VnniBase {
  using X = int8_t;
  using Acc = int32_t;
  static constexpr bool kOffset = true;
  static constexpr int kTile = 64;
  static constexpr int64_t kBlockK = 0, kGroup = kPanel, kPlaneBytes = 512 * 1024;
  static constexpr bool kQuantizes = true;

  static void finish(const Epilogue& e, const int32_t* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    finish_s32_avx512(e, acc, ldacc, rows, columns, n, at, ldy);
  }
  static void copy(const uint8_t* from, int64_t rows, int columns, uint8_t* to, int64_t step) {
    copy_bytes(from, rows, columns, to, step);
  }
};

struct VnniQuads : VnniBase {
  using P = uint8_t;
  using Entry = SparseQuad;
  static constexpr int kUnit = 32;

  // c[j] gets pixels 16 * lane + 4 * j .. + 3 of each lane of 128 bits.
  PYRT_INLINE static void add(const SparseQuad& quad, const uint8_t* plane, const int32_t* offsets,
                              S32x16 (&c)[4]) {
    __m512i x[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) x[i] = _mm512_loadu_si512(plane + offsets[quad.k[i]]);
    const __m512i w = _mm512_set1_epi32(four(quad.w));
    const __m512i lo[2] = {_mm512_unpacklo_epi8(x[0], x[1]), _mm512_unpacklo_epi8(x[2], x[3])};
    const __m512i hi[2] = {_mm512_unpackhi_epi8(x[0], x[1]), _mm512_unpackhi_epi8(x[2], x[3])};
    c[0] = dot(c[0], _mm512_unpacklo_epi16(lo[0], lo[1]), w);
    c[1] = dot(c[1], _mm512_unpackhi_epi16(lo[0], lo[1]), w);
    c[2] = dot(c[2], _mm512_unpacklo_epi16(hi[0], hi[1]), w);
    c[3] = dot(c[3], _mm512_unpackhi_epi16(hi[0], hi[1]), w);
  }
  PYRT_INLINE static S32x16 dot(S32x16 sum, __m512i x, __m512i w) {
    return reinterpret_cast<S32x16>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), x, w));
  }

  PYRT_INLINE static void add(const SparseQuad& quad, const uint8_t* plane, const int32_t* offsets,
                              S32x8 (&c)[4]) {
    __m256i x[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      x[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(plane + offsets[quad.k[i]]));
    }
    const __m256i w = _mm256_set1_epi32(four(quad.w));
    const __m256i lo[2] = {_mm256_unpacklo_epi8(x[0], x[1]), _mm256_unpacklo_epi8(x[2], x[3])};
    const __m256i hi[2] = {_mm256_unpackhi_epi8(x[0], x[1]), _mm256_unpackhi_epi8(x[2], x[3])};
    c[0] = dot(c[0], _mm256_unpacklo_epi16(lo[0], lo[1]), w);
    c[1] = dot(c[1], _mm256_unpackhi_epi16(lo[0], lo[1]), w);
    c[2] = dot(c[2], _mm256_unpacklo_epi16(hi[0], hi[1]), w);
    c[3] = dot(c[3], _mm256_unpackhi_epi16(hi[0], hi[1]), w);
  }
  PYRT_INLINE static S32x8 dot(S32x8 sum, __m256i x, __m256i w) {
    return reinterpret_cast<S32x8>(_mm256_dpbusd_epi32(reinterpret_cast<__m256i>(sum), x, w));
  }

  template <class Register>
  [[gnu::noinline]] static void of_width(const SparseQuad* from, const SparseQuad* to,
                                         const uint8_t* plane, const int32_t* offsets,
                                         int32_t* acc) {
    Register c[4] = {};
    for (; from < to; ++from) add(*from, plane, offsets, c);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) reinterpret_cast<Register*>(acc)[j] = c[j];
  }

  static void column(const SparseQuad* from, const SparseQuad* to, const uint8_t* plane,
                     const int32_t* offsets, int pixels, bool, int32_t* acc) {
    if (pixels == 32) return of_width<S32x8>(from, to, plane, offsets, acc);
    return of_width<S32x16>(from, to, plane, offsets, acc);
  }

  // And puts pixels in order: element e of column() is one of c[e / width], see add().
  template <int kWidth>
  [[gnu::noinline]] static void transpose_of(const float* acc, int columns, float* out) {
    for (int t = 0; t < 4 * kWidth; t += 16) {
      transpose_columns(acc + t, kTile, columns, out, [t](int i) {
        const int e = t + i;
        return e % kWidth / 4 * 16 + e / kWidth * 4 + e % 4;
      });
    }
  }
  static void transpose(const int32_t* acc, int columns, int pixels, int32_t* out) {
    const auto* from = reinterpret_cast<const float*>(acc);
    auto* to = reinterpret_cast<float*>(out);
    if (pixels == 32) return transpose_of<8>(from, columns, to);
    transpose_of<16>(from, columns, to);
  }

  // Packing the four vectors of a column to bytes puts pixels in order.
  template <int kWidth>
  struct Order {
    PYRT_INLINE static __m512i load(const int32_t* acc, int j) {
      if constexpr (kWidth == 16) return _mm512_load_si512(acc + j * 16);
      return _mm512_castsi256_si512(
          _mm256_load_si256(reinterpret_cast<const __m256i*>(acc + j * 8)));
    }
    PYRT_INLINE static __m512i arrange(__m512i bytes) { return bytes; }
  };
  [[gnu::noinline]] static void quantize(const Epilogue& e, const int32_t* acc, int columns,
                                         int pixels, int64_t n, uint8_t* out) {
    if (pixels == 32) return quantize_columns<Order<8>>(e, acc, columns, n, out);
    quantize_columns<Order<16>>(e, acc, columns, n, out);
  }

  // 64 pixels x 16 channels (or fewer pixels: those of `mask`, rows clamped to the last): one pixel
  // of every 16 to a lane, then interleaved four times.
  PYRT_INLINE static void spread64(const int8_t* x, int64_t pixel_step, int64_t count,
                                   uint8_t* plane, int64_t channel_step) {
    const auto row = [&](int64_t i) {
      return _mm_loadu_si128(
          reinterpret_cast<const __m128i*>(x + smaller(i, count - 1) * pixel_step));
    };
    __m512i a[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      const __m256i lo = _mm256_inserti128_si256(_mm256_castsi128_si256(row(i)), row(16 + i), 1);
      const __m256i hi =
          _mm256_inserti128_si256(_mm256_castsi128_si256(row(32 + i)), row(48 + i), 1);
      a[i] = _mm512_inserti64x4(_mm512_castsi256_si512(lo), hi, 1);
    }
    transpose_bytes(a);
    const __mmask64 mask = count >= 64 ? ~__mmask64{0} : (__mmask64{1} << count) - 1;
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) _mm512_mask_storeu_epi8(plane + i * channel_step, mask, a[i]);
  }

  [[gnu::noinline]] static void spread(const int8_t* x, int64_t pixel_step, int64_t count,
                                       int64_t C, uint8_t* plane, int64_t channel_step) {
    for (int64_t j = 0; j < count; j += 64) {
      const int8_t* from = x + j * pixel_step;
      const int64_t pixels = smaller(64, count - j);
      if (C < 16) {
        for (int64_t c = 0; c < C; ++c) {
          for (int64_t i = 0; i < pixels; ++i) {
            plane[c * channel_step + j + i] = static_cast<uint8_t>(from[i * pixel_step + c]);
          }
        }
        continue;
      }
      for (int64_t c = 0; c < C; c += 16) {
        const int64_t first = smaller(c, C - 16);  // the last ones twice
        spread64(from + first, pixel_step, pixels, plane + first * channel_step + j, channel_step);
      }
    }
  }
  static uint8_t filling(int32_t zero_point) { return static_cast<uint8_t>(zero_point + 128); }
};

struct Dot {
  using Element = int32_t;
  using P = uint32_t;
  using Entry = SparseBlock;
  using Register = S32x16;

  PYRT_INLINE static __m512i weight(const SparseBlock& block) {
    return _mm512_set1_epi32(four(block.w));
  }
  PYRT_INLINE static S32x16 add(S32x16 sum, const uint32_t* x, __m512i w) {
    return reinterpret_cast<S32x16>(
        _mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), _mm512_loadu_si512(x), w));
  }
};

struct VnniBlocks : VnniBase {
  using P = uint32_t;
  using Entry = SparseBlock;
  static constexpr int kUnit = 16;

  static void column(const SparseBlock* from, const SparseBlock* to, const uint32_t* plane,
                     const int32_t* offsets, int pixels, bool first, int32_t* acc) {
    VectorColumn<Dot>::column(from, to, plane, offsets, pixels, first, acc);
  }

  [[gnu::noinline]] static void transpose(const int32_t* acc, int columns, int pixels,
                                          int32_t* out) {
    for (int t = 0; t < pixels; t += 16) {
      transpose_columns(reinterpret_cast<const float*>(acc) + t, kTile, columns,
                        reinterpret_cast<float*>(out) + t * kPanel, [](int row) { return row; });
    }
  }

  // Packing leaves dword 4 * (d % 4) + d / 4 of the result where pixels 4 * d .. + 3 are.
  struct Order {
    PYRT_INLINE static __m512i load(const int32_t* acc, int j) {
      return _mm512_load_si512(acc + j * 16);
    }
    PYRT_INLINE static __m512i arrange(__m512i bytes) {
      const __m512i from = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
      return _mm512_permutexvar_epi32(from, bytes);
    }
  };
  [[gnu::noinline]] static void quantize(const Epilogue& e, const int32_t* acc, int columns, int,
                                         int64_t n, uint8_t* out) {
    quantize_columns<Order>(e, acc, columns, n, out);
  }

  static void spread(const int8_t* x, int64_t pixel_step, int64_t count, int64_t C, uint32_t* plane,
                     int64_t channel_step) {
    spread_dwords(reinterpret_cast<const char*>(x), pixel_step, count, C / 4,
                  reinterpret_cast<float*>(plane), channel_step);
    if (C % 4 == 0) return;
    for (int64_t j = 0; j < count; ++j) {
      uint32_t last = 0;
      memcpy(&last, x + j * pixel_step + C / 4 * 4, static_cast<size_t>(C % 4));
      plane[C / 4 * channel_step + j] = last;
    }
  }
  static uint32_t filling(int32_t zero_point) {
    return static_cast<uint32_t>(zero_point + 128) * 0x01010101u;
  }
};

// Zen 4 at 3.4 GHz.
constexpr SparseRates kQuads{2.3, 0.1, 2.0, 6, 0.12, 0.03, 200};
constexpr SparseRates kBlocks{1.5, 0.5, 0.7, 6, 0.12, 0.03, 200};

double quads_gemm_ns(const Problem& p) { return sparse_cost_ns<VnniQuads, GemmParams>(kQuads, p); }
double quads_conv_ns(const Problem& p) { return sparse_cost_ns<VnniQuads, ConvParams>(kQuads, p); }
double blocks_gemm_ns(const Problem& p) {
  return sparse_cost_ns<VnniBlocks, GemmParams>(kBlocks, p);
}
double blocks_conv_ns(const Problem& p) {
  return sparse_cost_ns<VnniBlocks, ConvParams>(kBlocks, p);
}

constexpr Row kRows[] = {
    sparse_row<VnniQuads, GemmParams>("gemm_s8_sparse_s32_64x1x4_avx512vnni", "gemm",
                                      FormRule::kPlain, kPresetAvx512Vnni, "sparse_s8_quads",
                                      quads_gemm_ns),
    sparse_row<VnniQuads, ConvParams>("conv_s8_sparse_s32_64x1x4_avx512vnni", "conv",
                                      FormRule::kChannelsLast, kPresetAvx512Vnni, "sparse_s8_quads",
                                      quads_conv_ns),
    sparse_row<VnniBlocks, GemmParams>("gemm_s8_sparse4_s32_64x1x4_avx512vnni", "gemm",
                                       FormRule::kPlain, kPresetAvx512Vnni, "sparse_s8_blocks",
                                       blocks_gemm_ns),
    sparse_row<VnniBlocks, ConvParams>("conv_s8_sparse4_s32_64x1x4_avx512vnni", "conv",
                                       FormRule::kChannelsLast, kPresetAvx512Vnni,
                                       "sparse_s8_blocks", blocks_conv_ns),
};

}  // namespace

extern constinit const Table sparse_planes_avx512vnni;
constinit const Table sparse_planes_avx512vnni{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
