// Sparse rows in plain C++. The order of the sums does not matter for s8; the dense scalar rows of
// gemm and conv are the specification.
#include "kernels/sparse_planes/planes-inl.h"

namespace pyrt {
namespace {

template <class XType, class PType, class AccType, class EntryType>
struct ScalarSparse {
  using X = XType;
  using P = PType;
  using Acc = AccType;
  using Entry = EntryType;
  static constexpr bool kOffset = false;
  static constexpr int kTile = 16, kUnit = 16;
  static constexpr int64_t kBlockK = 0, kGroup = kPanel, kPlaneBytes = 192 * 1024;

  static void add(const SparsePair& pair, const int16_t* plane, const int32_t* offsets,
                  int32_t* acc) {
    const int16_t* x0 = plane + offsets[pair.k[0]];
    const int16_t* x1 = plane + offsets[pair.k[1]];
    for (int t = 0; t < kTile; ++t) {
      const auto sum = static_cast<uint32_t>(pair.w[0] * x0[t] + pair.w[1] * x1[t]);
      acc[t] = static_cast<int32_t>(static_cast<uint32_t>(acc[t]) + sum);
    }
  }
  static void add(const SparseEntry& entry, const float* plane, const int32_t* offsets,
                  float* acc) {
    const float* x = plane + offsets[entry.k];
    for (int t = 0; t < kTile; ++t) acc[t] += entry.w * x[t];
  }

  static void column(const Entry* from, const Entry* to, const P* plane, const int32_t* offsets,
                     int, bool, Acc* acc) {
    for (int t = 0; t < kTile; ++t) acc[t] = Acc{0};
    for (; from < to; ++from) add(*from, plane, offsets, acc);
  }
  static void transpose(const Acc* acc, int columns, int, Acc* out) {
    for (int t = 0; t < kTile; ++t) {
      for (int i = 0; i < columns; ++i) out[t * kPanel + i] = acc[i * kTile + t];
    }
  }

  static void spread(const X* x, int64_t pixel_step, int64_t count, int64_t C, P* plane,
                     int64_t channel_step) {
    for (int64_t j = 0; j < count; ++j) {
      for (int64_t c = 0; c < C; ++c) plane[c * channel_step + j] = x[j * pixel_step + c];
    }
  }

  static P filling(int32_t zero_point) { return static_cast<P>(zero_point); }

  static void finish(const Epilogue& e, const Acc* acc, int ldacc, int rows, int columns, int64_t n,
                     int64_t at, int64_t ldy) {
    for (int m = 0; m < rows; ++m) {
      for (int i = 0; i < columns; ++i) {
        const Acc value = acc[m * ldacc + i];
        if constexpr (sizeof(X) == 1) {
          finish_s32(e, static_cast<uint32_t>(value), n + i, at + m * ldy + i);
        } else {
          finish_f32(e, value, n + i, at + m * ldy + i);
        }
      }
    }
  }
};

using ScalarS8 = ScalarSparse<int8_t, int16_t, int32_t, SparsePair>;
using ScalarF32 = ScalarSparse<float, float, float, SparseEntry>;

// Baseline SSE2 on Zen 3: about a tenth of the AVX2 rates.
constexpr SparseRates kS8{10, 0, 0, 3, 2.0, 1.0, 100};
constexpr SparseRates kF32{2.7, 0, 0, 3, 1.5, 1.0, 100};

double s8_gemm_ns(const Problem& p) { return sparse_cost_ns<ScalarS8, GemmParams>(kS8, p); }
double s8_conv_ns(const Problem& p) { return sparse_cost_ns<ScalarS8, ConvParams>(kS8, p); }
double f32_gemm_ns(const Problem& p) { return sparse_cost_ns<ScalarF32, GemmParams>(kF32, p); }
double f32_conv_ns(const Problem& p) { return sparse_cost_ns<ScalarF32, ConvParams>(kF32, p); }
double s8_vector_ns(const Problem& p) { return sparse_vector_cost_ns<ScalarS8>(0.6, p); }
double f32_vector_ns(const Problem& p) { return sparse_vector_cost_ns<ScalarF32>(0.5, p); }

constexpr Row kRows[] = {
    sparse_row<ScalarS8, GemmParams>("gemm_s8_sparse_s32_16x1x2_scalar", "gemm", FormRule::kPlain,
                                     kPresetScalar, "sparse_s8", s8_gemm_ns),
    sparse_row<ScalarF32, GemmParams>("gemm_f32_sparse_f32_16x1x1_scalar", "gemm", FormRule::kPlain,
                                      kPresetScalar, "sparse_f32", f32_gemm_ns),
    sparse_vector_row<ScalarS8>("gemm_s8_sparse_s32_1x1x2_scalar", kPresetScalar, "sparse_s8",
                                s8_vector_ns),
    sparse_vector_row<ScalarF32>("gemm_f32_sparse_f32_1x1x1_scalar", kPresetScalar, "sparse_f32",
                                 f32_vector_ns),
    sparse_row<ScalarS8, ConvParams>("conv_s8_sparse_s32_16x1x2_scalar", "conv",
                                     FormRule::kChannelsLast, kPresetScalar, "sparse_s8",
                                     s8_conv_ns),
    sparse_row<ScalarF32, ConvParams>("conv_f32_sparse_f32_16x1x1_scalar", "conv",
                                      FormRule::kChannelsLast, kPresetScalar, "sparse_f32",
                                      f32_conv_ns),
};

}  // namespace

extern constinit const Table sparse_planes_scalar;
constinit const Table sparse_planes_scalar{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
