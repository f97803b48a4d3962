// gemm in plain loops: the specification of the s8 rows, and the fall-back of CPUs without a vector
// row.
#include "kernels/common/epilogue-inl.h"
#include "kernels/gemm/gemm.h"

namespace pyrt {
namespace {

// One multiply-add of this code, measured on Zen 3 at 3.4 GHz; only its order of magnitude matters,
// so that any vector row wins.
constexpr double kNsPerMac = 0.6;
constexpr double kCallNs = 50;

const char* supports_f32(const Problem& problem) {
  return problem.as<GemmParams>().epilogue.integer ? "the operands are s8" : nullptr;
}
const char* supports_s8(const Problem& problem) {
  return problem.as<GemmParams>().epilogue.integer ? nullptr : "the operands are f32";
}

double cost_ns(const Problem& problem) {
  const auto& p = problem.as<GemmParams>();
  return kCallNs + kNsPerMac * static_cast<double>(p.batch * p.M) * static_cast<double>(p.N) *
                       static_cast<double>(p.K + 1);
}

int64_t tasks(const Problem& problem) {  // one row of y each
  const auto& p = problem.as<GemmParams>();
  return p.batch * p.M;
}

// T: element of a and w. Acc: uint32_t (modulo 2^32) or float.
template <class T, class Acc>
void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const auto& p = problem.as<GemmParams>();
  const Epilogue e = make_epilogue(p.epilogue, problem, call, nullptr);
  const int64_t a_m = p.trans_a ? 1 : p.K;
  const int64_t a_k = p.trans_a ? p.M : 1;
  const int64_t w_k = p.trans_b ? 1 : p.N;
  const int64_t w_n = p.trans_b ? p.K : 1;
  const T zero_point = static_cast<T>(p.epilogue.x_zero_point);
  for (int64_t task = begin; task < end; ++task) {
    int64_t a_offset, w_offset;
    p.offsets(task / p.M, &a_offset, &w_offset);
    const T* a = static_cast<const T*>(call.inputs[kInputX]) + a_offset + task % p.M * a_m;
    const T* w = static_cast<const T*>(call.inputs[kInputW]) + w_offset;
    for (int64_t n = 0; n < p.N; ++n) {
      Acc acc = 0;
      for (int64_t k = 0; k < p.K; ++k) {
        acc += static_cast<Acc>(a[k * a_k] - zero_point) * static_cast<Acc>(w[k * w_k + n * w_n]);
      }
      if constexpr (sizeof(T) == 1) {
        finish_s32(e, acc, n, task * p.N + n);
      } else {
        finish_f32(e, acc, n, task * p.N + n);
      }
    }
  }
}

constexpr Row kRows[] = {
    {.name = "gemm_f32_f32_f32_scalar",
     .family = "gemm",
     .exactness = Exactness::kFast,
     .supports = supports_f32,
     .cost_ns = cost_ns,
     .tasks = tasks,
     .run = run<float, float>},
    {.name = "gemm_s8_s8_s32_scalar",
     .family = "gemm",
     .exactness = Exactness::kExact,
     .supports = supports_s8,
     .cost_ns = cost_ns,
     .tasks = tasks,
     .run = run<int8_t, uint32_t>},
};

}  // namespace

extern constinit const Table gemm_scalar;
constinit const Table gemm_scalar{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
