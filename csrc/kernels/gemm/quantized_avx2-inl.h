// Tiles that make bytes of their accumulators while these are still in registers. Between few k the
// way over memory and a call of the epilogue for each tile cost more than the product: 31 cycles
// for 16 outputs of K = 16, of which 8 multiply.
//
// Isa (AVX2, see gemm-inl.h) adds
//
//   // Tiles of kRows rows and kVectors * 8 columns, from row `first` on. Whether there is a
//   residual
//   // is decided outside: 5 % at K = 16.
//   template <int kRows, int kVectors, bool kResidual>
//   static void quantized_tiles(const QuantizedTiles<A, W>& t, int64_t first, int64_t count);
#pragma once

#include "kernels/common/epilogue_avx2-inl.h"
#include "kernels/gemm/gemm-inl.h"

namespace pyrt {
namespace {

using S32x8 [[gnu::may_alias]] = int32_t __attribute__((vector_size(32)));
using S32x8u [[gnu::may_alias]] = int32_t __attribute__((vector_size(32), aligned(4)));

// The epilogue's constants of a panel of 16 channels. Bounds are applied to bytes: rounding keeps
// the order and packing saturates.
struct alignas(32) QuantizedPanel {
  int32_t base[kPanel];  // where accumulators begin
  float scale[kPanel];
  int16_t zero_point[kPanel];
  int8_t lo[32], hi[32];  // zero point included
  uint8_t mask[32];
  float residual_scale[8];
  int32_t residual_zero_point[8];
  uint8_t residual_mask[16];
};

// A residual whose scale is large (or NaN) might lead out of s32, as below.
PYRT_INLINE bool quantizes(const Epilogue& e) {
  if (!e.params.has_scale || e.params.output != DType::kS8) return false;
  if (e.residual == nullptr) return true;
  constexpr float kMost = 1 << 20;
  return e.params.residual == DType::kS8 && e.residual_scale <= kMost && e.residual_scale >= -kMost;
}

// False where a scale exceeds 1/2 (or is NaN), so that a sum might leave s32 when it is scaled:
// then only the general epilogue will do.
[[maybe_unused]] bool fill_panel(const Epilogue& e, int64_t n, int columns, QuantizedPanel* q) {
  const ChannelVectors v = load_channels(e, n, column_mask(columns));
  const auto lo = static_cast<int32_t>(e.params.q_lo) + e.params.y_zero_point;
  const auto hi = static_cast<int32_t>(e.params.q_hi) + e.params.y_zero_point;
  for (int h = 0; h < 2; ++h) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(q->base) + h, v.base[h]);
    _mm256_store_ps(q->scale + 8 * h, v.scale[h]);
  }
  const auto store = [](void* to, __m256i value) {
    _mm256_store_si256(static_cast<__m256i*>(to), value);
  };
  store(q->zero_point, _mm256_set1_epi16(static_cast<int16_t>(e.params.y_zero_point)));
  store(q->lo, _mm256_set1_epi8(static_cast<char>(lo)));
  store(q->hi, _mm256_set1_epi8(static_cast<char>(hi)));
  store(q->mask, _mm256_set1_epi8(static_cast<char>(e.y_mask)));
  _mm256_store_ps(q->residual_scale, _mm256_set1_ps(e.residual_scale));
  store(q->residual_zero_point, _mm256_set1_epi32(e.params.residual_zero_point));
  _mm_store_si128(reinterpret_cast<__m128i*>(q->residual_mask),
                  _mm_set1_epi8(static_cast<char>(e.residual_mask)));
  const __m256 most = _mm256_max_ps(v.scale[0], v.scale[1]);
  const __m256 least = _mm256_min_ps(v.scale[0], v.scale[1]);
  const __m256 half = _mm256_set1_ps(0.5f);
  return _mm256_movemask_ps(_mm256_and_ps(_mm256_cmp_ps(most, half, _CMP_LE_OQ),
                                          _mm256_cmp_ps(least, -half, _CMP_GE_OQ))) == 0xff;
}

template <class T>
PYRT_INLINE __m256i load_256(const T* from) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
}

// s32 accumulators to s16, zero point included; with the bytes at `residual` unless it is null.
template <int kVectors, bool kResidual>
PYRT_INLINE __m256i quantize_words(const S32x8* c, const QuantizedPanel* q,
                                   const uint8_t* residual) {
  __m256 f[kVectors];
#pragma GCC unroll 2
  for (int i = 0; i < kVectors; ++i) {
    f[i] = _mm256_mul_ps(_mm256_cvtepi32_ps(reinterpret_cast<__m256i>(c[i])),
                         _mm256_load_ps(q->scale + 8 * i));
  }
  if constexpr (kResidual) {
    const auto* from = reinterpret_cast<const __m128i*>(residual);
    const __m128i mask = _mm_load_si128(reinterpret_cast<const __m128i*>(q->residual_mask));
    __m128i bytes =
        _mm_xor_si128(kVectors == 2 ? _mm_loadu_si128(from) : _mm_loadl_epi64(from), mask);
#pragma GCC unroll 2
    for (int i = 0; i < kVectors; ++i) {
      const __m256i r =
          _mm256_sub_epi32(_mm256_cvtepi8_epi32(bytes), load_256(q->residual_zero_point));
      const __m256 term = _mm256_mul_ps(_mm256_cvtepi32_ps(r), _mm256_load_ps(q->residual_scale));
      f[i] = _mm256_add_ps(f[i], term);
      bytes = _mm_unpackhi_epi64(bytes, bytes);
    }
  }
  return _mm256_adds_epi16(
      _mm256_packs_epi32(_mm256_cvtps_epi32(f[0]), _mm256_cvtps_epi32(f[kVectors - 1])),
      load_256(q->zero_point));
}

PYRT_INLINE __m256i bound_bytes(__m256i bytes, const QuantizedPanel* q) {
  bytes = _mm256_min_epi8(_mm256_max_epi8(bytes, load_256(q->lo)), load_256(q->hi));
  return _mm256_xor_si256(bytes, load_256(q->mask));
}

// kRows rows of accumulators to bytes at y.
template <int kRows, int kVectors, bool kResidual>
PYRT_INLINE void store_quantized_rows(const S32x8 (&c)[kRows][kVectors], const QuantizedPanel* q,
                                      const uint8_t* residual, uint8_t* y, int64_t ldy) {
#pragma GCC unroll 4
  for (int r = 0; r < kRows; r += 2) {
    const int other = r + 1 < kRows ? r + 1 : r;
    // Fours of bytes of the two rows, in turn, from either half of the register.
    const __m256i words =
        quantize_words<kVectors, kResidual>(c[r], q, kResidual ? residual + r * ldy : nullptr);
    const __m256i others = quantize_words<kVectors, kResidual>(
        c[other], q, kResidual ? residual + other * ldy : nullptr);
    const __m256i bytes = bound_bytes(_mm256_packs_epi16(words, others), q);
    const __m128i low = _mm256_castsi256_si128(bytes);
    const __m128i high = _mm256_extracti128_si256(bytes, 1);
    const __m128i first = _mm_unpacklo_epi32(low, high);
    const __m128i second = _mm_unpackhi_epi32(low, high);
    if constexpr (kVectors == 2) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(y + r * ldy), first);
      if (other > r) _mm_storeu_si128(reinterpret_cast<__m128i*>(y + other * ldy), second);
    } else {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(y + r * ldy), first);
      if (other > r) _mm_storel_epi64(reinterpret_cast<__m128i*>(y + other * ldy), second);
    }
  }
}

// Panels of N columns, a last one of 8 counted as it costs.
PYRT_INLINE double panels_worked(double N, bool halves) {
  const auto columns = static_cast<int64_t>(N);
  const auto panels = static_cast<double>(ceil_div(columns, kPanel));
  return halves && columns % kPanel == kPanel / 2 ? panels - 0.4 : panels;
}

// Rows times one panel.
template <class A, class W>
struct QuantizedTiles {
  const A* const* rows;
  const int64_t* taps;
  int64_t n_taps;
  int64_t segment;
  const W* w;
  const int32_t* init;  // of row m: 16 at init + m * init_step
  int64_t init_step;
  const QuantizedPanel* panel;
  const uint8_t* residual;  // like y, or null
  uint8_t* y;
  int64_t ldy;

  // kRows rows of accumulators to row m.
  template <bool kResidual, int kRows, int kVectors>
  PYRT_INLINE void store(const S32x8 (&c)[kRows][kVectors], int64_t m) const {
    const int64_t at = m * ldy;
    store_quantized_rows<kRows, kVectors, kResidual>(c, panel, kResidual ? residual + at : nullptr,
                                                     y + at, ldy);
  }
};

// What `at` is in y, in the residual; null without one.
PYRT_INLINE const uint8_t* residual_at(const Epilogue& e, int64_t at) {
  return e.residual == nullptr ? nullptr : static_cast<const uint8_t*>(e.residual) + at;
}

// Tiles of equal heights to one row.
template <class Isa, int kVectors, bool kResidual>
void quantize_columns(const QuantizedTiles<typename Isa::A, typename Isa::W>& t, int64_t rows) {
  using Run = void (*)(const QuantizedTiles<typename Isa::A, typename Isa::W>&, int64_t, int64_t);
  const auto run_of = [](int64_t height) -> Run {
    switch (height) {
      case 1:
        return Isa::template quantized_tiles<1, kVectors, kResidual>;
      case 2:
        return Isa::template quantized_tiles<2, kVectors, kResidual>;
      case 3:
        return Isa::template quantized_tiles<3, kVectors, kResidual>;
      case 4:
        return Isa::template quantized_tiles<4, kVectors, kResidual>;
      default:
        break;
    }
    if constexpr (Isa::kMr == 6) {
      return height == 5 ? Isa::template quantized_tiles<5, kVectors, kResidual>
                         : Isa::template quantized_tiles<6, kVectors, kResidual>;
    }
    return nullptr;
  };
  const int64_t tiles = ceil_div(rows, Isa::kMr);
  const int64_t least = rows / tiles, more = rows % tiles;  // tiles of one row more
  if (more > 0) run_of(least + 1)(t, 0, more);
  run_of(least)(t, more * (least + 1), tiles - more);
}

template <class Isa>
void quantize_panel(const QuantizedTiles<typename Isa::A, typename Isa::W>& t, int64_t rows,
                    int64_t columns) {
  if (t.residual == nullptr) {
    columns == kPanel ? quantize_columns<Isa, 2, false>(t, rows)
                      : quantize_columns<Isa, 1, false>(t, rows);
  } else {
    columns == kPanel ? quantize_columns<Isa, 2, true>(t, rows)
                      : quantize_columns<Isa, 1, true>(t, rows);
  }
}

// A panel as gemm-inl.h has it finished.
template <class Isa>
bool quantized_panel(const Epilogue& e, const Segments<typename Isa::A>& a, int64_t rows,
                     const typename Isa::W* w, int64_t columns, int64_t n, int64_t at,
                     int64_t ldy) {
  QuantizedPanel q;
  if (!quantizes(e) || (columns != kPanel && columns != kPanel / 2) ||
      !fill_panel(e, n, static_cast<int>(columns), &q)) {
    return false;
  }
  uint8_t* y = static_cast<uint8_t*>(e.y) + at;
  const QuantizedTiles<typename Isa::A, typename Isa::W> tiles{
      a.rows, a.taps, a.n_taps, a.segment, w, q.base, 0, &q, residual_at(e, at), y, ldy};
  quantize_panel<Isa>(tiles, rows, columns);
  return true;
}

}  // namespace
}  // namespace pyrt
