// Depthwise conv rows for AVX-512 with VNNI.
#include "kernels/common/epilogue_avx512-inl.h"
#include "kernels/common/lanes-inl.h"
#include "kernels/depthwise/depthwise_f32_avx2-inl.h"
#include "kernels/depthwise/depthwise_quads-inl.h"

namespace pyrt {
namespace {

// Bytes, words and dwords of 64 channels; all in one GNU vector, which g++ 12 keeps in registers.
struct QuadsZmm {
  using Int = Int16;

  PYRT_INLINE static __m512i raw(Int v) { return reinterpret_cast<__m512i>(v); }
  PYRT_INLINE static Int load(const void* from) {
    return reinterpret_cast<Int>(_mm512_loadu_si512(from));
  }
  PYRT_INLINE static void store(void* to, Int v) { _mm512_storeu_si512(to, raw(v)); }
  // Each lane is 16 channels from the one before.
  PYRT_INLINE static void store_lanes(int32_t* to, Int v) {
    for (int lane = 0; lane < 4; ++lane) {
      memcpy(to + 16 * lane, reinterpret_cast<const int32_t*>(&v) + 4 * lane, 16);
    }
  }
  PYRT_INLINE static Int bytes(int8_t v) { return reinterpret_cast<Int>(_mm512_set1_epi8(v)); }
  PYRT_INLINE static Int words(int16_t v) { return reinterpret_cast<Int>(_mm512_set1_epi16(v)); }
  PYRT_INLINE static Int dot(Int sum, Int x, Int w) {
    return reinterpret_cast<Int>(_mm512_dpbusd_epi32(raw(sum), raw(x), raw(w)));
  }
  PYRT_INLINE static void interleave(Int a, Int b, Int c, Int d, uint8_t* line) {
    const __m512i low_ab = _mm512_unpacklo_epi8(raw(a), raw(b));
    const __m512i high_ab = _mm512_unpackhi_epi8(raw(a), raw(b));
    const __m512i low_cd = _mm512_unpacklo_epi8(raw(c), raw(d));
    const __m512i high_cd = _mm512_unpackhi_epi8(raw(c), raw(d));
    _mm512_storeu_si512(line, _mm512_unpacklo_epi16(low_ab, low_cd));
    _mm512_storeu_si512(line + 64, _mm512_unpackhi_epi16(low_ab, low_cd));
    _mm512_storeu_si512(line + 128, _mm512_unpacklo_epi16(high_ab, high_cd));
    _mm512_storeu_si512(line + 192, _mm512_unpackhi_epi16(high_ab, high_cd));
  }
  PYRT_INLINE static Int scaled(Int sum, Int scale) {
    const __m512 f = _mm512_mul_ps(_mm512_cvtepi32_ps(raw(sum)), reinterpret_cast<__m512>(scale));
    return reinterpret_cast<Int>(_mm512_cvtps_epi32(f));
  }
  PYRT_INLINE static Int to_words(Int a, Int b, Int zero_point) {
    const __m512i packed = _mm512_packs_epi32(raw(a), raw(b));
    return reinterpret_cast<Int>(_mm512_adds_epi16(packed, raw(zero_point)));
  }
  PYRT_INLINE static Int to_bytes(Int a, Int b) {
    return reinterpret_cast<Int>(_mm512_packs_epi16(raw(a), raw(b)));
  }
  // Dwords in turns of two outputs, apart.
  PYRT_INLINE static Int even(Int low, Int high) {
    return reinterpret_cast<Int>(
        _mm512_shuffle_ps(reinterpret_cast<__m512>(low), reinterpret_cast<__m512>(high), 0x88));
  }
  PYRT_INLINE static Int odd(Int low, Int high) {
    return reinterpret_cast<Int>(
        _mm512_shuffle_ps(reinterpret_cast<__m512>(low), reinterpret_cast<__m512>(high), 0xdd));
  }
  PYRT_INLINE static Int clamp(Int v, Int lo, Int hi) {
    return reinterpret_cast<Int>(_mm512_min_epi8(_mm512_max_epi8(raw(v), raw(lo)), raw(hi)));
  }
};

// And of 32.
struct QuadsYmm {
  using Int = Int8;

  PYRT_INLINE static __m256i raw(Int v) { return reinterpret_cast<__m256i>(v); }
  PYRT_INLINE static Int load(const void* from) {
    Int v;
    __builtin_memcpy(&v, from, sizeof(v));
    return v;
  }
  PYRT_INLINE static void store(void* to, Int v) { __builtin_memcpy(to, &v, sizeof(v)); }
  PYRT_INLINE static void store_lanes(int32_t* to, Int v) {
    for (int lane = 0; lane < 2; ++lane) {
      memcpy(to + 16 * lane, reinterpret_cast<const int32_t*>(&v) + 4 * lane, 16);
    }
  }
  PYRT_INLINE static Int bytes(int8_t v) { return reinterpret_cast<Int>(_mm256_set1_epi8(v)); }
  PYRT_INLINE static Int words(int16_t v) { return reinterpret_cast<Int>(_mm256_set1_epi16(v)); }
  PYRT_INLINE static Int dot(Int sum, Int x, Int w) {
    return reinterpret_cast<Int>(_mm256_dpbusd_epi32(raw(sum), raw(x), raw(w)));
  }
  PYRT_INLINE static void interleave(Int a, Int b, Int c, Int d, uint8_t* line) {
    const __m256i low_ab = _mm256_unpacklo_epi8(raw(a), raw(b));
    const __m256i high_ab = _mm256_unpackhi_epi8(raw(a), raw(b));
    const __m256i low_cd = _mm256_unpacklo_epi8(raw(c), raw(d));
    const __m256i high_cd = _mm256_unpackhi_epi8(raw(c), raw(d));
    store(line, reinterpret_cast<Int>(_mm256_unpacklo_epi16(low_ab, low_cd)));
    store(line + 32, reinterpret_cast<Int>(_mm256_unpackhi_epi16(low_ab, low_cd)));
    store(line + 64, reinterpret_cast<Int>(_mm256_unpacklo_epi16(high_ab, high_cd)));
    store(line + 96, reinterpret_cast<Int>(_mm256_unpackhi_epi16(high_ab, high_cd)));
  }
  PYRT_INLINE static Int scaled(Int sum, Int scale) {
    const __m256 f = _mm256_mul_ps(_mm256_cvtepi32_ps(raw(sum)), reinterpret_cast<__m256>(scale));
    return reinterpret_cast<Int>(_mm256_cvtps_epi32(f));
  }
  PYRT_INLINE static Int to_words(Int a, Int b, Int zero_point) {
    const __m256i packed = _mm256_packs_epi32(raw(a), raw(b));
    return reinterpret_cast<Int>(_mm256_adds_epi16(packed, raw(zero_point)));
  }
  PYRT_INLINE static Int to_bytes(Int a, Int b) {
    return reinterpret_cast<Int>(_mm256_packs_epi16(raw(a), raw(b)));
  }
  PYRT_INLINE static Int even(Int low, Int high) {
    return reinterpret_cast<Int>(
        _mm256_shuffle_ps(reinterpret_cast<__m256>(low), reinterpret_cast<__m256>(high), 0x88));
  }
  PYRT_INLINE static Int odd(Int low, Int high) {
    return reinterpret_cast<Int>(
        _mm256_shuffle_ps(reinterpret_cast<__m256>(low), reinterpret_cast<__m256>(high), 0xdd));
  }
  PYRT_INLINE static Int clamp(Int v, Int lo, Int hi) {
    return reinterpret_cast<Int>(_mm256_min_epi8(_mm256_max_epi8(raw(v), raw(lo)), raw(hi)));
  }
};

struct DepthwiseQuads {
  using Wide = QuadsZmm;
  using Narrow = QuadsYmm;
  static void finish(const Epilogue& e, const int32_t* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    finish_s32_avx512(e, acc, ldacc, rows, columns, n, at, ldy);
  }
};

using Quads = DepthwiseQuadRows<DepthwiseQuads>;

// Nanoseconds on Zen 4 at 3.7 GHz, for a block of 64 channels: interleaving a column of a quad, the
// epilogue of a pixel, multiplying a column of taps of a pixel, and starting a step of rows.
constexpr double kCallNs = 60;
double cost_s8(const Problem& problem) {
  constexpr double kColumnNs = 2.8, kFinishNs = 4, kTapNs = 1.1, kStepNs = 20, kApart = 4;
  const auto& p = problem.as<ConvParams>();
  const auto s = Quads::shape_of(p);
  const bool narrow = !Quads::block_of(p, s.blocks - 1).wide;
  const double blocks = static_cast<double>(s.blocks) -
                        (narrow ? (p.C < 64 ? 0.5 * static_cast<double>(s.blocks) : 0.5) : 0);
  const double taps = static_cast<double>(s.quads * p.kernel_w);
  const double pixel =
      (kFinishNs + kTapNs * taps) * (problem.has_input(kInputResidual) ? kApart : 1);
  const double steps = static_cast<double>(p.B * ceil_div(p.OH, s.rows) * s.tiles);
  const double filled = static_cast<double>(s.quads * s.span);
  return kCallNs + blocks * (steps * (kStepNs + filled * kColumnNs) +
                             static_cast<double>(p.B * p.OH * p.OW) * pixel);
}

// 16 channels of two rows of output.
struct SlideZmm {
  using F = Float16;
  static constexpr int kRows = 2;
  static constexpr int64_t kMaxStride = 2, kMinWidth = 1;
  PYRT_INLINE static F multiply_add(F a, F b, F c) {
    return reinterpret_cast<F>(_mm512_fmadd_ps(
        reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(c)));
  }
  PYRT_INLINE static F clamp(F v, F lo, F hi) {
    const __m512 raised = _mm512_max_ps(reinterpret_cast<__m512>(lo), reinterpret_cast<__m512>(v));
    return reinterpret_cast<F>(_mm512_min_ps(reinterpret_cast<__m512>(hi), raised));
  }
};
using F32 = DepthwiseF32Rows<DepthwiseF32<SlideZmm>>;

constexpr Row kRows[] = {{.name = "conv_depthwise_f32_f32_f32_2x16x1_avx512vnni",
                          .family = "conv",
                          .exactness = Exactness::kFast,
                          .features = kPresetAvx512Vnni,
                          .forms = FormRule::kChannelsLast,
                          .mr = 2,
                          .nr = 16,
                          .kr = 1,
                          .supports = F32::supports,
                          .cost_ns = depthwise_f32_ns<SlideZmm>,
                          .packing = "depthwise_f32_nr16",
                          .packed_bytes = F32::packed_bytes,
                          .pack = F32::pack,
                          .tasks = F32::tasks,
                          .scratch_bytes = F32::scratch_bytes,
                          .run = F32::run},
                         {.name = "conv_depthwise_s8_s8_s32_2x64x4_avx512vnni",
                          .family = "conv",
                          .exactness = Exactness::kExact,
                          .features = kPresetAvx512Vnni,
                          .forms = FormRule::kChannelsLast,
                          .offset = Offset::kTakes,
                          .mr = 2,
                          .nr = 64,
                          .kr = 4,
                          .supports = Quads::supports,
                          .cost_ns = cost_s8,
                          .packing = "depthwise_s8_quads_nr64",
                          .packed_bytes = Quads::packed_bytes,
                          .pack = Quads::pack,
                          .tasks = Quads::tasks,
                          .scratch_bytes = Quads::scratch_bytes,
                          .run = Quads::run}};

}  // namespace

extern constinit const Table depthwise_avx512vnni;
constinit const Table depthwise_avx512vnni{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
