// pool for AVX2: vectors of channels. The last vector of a part starts early enough to be full (its
// first channels are computed twice, to the same values); parts narrower than a vector use the
// scalar formula.
#include <immintrin.h>

#include "kernels/pool/pool-inl.h"

namespace pyrt {
namespace {

// Calls vector(c) so that [c0, c1) is covered by vectors of `width` channels, or scalar(c) where
// they do not fit.
template <class Vector, class Scalar>
PYRT_INLINE void for_channels(int64_t c0, int64_t c1, int64_t width, const Vector& vector,
                              const Scalar& scalar) {
  if (c1 - c0 < width) {
    for (int64_t c = c0; c < c1; ++c) scalar(c);
    return;
  }
  for (int64_t c = c0; c < c1; c += width) vector(c + width <= c1 ? c : c1 - width);
}

void run_max_f32(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const auto& p = problem.as<PoolParams>();
  for_pixels<float>(
      problem, call, begin, end, [&p](const Window& window, int64_t c0, int64_t c1, float* y) {
        const auto vector = [&](int64_t c) {
          __m256 most = _mm256_set1_ps(-__builtin_inff());
          __m256 nan = _mm256_setzero_ps();  // NaN in lanes where a tap was NaN
          for_taps<float>(p, window, [&](int64_t, const float* pixel) {
            const __m256 value = _mm256_loadu_ps(pixel + c);
            most = _mm256_max_ps(value, most);
            nan = _mm256_blendv_ps(nan, value, _mm256_cmp_ps(value, value, _CMP_UNORD_Q));
          });
          const __m256 any = _mm256_cmp_ps(nan, nan, _CMP_UNORD_Q);
          _mm256_storeu_ps(y + c, _mm256_blendv_ps(most, nan, any));
        };
        for_channels(c0, c1, 8, vector, [&](int64_t c) { y[c] = max_f32(p, window, c); });
      });
}

void run_average_f32(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const auto& p = problem.as<PoolParams>();
  for_pixels<float>(
      problem, call, begin, end, [&p](const Window& window, int64_t c0, int64_t c1, float* y) {
        const auto vector = [&](int64_t c) {  // the order of average_f32
          __m256 sum = _mm256_setzero_ps();
          __m256 row_sum = sum;
          int64_t row = window.h.first;
          for_taps<float>(p, window, [&](int64_t t_h, const float* pixel) {
            if (t_h != row) {
              sum = _mm256_add_ps(sum, row_sum);
              row_sum = _mm256_setzero_ps();
              row = t_h;
            }
            row_sum = _mm256_add_ps(row_sum, _mm256_loadu_ps(pixel + c));
          });
          const __m256 count = _mm256_set1_ps(window.count);
          _mm256_storeu_ps(y + c, _mm256_div_ps(_mm256_add_ps(sum, row_sum), count));
        };
        for_channels(c0, c1, 8, vector, [&](int64_t c) { y[c] = average_f32(p, window, c); });
      });
}

void run_max_s8(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const auto& p = problem.as<PoolParams>();
  for_pixels<int8_t>(problem, call, begin, end,
                     [&p](const Window& window, int64_t c0, int64_t c1, int8_t* y) {
                       const auto vector32 = [&](int64_t c) {
                         __m256i most = _mm256_set1_epi8(-128);
                         for_taps<int8_t>(p, window, [&](int64_t, const int8_t* pixel) {
                           const auto* from = reinterpret_cast<const __m256i*>(pixel + c);
                           most = _mm256_max_epi8(most, _mm256_loadu_si256(from));
                         });
                         _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + c), most);
                       };
                       const auto vector8 = [&](int64_t c) {
                         __m128i most = _mm_set1_epi8(-128);
                         for_taps<int8_t>(p, window, [&](int64_t, const int8_t* pixel) {
                           const auto* from = reinterpret_cast<const __m128i*>(pixel + c);
                           most = _mm_max_epi8(most, _mm_loadl_epi64(from));
                         });
                         _mm_storel_epi64(reinterpret_cast<__m128i*>(y + c), most);
                       };
                       const auto scalar = [&](int64_t c) { y[c] = max_s8(p, window, c); };
                       if (c1 - c0 >= 32) {
                         for_channels(c0, c1, 32, vector32, scalar);
                       } else {
                         for_channels(c0, c1, 8, vector8, scalar);
                       }
                     });
}

void run_average_s8(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const auto& p = problem.as<PoolParams>();
  const float scale = *static_cast<const float*>(call.inputs[kPoolScale]);
  for_pixels<int8_t>(
      problem, call, begin, end,
      [&p, scale](const Window& window, int64_t c0, int64_t c1, int8_t* y) {
        const auto vector = [&](int64_t c) {
          __m256i sum = _mm256_setzero_si256();
          for_taps<int8_t>(p, window, [&](int64_t, const int8_t* pixel) {
            const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(pixel + c));
            sum = _mm256_add_epi32(sum, _mm256_cvtepi8_epi32(bytes));
          });
          const auto share = static_cast<int32_t>(zero_point_share(p, window));
          sum = _mm256_sub_epi32(sum, _mm256_set1_epi32(share));
          __m256 f = _mm256_div_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(window.count));
          f = _mm256_mul_ps(f, _mm256_set1_ps(scale));
          f = _mm256_max_ps(f, _mm256_set1_ps(static_cast<float>(-128 - p.y_zero_point)));
          f = _mm256_min_ps(f, _mm256_set1_ps(static_cast<float>(127 - p.y_zero_point)));
          const __m256i q =
              _mm256_add_epi32(_mm256_cvtps_epi32(f), _mm256_set1_epi32(p.y_zero_point));
          const __m128i words =
              _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
          _mm_storel_epi64(reinterpret_cast<__m128i*>(y + c), _mm_packs_epi16(words, words));
        };
        for_channels(c0, c1, 8, vector, [&](int64_t c) { y[c] = average_s8(p, window, scale, c); });
      });
}

// Elements a nanosecond on Zen 3: a load and an operation or two per vector, hardly better for
// narrow images, whose windows are found anew for each pixel.
template <int kPerNs>
double cost_ns(const Problem& problem) {
  const auto& p = problem.as<PoolParams>();
  return 60 + pool_work(p) / kPerNs + 15 * static_cast<double>(p.B * p.OH * p.OW);
}

constexpr Row row(const char* name, Exactness exactness, const char* (*supports)(const Problem&),
                  double (*cost)(const Problem&),
                  void (*run)(const Problem&, const Call&, int64_t, int64_t)) {
  return {.name = name,
          .family = "pool",
          .exactness = exactness,
          .features = kPresetAvx2,
          .forms = FormRule::kChannelsLast,
          .supports = supports,
          .cost_ns = cost,
          .tasks = pool_tasks,
          .run = run};
}

constexpr Row kRows[] = {
    row("pool_average_f32_avx2", Exactness::kCanonical, supports_average_f32, cost_ns<8>,
        run_average_f32),
    row("pool_average_s8_avx2", Exactness::kExact, supports_average_s8, cost_ns<8>, run_average_s8),
    row("pool_max_f32_avx2", Exactness::kExact, supports_max_f32, cost_ns<6>, run_max_f32),
    row("pool_max_s8_avx2", Exactness::kExact, supports_max_s8, cost_ns<30>, run_max_s8),
};

}  // namespace

extern constinit const Table pool_avx2;
constinit const Table pool_avx2{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
