// lstm and gru by plain loops.
#include "kernels/recurrent/recurrent-inl.h"

namespace pyrt {
namespace {

struct PlainProduct {
  static void multiply(const Problem& problem, const Call& call, const float* h, int64_t first,
                       int64_t columns, const float* add, const float* bias, float* y, int64_t ld) {
    const auto& p = problem.as<RecurrentParams>();
    const float* r = static_cast<const float*>(call.inputs[kRecurrent]) + first * p.H;
    for (int64_t m = 0; m < p.N; ++m) {
      for (int64_t n = 0; n < columns; ++n) {
        float sum = 0;
        for (int64_t k = 0; k < p.H; ++k) sum += h[m * p.H + k] * r[n * p.H + k];
        if (bias != nullptr) sum += bias[n];
        if (add != nullptr) sum += add[m * ld + n];
        y[m * ld + n] = sum;
      }
    }
  }
};

double cost(const Problem& problem) {
  const auto& p = problem.as<RecurrentParams>();
  const auto weights = static_cast<double>(problem.inputs[kRecurrent].dims.count());
  return 60 + static_cast<double>(p.T * p.N) * (weights + 60 * static_cast<double>(p.H));
}

constexpr Row kRows[] = {
    {.name = "gru_f32_scalar",
     .family = "gru",
     .exactness = Exactness::kFast,
     .cost_ns = cost,
     .scratch_bytes = gru_scratch_bytes,
     .run = run_gru<float, PlainProduct>},
    {.name = "lstm_f32_scalar",
     .family = "lstm",
     .exactness = Exactness::kFast,
     .cost_ns = cost,
     .scratch_bytes = lstm_scratch_bytes,
     .run = run_lstm<float, PlainProduct>},
};

}  // namespace

extern constinit const Table recurrent_scalar;
constinit const Table recurrent_scalar{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
