// Narrow rows in plain C++; the dense scalar row of gemm is the specification.
#include "kernels/narrow/narrow-inl.h"

namespace pyrt {
namespace {

struct ScalarNarrow {
  static constexpr int rows(int) { return 1; }
  static constexpr int panels(int, int) { return 1; }

  template <int kBits>
  static void tile(int, int, const int8_t* const* a, const uint8_t* w, int64_t blocks,
                   int32_t* acc) {
    constexpr int kFields = 8 / kBits;
    memset(acc, 0, kPanel * sizeof(*acc));
    for (int64_t b = 0; b < blocks; ++b, w += kNarrowBlock) {
      for (int f = 0; f < kFields; ++f) {
        const int8_t* x = a[0] + (b * kFields + f) * 4;
        for (int i = 0; i < kPanel; ++i) {
          for (int j = 0; j < 4; ++j) {
            acc[i] += x[j] * (w[4 * i + j] >> (f * kBits) & ((1 << kBits) - 1));
          }
        }
      }
    }
  }

  static void finish(const Epilogue& e, const int32_t* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    for (int m = 0; m < rows; ++m) {
      for (int i = 0; i < columns; ++i) {
        finish_s32(e, static_cast<uint32_t>(acc[m * ldacc + i]), n + i, at + m * ldy + i);
      }
    }
  }
};

constexpr NarrowRates kRates{1, 1.2, 2, 100};

template <int kBits>
double cost_ns(const Problem& p) {
  return narrow_cost_ns<ScalarNarrow, kBits>(kRates, p);
}

constexpr Row kRows[] = {
    narrow_row<ScalarNarrow, 4>("gemm_s8_u4_s32_1x16x8_scalar", kPresetScalar, cost_ns<4>),
    narrow_row<ScalarNarrow, 2>("gemm_s8_u2_s32_1x16x16_scalar", kPresetScalar, cost_ns<2>),
    narrow_row<ScalarNarrow, 1>("gemm_s8_u1_s32_1x16x32_scalar", kPresetScalar, cost_ns<1>),
};

}  // namespace

extern constinit const Table narrow_scalar;
constinit const Table narrow_scalar{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
