// Products of few rows with f32 weights that are computed in the run, for AVX2: packing the weights
// would take longer than multiplying once by them, so they are read as they lie.
//
//   w [K, N]   tiles of gemm_f32_avx2-inl.h with rows of w N elements apart; columns behind the
//   last
//              multiple of 16 are packed
//   w [N, K]   (trans_b) dot products of rows of a with rows of w, 8 lanes of K at a time
//
// One tile of rows only in the first case: with N a power of two a second one would find nothing of
// w left in L1.
#pragma once

#include "kernels/gemm/gemm.h"
#include "kernels/gemm/gemm_f32_avx2-inl.h"
#include "kernels/gemm/gemm_rows-inl.h"

namespace pyrt {
namespace {

// acc[r * 16 + i] = sum over k of a[r][k] * w[i * K + k], for kRows rows and kColumns columns.
template <int kRows, int kColumns>
[[gnu::noinline]] void dots_of(const float* const* a, const float* w, int64_t K, float* acc) {
  static_assert(kColumns % 4 == 0);
  F32x8 c[kRows][kColumns] = {};
  const float* x[kRows];
#pragma GCC unroll 3
  for (int r = 0; r < kRows; ++r) x[r] = a[r];
  int64_t k = 0;
  for (; k + 8 <= K; k += 8) {
#pragma GCC unroll 8
    for (int i = 0; i < kColumns; ++i) {
      const __m256 wi = _mm256_loadu_ps(w + i * K + k);
#pragma GCC unroll 3
      for (int r = 0; r < kRows; ++r) {
        c[r][i] = reinterpret_cast<F32x8>(
            _mm256_fmadd_ps(_mm256_loadu_ps(x[r] + k), wi, reinterpret_cast<__m256>(c[r][i])));
      }
    }
  }
  if (k < K) {
    const __m256i mask = column_mask(static_cast<int>(K - k)).half[0];
#pragma GCC unroll 8
    for (int i = 0; i < kColumns; ++i) {
      const __m256 wi = _mm256_maskload_ps(w + i * K + k, mask);
#pragma GCC unroll 3
      for (int r = 0; r < kRows; ++r) {
        c[r][i] = reinterpret_cast<F32x8>(_mm256_fmadd_ps(_mm256_maskload_ps(x[r] + k, mask), wi,
                                                          reinterpret_cast<__m256>(c[r][i])));
      }
    }
  }
#pragma GCC unroll 3
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int i = 0; i < kColumns; i += 4) {
      const __m256 low =
          _mm256_hadd_ps(reinterpret_cast<__m256>(c[r][i]), reinterpret_cast<__m256>(c[r][i + 1]));
      const __m256 high = _mm256_hadd_ps(reinterpret_cast<__m256>(c[r][i + 2]),
                                         reinterpret_cast<__m256>(c[r][i + 3]));
      const __m256 sums = _mm256_hadd_ps(low, high);
      _mm_storeu_ps(acc + r * kPanel + i,
                    _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1)));
    }
  }
}

struct Avx2Direct {
  static constexpr int kMr = 6;           // rows of a tile of w [K, N], and the most there are
  static constexpr int kDotRows = 3;      // rows of a tile of dots
  static constexpr int64_t kMaxDots = 8;  // rows with w [N, K]
  static constexpr int64_t kTaskPanels = 4;
  static constexpr int64_t kLongRow = 512;    // columns of w [K, N] from which it is read in parts
  static constexpr int64_t kLongTask = 1024;  // columns of a task then: long runs of each row

  static const char* supports(const Problem& problem) {
    const auto& p = problem.as<GemmParams>();
    if (p.epilogue.integer) return "the operands are s8";
    if (GemmRows<Avx2F32>::packed_once(problem)) return "constant weights are packed beforehand";
    if (p.trans_a && p.M != 1) return "a is transposed";
    if (p.M > (p.trans_b ? kMaxDots : kMr)) return "more rows than repay weights as they lie";
    return nullptr;
  }

  static int64_t n_blocks(const GemmParams& p) {
    // Tasks of 64 K multiply-adds or more, whole groups of panels.
    const int64_t groups = ceil_div(ceil_div(p.N, kPanel), kTaskPanels);
    const int64_t wanted = ceil_div(larger(p.M, 1) * p.N * p.K, 1 << 16);
    const int64_t least = !p.trans_b && p.N >= kLongRow ? kLongTask : kTaskPanels * kPanel;
    return larger(1, smaller(smaller(groups, p.N / least), smaller(wanted, 16)));
  }
  static int64_t tasks(const Problem& problem) {
    const auto& p = problem.as<GemmParams>();
    return p.batch * n_blocks(p);
  }
  // Columns behind the last multiple of 16, packed.
  static size_t scratch_bytes(const Problem& problem) {
    const auto& p = problem.as<GemmParams>();
    if (p.trans_b || p.N % kPanel == 0) return 0;
    return static_cast<size_t>(p.K * kPanel) * sizeof(float);
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const auto& p = problem.as<GemmParams>();
    const Epilogue e = make_epilogue(p.epilogue, problem, call, nullptr);
    const int64_t blocks = n_blocks(p);
    const int64_t groups = ceil_div(ceil_div(p.N, kPanel), kTaskPanels);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t product = task / blocks;
      const int64_t block = task % blocks;
      int64_t a_offset, w_offset;
      p.offsets(product, &a_offset, &w_offset);
      const auto* a = static_cast<const float*>(call.inputs[kInputX]) + a_offset;
      const auto* w = static_cast<const float*>(call.inputs[kInputW]) + w_offset;
      const int64_t first = part(groups, blocks, block) * kTaskPanels * kPanel;
      const int64_t last = smaller(part(groups, blocks, block + 1) * kTaskPanels * kPanel, p.N);
      const int64_t at = product * p.M * p.N;
      const float* rows[kMaxDots];
      for (int64_t m = 0; m < p.M; ++m) rows[m] = a + m * p.K;
      if (p.trans_b) {
        for (int64_t n = first; n < last; n += kPanel) dots(p, e, rows, w, n, at);
      } else {
        tiles(p, e, rows, w, first, last, at, static_cast<float*>(call.scratch));
      }
    }
  }

 private:
  // Columns [n, n + 16) or up to N of all rows.
  static void dots(const GemmParams& p, const Epilogue& e, const float* const* rows, const float* w,
                   int64_t n, int64_t at) {
    alignas(32) float acc[kMaxDots * kPanel];
    const int64_t columns = smaller(kPanel, p.N - n);
    const int64_t tiles = ceil_div(p.M, kDotRows);
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t m = part(p.M, tiles, tile);
      const int64_t height = part(p.M, tiles, tile + 1) - m;
      for (int64_t i = 0; i < columns;) {
        const float* from = w + (n + i) * p.K;
        float* to = acc + m * kPanel + i;
        if (height == 1 && i + 8 <= columns) {
          dots_of<1, 8>(rows + m, from, p.K, to);
          i += 8;
          continue;
        }
        if (i + 4 > columns) {
          for (int64_t r = 0; r < height; ++r) to[r * kPanel] = dot(rows[m + r], from, p.K);
          ++i;
          continue;
        }
        if (height == 1) dots_of<1, 4>(rows + m, from, p.K, to);
        if (height == 2) dots_of<2, 4>(rows + m, from, p.K, to);
        if (height == 3) dots_of<3, 4>(rows + m, from, p.K, to);
        i += 4;
      }
    }
    finish_f32_avx2(e, acc, kPanel, static_cast<int>(p.M), static_cast<int>(columns), n, at + n,
                    p.N);
  }

  static float dot(const float* a, const float* w, int64_t K) {
    F32x8 sum = {};
    int64_t k = 0;
    for (; k + 8 <= K; k += 8) {
      sum = reinterpret_cast<F32x8>(_mm256_fmadd_ps(_mm256_loadu_ps(a + k), _mm256_loadu_ps(w + k),
                                                    reinterpret_cast<__m256>(sum)));
    }
    float total = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
    for (; k < K; ++k) total += a[k] * w[k];
    return total;
  }

  // Columns [first, last) of all rows. Where the rows of w are long, some of them at a time: a tile
  // touches a page in each, so a part must not need more pages than the TLB has. y holds the sums
  // between the parts.
  static void tiles(const GemmParams& p, const Epilogue& e, const float* const* rows,
                    const float* w, int64_t first, int64_t last, int64_t at, float* scratch) {
    constexpr int64_t kPartRows = 32;
    const int height = static_cast<int>(p.M);
    if (height == 0) return;
    const bool whole = last % kPanel == 0;
    const int64_t edge = whole ? last : last / kPanel * kPanel;
    const int64_t parts = p.N < kLongRow ? 1 : larger(1, ceil_div(p.K, kPartRows));
    for (int64_t i = 0; i < parts; ++i) {
      const int64_t k = part(p.K, parts, i);
      Epilogue step = e;
      if (i > 0) step.residual = e.y;
      if (i + 1 < parts) {
        step.bias = nullptr;
        step.params.lo = -__builtin_inff();
        step.params.hi = __builtin_inff();
      }
      int64_t width = Avx2F32::panels(height);
      for (int64_t n = first; n < edge;) {
        while (n + width * kPanel > edge) width /= 2;
        const int64_t count = (edge - n) / (width * kPanel);
        Avx2F32::direct_tiles(step, height, static_cast<int>(width), count, rows, k,
                              part(p.K, parts, i + 1) - k, w + k * p.N + n, p.N, n, at + n, p.N);
        n += count * width * kPanel;
      }
    }
    if (whole) return;
    const int64_t tap = 0;
    alignas(32) float acc[kMr * kPanel];
    pack_f32_panels(w, false, p.K, p.N, edge / kPanel, edge / kPanel + 1, scratch);
    Avx2F32::tile(height, 1, rows, &tap, 1, p.K, scratch, p.K, acc);
    finish_f32_avx2(e, acc, kPanel, height, static_cast<int>(last - edge), edge, at + edge, p.N);
  }
};

}  // namespace
}  // namespace pyrt
