// lstm and gru for AVX2.
#include "kernels/gemm/gemm_avx2-inl.h"
#include "kernels/recurrent/recurrent_rows-inl.h"

namespace pyrt {
namespace {

struct Cost {
  static constexpr double kCellNs = 2.5;
  static double product_ns(double M, double N, double K, bool prepare) {
    return pyrt::product_ns(kAvx2F32Rates, M, N, K, prepare);
  }
};

constexpr Row kRows[] = {
    RecurrentRows<Avx2F32, Float8, false>::row<Cost>("gru_f32_6x16x1_avx2", kPresetAvx2),
    RecurrentRows<Avx2F32, Float8, true>::row<Cost>("lstm_f32_6x16x1_avx2", kPresetAvx2),
};

}  // namespace

extern constinit const Table recurrent_avx2;
constinit const Table recurrent_avx2{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
