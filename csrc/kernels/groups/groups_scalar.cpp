// gemm_groups in plain loops on the operands as they are: the specification.
#include "kernels/groups/groups.h"
#include "kernels/groups/quantize_groups-inl.h"
#include "kernels/groups/scales-inl.h"

namespace pyrt {
namespace {

int64_t tasks(const Problem& problem) { return problem.as<GroupsParams>().M; }

// One row's s8 values, scales and sums.
size_t scratch_bytes(const Problem& problem) {
  const auto& p = problem.as<GroupsParams>();
  return static_cast<size_t>(p.G * (p.group + 8));
}

double cost_ns(const Problem& problem) {
  const auto& p = problem.as<GroupsParams>();
  return 100 + 1.5 * static_cast<double>(p.M * p.N) * static_cast<double>(p.K + 1);
}

float element(const Problem& problem, const Call& call, const QuantizedRows& a, int64_t n) {
  const auto& p = problem.as<GroupsParams>();
  const auto* w = static_cast<const uint8_t*>(call.inputs[kGroupsW]);
  const bool has_zero = problem.has_input(kGroupsZero);
  const int64_t per_byte = 8 / p.bits, group_bytes = p.group / per_byte;
  float acc = 0;
  for (int64_t g = 0; g < p.G; ++g) {
    const int64_t at = n * p.G + g;
    const int32_t zero =
        has_zero ? static_cast<const uint8_t*>(call.inputs[kGroupsZero])[at] : 1 << (p.bits - 1);
    int32_t dot = 0;
    for (int64_t k = 0; k < p.group; ++k) {
      const int32_t byte = w[at * group_bytes + k / per_byte];
      const int32_t u = byte >> (k % per_byte * p.bits) & ((1 << p.bits) - 1);
      dot += a.q[g * p.group + k] * (u - zero);
    }
    acc = acc + static_cast<float>(dot) * a.scale[g] *
                    group_scale(problem, call.inputs[kGroupsScale], at);
  }
  return problem.has_input(kGroupsBias)
             ? acc + static_cast<const float*>(call.inputs[kGroupsBias])[n]
             : acc;
}

void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const auto& p = problem.as<GroupsParams>();
  auto* scale = static_cast<float*>(call.scratch);
  auto* total = reinterpret_cast<int32_t*>(scale + p.G);
  const QuantizedRows a{reinterpret_cast<int8_t*>(total + p.G), scale, total};
  for (int64_t m = begin; m < end; ++m) {
    const float* x = static_cast<const float*>(call.inputs[kGroupsA]) + m * p.K;
    quantize_rows_by_group(p, x, 1, a, quantize_group);
    float* y = static_cast<float*>(call.outputs[0]) + m * p.N;
    for (int64_t n = 0; n < p.N; ++n) y[n] = element(problem, call, a, n);
  }
}

constexpr Row kRows[] = {{.name = "gemm_groups_f32_u8_f32_scalar",
                          .family = "gemm_groups",
                          .exactness = Exactness::kCanonical,
                          .cost_ns = cost_ns,
                          .tasks = tasks,
                          .scratch_bytes = scratch_bytes,
                          .run = run}};

}  // namespace

extern constinit const Table groups_scalar;
constinit const Table groups_scalar{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
