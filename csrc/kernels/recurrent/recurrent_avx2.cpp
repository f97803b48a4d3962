// lstm and gru for AVX2.
#include "kernels/gemm/gemm_avx2-inl.h"
#include "kernels/recurrent/recurrent_rows-inl.h"

namespace pyrt {
namespace {

constexpr double kCellNs = 2.5;  // of one cell: its sigmoids and tanhs

double cost(const Problem& problem) {
  const auto& p = problem.as<RecurrentParams>();
  const auto N = static_cast<double>(p.N), H = static_cast<double>(p.H);
  const auto width = static_cast<double>(problem.inputs[kRecurrent].dims[0]);
  return 60 + static_cast<double>(p.T) *
                  (N * H * kCellNs + product_ns(kAvx2F32Rates, N, width, H, false));
}

constexpr Row kRows[] = {
    RecurrentRows<Avx2F32, Float8, false>::row("gru_f32_6x16x1_avx2", kPresetAvx2, cost),
    RecurrentRows<Avx2F32, Float8, true>::row("lstm_f32_6x16x1_avx2", kPresetAvx2, cost),
};

}  // namespace

extern constinit const Table recurrent_avx2;
constinit const Table recurrent_avx2{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
