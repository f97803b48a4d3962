// lstm and gru for AVX-512.
#include "kernels/gemm/gemm_avx512vnni-inl.h"
#include "kernels/recurrent/recurrent_rows-inl.h"

namespace pyrt {
namespace {

constexpr double kCellNs = 1.5;  // of one cell: its sigmoids and tanhs

double cost(const Problem& problem) {
  const auto& p = problem.as<RecurrentParams>();
  const auto N = static_cast<double>(p.N), H = static_cast<double>(p.H);
  const auto width = static_cast<double>(problem.inputs[kRecurrent].dims[0]);
  return 60 + static_cast<double>(p.T) *
                  (N * H * kCellNs + product_ns_avx512(kAvx512F32Rates, N, width, H, false));
}

constexpr Row kRows[] = {
    RecurrentRows<Avx512F32, Float16, false>::row("gru_f32_6x64x1_avx512vnni", kPresetAvx512Vnni,
                                                  cost),
    RecurrentRows<Avx512F32, Float16, true>::row("lstm_f32_6x64x1_avx512vnni", kPresetAvx512Vnni,
                                                 cost),
};

}  // namespace

extern constinit const Table recurrent_avx512vnni;
constinit const Table recurrent_avx512vnni{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
