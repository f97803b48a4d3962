// Depthwise conv rows for AVX2.
#include "kernels/depthwise/depthwise_f32_avx2-inl.h"
#include "kernels/depthwise/depthwise_s8-inl.h"

namespace pyrt {
namespace {

PYRT_INLINE Int8 load_pairs(const int16_t* from) {
  Int8 v;
  __builtin_memcpy(&v, from, sizeof(v));
  return v;
}
PYRT_INLINE Int8 multiply_pairs(Int8 x, Int8 w) {
  return reinterpret_cast<Int8>(
      _mm256_madd_epi16(reinterpret_cast<__m256i>(x), reinterpret_cast<__m256i>(w)));
}
PYRT_INLINE void store_sums(int32_t* to, Int8 v) { __builtin_memcpy(to, &v, sizeof(v)); }

// Three columns of two pairs with the weights in registers; kStride is 1 or 2. Each line element is
// loaded once: an output pixel begins when its first column passes and is stored with its third.
template <int kStride>
[[gnu::noinline]] void slide_3(const PairLines* lines, int64_t rows, const int16_t* w, int64_t n,
                               int32_t* acc) {
  const Int8 a0 = load_pairs(w), a1 = load_pairs(w + 16), a2 = load_pairs(w + 32);
  const Int8 b0 = load_pairs(w + 48), b1 = load_pairs(w + 64), b2 = load_pairs(w + 80);
  for (; rows > 0; --rows, ++lines) {
    const int16_t* a = lines->row[0];
    const int16_t* b = lines->row[1];
    Int8 x = load_pairs(a), y = load_pairs(b);
    Int8 sum = multiply_pairs(x, a0) + multiply_pairs(y, b0);  // of the pixel that is stored next
    x = load_pairs(a + kPairElements);
    y = load_pairs(b + kPairElements);
    sum += multiply_pairs(x, a1) + multiply_pairs(y, b1);
    Int8 next = multiply_pairs(x, a0) + multiply_pairs(y, b0);  // stride 1: of the one after
    a += 2 * kPairElements;
    b += 2 * kPairElements;
    for (const int32_t* end = acc + n * kDepthwiseBlock;;) {
      x = load_pairs(a);
      y = load_pairs(b);
      store_sums(acc, sum + multiply_pairs(x, a2) + multiply_pairs(y, b2));
      acc += kDepthwiseBlock;
      if (acc == end) break;  // before a column that the line may not have
      if constexpr (kStride == 1) {
        sum = next + multiply_pairs(x, a1) + multiply_pairs(y, b1);
        next = multiply_pairs(x, a0) + multiply_pairs(y, b0);
      } else {
        sum = multiply_pairs(x, a0) + multiply_pairs(y, b0);
        x = load_pairs(a + kPairElements);
        y = load_pairs(b + kPairElements);
        sum += multiply_pairs(x, a1) + multiply_pairs(y, b1);
      }
      a += kStride * kPairElements;
      b += kStride * kPairElements;
    }
  }
}

// Any kernel, strides and dilation: kPixels neighbouring pixels share the loads of the weights.
template <int kPixels>
[[gnu::noinline]] void multiply_tile(const PairLines& lines, int64_t at, const int16_t* w,
                                     int32_t* acc) {
  Int8 sum[kPixels] = {};
  for (int64_t j = 0; j < lines.rows; ++j) {
    const int16_t* x = lines.row[j] + at;
    for (int64_t i = 0; i < lines.columns; ++i, w += kDepthwiseBlock, x += lines.column_step) {
      const Int8 pair = load_pairs(w);
      const int16_t* pixel = x;
#pragma GCC unroll 8
      for (int m = 0; m < kPixels; ++m, pixel += lines.pixel_step) {
        sum[m] += multiply_pairs(load_pairs(pixel), pair);
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kPixels; ++m) store_sums(acc + m * kDepthwiseBlock, sum[m]);
}

struct DepthwiseS8 {
  static void widen(int16_t* line, const int8_t* a, const int8_t* b, int64_t a_step, int64_t b_step,
                    int64_t n, const uint8_t* shuffle) {
    if (shuffle == nullptr) {
      widen_pixels<false>(line, a, b, a_step, b_step, n, _mm256_setzero_si256());
    } else {
      widen_pixels<true>(line, a, b, a_step, b_step, n, load_twice(shuffle));
    }
  }

  PYRT_INLINE static __m256i load_twice(const void* from) {
    __m128i v;
    __builtin_memcpy(&v, from, sizeof(v));
    return _mm256_broadcastsi128_si256(v);
  }

  template <bool kShuffle>
  PYRT_INLINE static void widen_pixels(int16_t* line, const int8_t* a, const int8_t* b,
                                       int64_t a_step, int64_t b_step, int64_t n, __m256i order) {
    // Bytes 0-7 of a lane to s16 in the lower, 8-15 in the upper; both lanes hold the same.
    const __m256i spread =
        _mm256_setr_epi8(0, -1, 1, -1, 2, -1, 3, -1, 4, -1, 5, -1, 6, -1, 7, -1, 8, -1, 9, -1, 10,
                         -1, 11, -1, 12, -1, 13, -1, 14, -1, 15, -1);
    const __m256i offset = _mm256_set1_epi8(-128);
    for (int64_t i = 0; i < n; ++i, a += a_step, b += b_step, line += kPairElements) {
      __m256i x = load_twice(a), y = load_twice(b);
      if constexpr (kShuffle) {
        x = _mm256_shuffle_epi8(x, order);
        y = _mm256_shuffle_epi8(y, order);
      }
      x = _mm256_xor_si256(x, offset);
      y = _mm256_xor_si256(y, offset);
      auto* to = reinterpret_cast<__m256i*>(line);
      _mm256_store_si256(to, _mm256_shuffle_epi8(_mm256_unpacklo_epi8(x, y), spread));
      _mm256_store_si256(to + 1, _mm256_shuffle_epi8(_mm256_unpackhi_epi8(x, y), spread));
    }
  }

  static void multiply(const PairLines* lines, int64_t rows, const int16_t* w, int64_t n,
                       int32_t* acc) {
    const PairLines& first = lines[0];
    if (first.rows == 2 && first.columns == 3 && first.column_step == kPairElements) {
      if (first.pixel_step == kPairElements) return slide_3<1>(lines, rows, w, n, acc);
      if (first.pixel_step == 2 * kPairElements) return slide_3<2>(lines, rows, w, n, acc);
    }
    for (int64_t y = 0; y < rows; ++y) {
      multiply_row(lines[y], w, n, acc + y * n * kDepthwiseBlock);
    }
  }

  static void multiply_row(const PairLines& lines, const int16_t* w, int64_t n, int32_t* acc) {
    int64_t i = 0;
    for (; i + kTile <= n; i += kTile) {
      multiply_tile<kTile>(lines, i * lines.pixel_step, w, acc + i * kDepthwiseBlock);
    }
    if (i == n) return;
    if (n >= kTile) {  // the last tile overlaps the one before, to the same sums
      i = n - kTile;
      multiply_tile<kTile>(lines, i * lines.pixel_step, w, acc + i * kDepthwiseBlock);
      return;
    }
    for (; i < n; ++i) {
      multiply_tile<1>(lines, i * lines.pixel_step, w, acc + i * kDepthwiseBlock);
    }
  }
  static constexpr int kTile = 7;  // images tend to be 7, 14, 28, 56 or 112 wide

  static void finish(const Epilogue& e, const int32_t* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    finish_s32_avx2(e, acc, ldacc, rows, columns, n, at, ldy);
  }
};

// Nanoseconds on Zen 3 at 3.2 GHz, for a block of 16 channels: multiplying a pair of taps, the
// epilogue of a pixel, a pixel of a pair line, and starting a row. Below 16 channels pair lines are
// copied byte by byte.
double cost_s8(const Problem& problem) {
  constexpr double kCallNs = 60, kPairNs = 0.55, kFinishNs = 1.3, kWidenNs = 1.3, kCopyNs = 6,
                   kRowNs = 20;
  const auto& p = problem.as<ConvParams>();
  const auto s = DepthwiseS8Rows<DepthwiseS8>::shape_of(p);
  const double pairs = static_cast<double>(s.pair_rows * s.pair_columns);
  const double widened = static_cast<double>((p.stride_h > 2 ? s.pair_rows : 1) * s.span) /
                         static_cast<double>(s.together);
  const double row = kRowNs + static_cast<double>(s.tile) * (kFinishNs + kPairNs * pairs) +
                     widened * (p.C < kDepthwiseBlock ? kCopyNs : kWidenNs);
  return kCallNs + static_cast<double>(p.B * p.OH * s.tiles * s.blocks) * row;
}

template <class Rows>
constexpr Row row(const char* name, Exactness exactness, Offset offset, const char* packing,
                  uint16_t mr, uint16_t kr, double (*cost_ns)(const Problem&)) {
  return {.name = name,
          .family = "conv",
          .exactness = exactness,
          .features = kPresetAvx2,
          .forms = FormRule::kChannelsLast,
          .offset = offset,
          .mr = mr,
          .nr = 16,
          .kr = kr,
          .supports = Rows::supports,
          .cost_ns = cost_ns,
          .packing = packing,
          .packed_bytes = Rows::packed_bytes,
          .pack = Rows::pack,
          .tasks = Rows::tasks,
          .scratch_bytes = Rows::scratch_bytes,
          .run = Rows::run};
}

constexpr Row kRows[] = {
    row<DepthwiseF32Rows<DepthwiseF32<SlideYmm>>>(
        "conv_depthwise_f32_f32_f32_7x16x1_avx2", Exactness::kFast, Offset::kNever,
        "depthwise_f32_nr16", 7, 1, depthwise_f32_ns<SlideYmm>),
    row<DepthwiseS8Rows<DepthwiseS8>>("conv_depthwise_s8_s8_s32_7x16x2_avx2", Exactness::kExact,
                                      Offset::kGives, "depthwise_s8_pairs_nr16", 7, 2, cost_s8),
};

}  // namespace

extern constinit const Table depthwise_avx2;
constinit const Table depthwise_avx2{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
