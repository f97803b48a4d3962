// Sparse f32 rows for AVX-512.
//
// Matrices: tiles of 64 pixels, four accumulators, a broadcast weight times 64 values each. Blocks
// of 192 k: their part of a plane is 48 KB, so that most of what the columns of a group read comes
// from L1 (25 % faster than from L2 at K = 768, Zen 4).
//
// Vectors: `windows` of x, see SparseWindows.
#include "kernels/sparse_planes/planes_avx512-inl.h"
#include "kernels/sparse_planes/windows_f32-inl.h"

namespace pyrt {
namespace {

struct MultiplyAdd {
  using Element = float;
  using P = float;
  using Entry = SparseEntry;
  using Register [[gnu::may_alias]] = float __attribute__((vector_size(64)));

  PYRT_INLINE static __m512 weight(const SparseEntry& entry) { return _mm512_set1_ps(entry.w); }
  PYRT_INLINE static Register add(Register sum, const float* x, __m512 w) {
    return reinterpret_cast<Register>(
        _mm512_fmadd_ps(w, _mm512_loadu_ps(x), reinterpret_cast<__m512>(sum)));
  }
};

struct Avx512SparseF32 {
  using X = float;
  using P = float;
  using Acc = float;
  using Entry = SparseEntry;
  static constexpr bool kOffset = false;
  static constexpr int kTile = 64, kUnit = 16;
  static constexpr int64_t kBlockK = 192, kGroup = 128, kPlaneBytes = 512 * 1024;

  static void column(const SparseEntry* from, const SparseEntry* to, const float* plane,
                     const int32_t* offsets, int pixels, bool first, float* acc) {
    VectorColumn<MultiplyAdd>::column(from, to, plane, offsets, pixels, first, acc);
  }

  [[gnu::noinline]] static void transpose(const float* acc, int columns, int pixels, float* out) {
    for (int t = 0; t < pixels; t += 16) {
      transpose_columns(acc + t, kTile, columns, out + t * kPanel, [](int row) { return row; });
    }
  }

  static void spread(const float* x, int64_t pixel_step, int64_t count, int64_t C, float* plane,
                     int64_t channel_step) {
    spread_dwords(reinterpret_cast<const char*>(x), pixel_step * 4, count, C, plane, channel_step);
  }
  static float filling(int32_t) { return 0; }

  static void finish(const Epilogue& e, const float* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    finish_f32_avx512(e, acc, ldacc, rows, columns, n, at, ldy);
  }
};

// Zen 4 at 3.4 GHz.
constexpr SparseRates kRates{1.6, 0.2, 0, 5, 0.12, 0.06, 200};

double gemm_ns(const Problem& p) { return sparse_cost_ns<Avx512SparseF32, GemmParams>(kRates, p); }
double conv_ns(const Problem& p) { return sparse_cost_ns<Avx512SparseF32, ConvParams>(kRates, p); }

constexpr Row kRows[] = {
    sparse_row<Avx512SparseF32, GemmParams>("gemm_f32_sparse_f32_64x1x1_avx512", "gemm",
                                            FormRule::kPlain, kPresetAvx512, "sparse_f32_k192",
                                            gemm_ns),
    sparse_row<Avx512SparseF32, ConvParams>("conv_f32_sparse_f32_64x1x1_avx512", "conv",
                                            FormRule::kChannelsLast, kPresetAvx512,
                                            "sparse_f32_k192", conv_ns),
    kWindowsRow,
};

}  // namespace

extern constinit const Table sparse_planes_avx512;
constinit const Table sparse_planes_avx512{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
