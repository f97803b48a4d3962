// lstm and gru for AVX-512.
#include "kernels/gemm/gemm_avx512vnni-inl.h"
#include "kernels/recurrent/recurrent_rows-inl.h"
#include "kernels/recurrent/recurrent_windows-inl.h"

namespace pyrt {
namespace {

struct Cost {
  static constexpr double kCellNs = 1.5;
  static double product_ns(double M, double N, double K, bool prepare) {
    return product_ns_avx512(kAvx512F32Rates, M, N, K, prepare);
  }
};

constexpr Row kRows[] = {
    RecurrentWindows<Float16, false>::row<Cost>("gru_f32_windows_4x16x1_avx512vnni",
                                                kPresetAvx512Vnni),
    RecurrentWindows<Float16, true>::row<Cost>("lstm_f32_windows_4x16x1_avx512vnni",
                                               kPresetAvx512Vnni),
    RecurrentRows<Avx512F32, Float16, false>::row<Cost>("gru_f32_6x64x1_avx512vnni",
                                                        kPresetAvx512Vnni),
    RecurrentRows<Avx512F32, Float16, true>::row<Cost>("lstm_f32_6x64x1_avx512vnni",
                                                       kPresetAvx512Vnni),
};

}  // namespace

extern constinit const Table recurrent_avx512vnni;
constinit const Table recurrent_avx512vnni{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
