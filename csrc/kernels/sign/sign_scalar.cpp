// gemm_sign in plain loops on the operands as they are: the specification.
#include "kernels/sign/sign.h"

namespace pyrt {
namespace {

int64_t tasks(const Problem& problem) { return problem.as<SignParams>().M; }

double cost_ns(const Problem& problem) {
  const auto& p = problem.as<SignParams>();
  return 100 + static_cast<double>(p.M * p.N) * static_cast<double>(p.K + 1);
}

void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const auto& p = problem.as<SignParams>();
  const auto* w = static_cast<const uint8_t*>(call.inputs[kSignW]);
  const auto* scale = static_cast<const float*>(call.inputs[kSignScale]);
  const int64_t row_bytes = (p.K + 7) / 8;
  for (int64_t m = begin; m < end; ++m) {
    const float* x = static_cast<const float*>(call.inputs[kSignA]) + m * p.K;
    for (int64_t n = 0; n < p.N; ++n) {
      int32_t sum = 0;
      for (int64_t k = 0; k < p.K; ++k) {
        const int32_t sign = (x[k] > 0 ? 1 : 0) - (x[k] < 0 ? 1 : 0);
        const bool negative = (w[n * row_bytes + k / 8] >> (k % 8) & 1) != 0;
        sum += negative ? -sign : sign;
      }
      const float value = static_cast<float>(sum) * scale[n];
      static_cast<float*>(call.outputs[0])[m * p.N + n] =
          problem.has_input(kSignBias)
              ? value + static_cast<const float*>(call.inputs[kSignBias])[n]
              : value;
    }
  }
}

constexpr Row kRows[] = {{.name = "gemm_sign_f32_u1_f32_scalar",
                          .family = "gemm_sign",
                          .exactness = Exactness::kExact,
                          .cost_ns = cost_ns,
                          .tasks = tasks,
                          .run = run}};

}  // namespace

extern constinit const Table sign_scalar;
constinit const Table sign_scalar{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
