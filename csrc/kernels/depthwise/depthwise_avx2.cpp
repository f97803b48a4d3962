// Depthwise conv rows for AVX2.
#include "kernels/common/epilogue_avx2-inl.h"
#include "kernels/depthwise/depthwise-inl.h"

namespace pyrt {
namespace {

// Two taps at a time: both vectors of 16 channels widened, interleaved, and multiplied and added by
// vpmaddwd.
struct DepthwiseS8 {
  using X = int8_t;
  using W = int16_t;
  using Acc = int32_t;
  static constexpr int kTapStep = 2;

  static int64_t packed_tap(int64_t t, int64_t c) {
    const int64_t half = c / 4 % 2;  // unpacklo takes channels 0-3 of each 8, unpackhi 4-7
    const int64_t lane = c / 8 * 4 + c % 4;
    return (t / 2 * 2 + half) * 16 + lane * 2 + t % 2;
  }

  template <int kPixels>
  static void accumulate(const int8_t* const* taps, int64_t count, int64_t c, const int16_t* w,
                         int32_t* acc) {
    __m256i low[kPixels];
    __m256i high[kPixels];
    for (int m = 0; m < kPixels; ++m) low[m] = high[m] = _mm256_setzero_si256();
    for (int64_t t = 0; t < count; t += 2, w += 32) {
      const __m256i w_low = _mm256_load_si256(reinterpret_cast<const __m256i*>(w));
      const __m256i w_high = _mm256_load_si256(reinterpret_cast<const __m256i*>(w) + 1);
#pragma GCC unroll 2
      for (int m = 0; m < kPixels; ++m) {
        const int8_t* const* tap = taps + m * count + t;
        const __m256i a =
            _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(tap[0] + c)));
        const __m256i b =
            _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(tap[1] + c)));
        const __m256i ab_low = _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), w_low);
        const __m256i ab_high = _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), w_high);
        low[m] = _mm256_add_epi32(low[m], ab_low);
        high[m] = _mm256_add_epi32(high[m], ab_high);
      }
    }
    auto* out = reinterpret_cast<__m256i*>(acc);
    for (int m = 0; m < kPixels; ++m) {
      _mm256_store_si256(out + 2 * m, _mm256_permute2x128_si256(low[m], high[m], 0x20));
      _mm256_store_si256(out + 2 * m + 1, _mm256_permute2x128_si256(low[m], high[m], 0x31));
    }
  }

  static void finish(const Epilogue& e, const int32_t* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    finish_s32_avx2(e, acc, ldacc, rows, columns, n, at, ldy);
  }
};

struct DepthwiseF32 {
  using X = float;
  using W = float;
  using Acc = float;
  static constexpr int kTapStep = 1;

  static int64_t packed_tap(int64_t t, int64_t c) { return t * 16 + c; }

  template <int kPixels>
  static void accumulate(const float* const* taps, int64_t count, int64_t c, const float* w,
                         float* acc) {
    __m256 low[kPixels];
    __m256 high[kPixels];
    for (int m = 0; m < kPixels; ++m) low[m] = high[m] = _mm256_setzero_ps();
    for (int64_t t = 0; t < count; ++t, w += 16) {
      const __m256 w_low = _mm256_load_ps(w);
      const __m256 w_high = _mm256_load_ps(w + 8);
#pragma GCC unroll 2
      for (int m = 0; m < kPixels; ++m) {
        const float* x = taps[m * count + t] + c;
        low[m] = _mm256_fmadd_ps(_mm256_loadu_ps(x), w_low, low[m]);
        high[m] = _mm256_fmadd_ps(_mm256_loadu_ps(x + 8), w_high, high[m]);
      }
    }
    for (int m = 0; m < kPixels; ++m) {
      _mm256_store_ps(acc + 16 * m, low[m]);
      _mm256_store_ps(acc + 16 * m + 8, high[m]);
    }
  }

  static void finish(const Epilogue& e, const float* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    finish_f32_avx2(e, acc, ldacc, rows, columns, n, at, ldy);
  }
};

// Multiply-adds a nanosecond on Zen 3 (8-9 a cycle at 3.4 GHz), looking up one tap, and the
// epilogue of 16 channels.
constexpr double kMacsPerNs = 28;
constexpr double kTapNs = 0.8;
constexpr double kFinishNs = 6;
constexpr double kCallNs = 60;

double cost_ns(const Problem& problem) {
  const auto& p = problem.as<ConvParams>();
  const double pixels = static_cast<double>(p.B * p.OH * p.OW);
  const double taps = static_cast<double>(p.kernel_h * p.kernel_w);
  const double blocks = static_cast<double>(depthwise_blocks(p.C));
  return kCallNs + pixels * (blocks * (16 * taps / kMacsPerNs + kFinishNs) + taps * kTapNs);
}

template <class Isa>
constexpr Row row(const char* name, Exactness exactness, const char* packing) {
  using Rows = DepthwiseRows<Isa>;
  return {.name = name,
          .family = "conv",
          .exactness = exactness,
          .features = kPresetAvx2,
          .forms = FormRule::kChannelsLast,
          .mr = 1,
          .nr = 16,
          .kr = Isa::kTapStep,
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
    row<DepthwiseF32>("conv_depthwise_f32_f32_f32_1x16x1_avx2", Exactness::kFast,
                      "depthwise_f32_nr16"),
    row<DepthwiseS8>("conv_depthwise_s8_s8_s32_1x16x2_avx2", Exactness::kExact,
                     "depthwise_s8_nr16kr2"),
};

}  // namespace

extern constinit const Table depthwise_avx2;
constinit const Table depthwise_avx2{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
