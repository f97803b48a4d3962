// Rows of gemm for weights of few values: the harness compares every row with the dense scalar one.
#include "harness.h"

namespace pyrt::test {
namespace {

// Weights are lo + step * u, u below `levels`.
struct Values {
  const char* name;
  int64_t lo, step, levels;
};
const Values kValues[] = {{"int4", -8, 1, 16},           {"7 of int4", -3, 1, 7},
                          {"steps of 16", -112, 16, 15}, {"ternary", -1, 1, 3},
                          {"2 bits", -2, 1, 4},          {"ternary of 127", -127, 127, 3},
                          {"binary", -1, 2, 2},          {"binary of 127", -127, 254, 2},
                          {"0 or -128", -128, 128, 2},   {"one value", 5, 1, 1}};

Tensor draw(Random& random, const Values& v, const std::vector<int64_t>& dims) {
  Tensor t = random.s8(dims, 0, v.levels - 1);
  for (uint8_t& byte : t.bytes) byte = static_cast<uint8_t>(v.lo + v.step * byte);
  return t;
}

struct Shape {
  int64_t M, N, K;
};
const Shape kShapes[] = {{1, 1, 1},    {1, 16, 8},  {1, 130, 65}, {2, 17, 33},
                         {3, 64, 128}, {4, 65, 96}, {1, 80, 32},  {1, 257, 31},
                         {4, 33, 129}, {2, 40, 0},  {0, 8, 8},    {1, 0, 8}};

}  // namespace

PYRT_TEST(narrow_gemm_rows) {
  Random random(41);
  for (const Values& values : kValues) {
    int variant = 0;
    for (const Shape& s : kShapes) {
      const bool trans_b = ++variant % 2 == 1;
      Step step("gemm");
      step.input(random.s8({s.M, s.K}));
      const std::vector<int64_t> dims = trans_b ? std::vector{s.N, s.K} : std::vector{s.K, s.N};
      step.input(draw(random, values, dims), Role::kConstant);
      step.input(random.s32({s.N}, -3000, 3000), Role::kConstant);
      if (variant % 3 == 0) {
        step.output(DType::kS32, {s.M, s.N});
      } else {
        step.input(random.f32({s.N}, 0.001f, 0.004f), Role::kConstant);
        if (variant % 3 == 1) {
          step.input(random.s8({s.M, s.N})).input(random.f32({1}, 0.2f, 2), Role::kConstant);
        }
        step.output(variant % 3 == 1 ? DType::kS8 : DType::kF32, {s.M, s.N});
      }
      step.set("trans_b", int64_t{trans_b}).set("x_zero_point", random.integer(-128, 127));
      step.set("y_zero_point", random.integer(-128, 127));
      step.check_rows(std::string("narrow gemm, ") + values.name + ", " + std::to_string(s.M) +
                      "x" + std::to_string(s.N) + "x" + std::to_string(s.K));
      if (s.N * s.K == 0) continue;  // nothing to pack
      expect(step.reason_against("gemm_s8_u4_s32_1x16x8_scalar") == nullptr, "4 bits refused");
    }
  }
}

// Sums as large as they can be, of both signs.
PYRT_TEST(narrow_gemm_extremes) {
  Random random(42);
  for (const Values& values : kValues) {
    for (const int64_t a : {-128, 127}) {
      Step step("gemm");
      step.input(random.s8({1, 131072}, a, a));
      Tensor w = draw(random, values, {131072, 2});
      for (int64_t k = 0; k < 131072; ++k) {
        w.bytes[static_cast<size_t>(2 * k)] =
            static_cast<uint8_t>(values.lo + values.step * (values.levels - 1));
      }
      step.input(w, Role::kConstant).output(DType::kS32, {1, 2});
      step.check_rows(std::string("extreme narrow gemm, ") + values.name);
    }
  }
}

PYRT_TEST(narrow_gemm_refusals) {
  Random random(43);
  const auto refused = [&](int64_t M, const Tensor& w, Role role, const char* row) {
    Step step("gemm");
    step.input(random.s8({M, w.dims[0]})).input(w, role);
    step.output(DType::kS32, {M, w.dims[1]});
    return step.reason_against(row) != nullptr;
  };
  const Tensor ternary = draw(random, kValues[3], {64, 16});
  const char* u4 = "gemm_s8_u4_s32_1x16x8_scalar";
  const char* u2 = "gemm_s8_u2_s32_1x16x16_scalar";
  const char* u1 = "gemm_s8_u1_s32_1x16x32_scalar";
  expect(!refused(4, ternary, Role::kConstant, u4), "4 rows of ternary refused at 4 bits");
  expect(!refused(4, ternary, Role::kConstant, u2), "4 rows of ternary refused at 2 bits");
  expect(refused(4, ternary, Role::kConstant, u1), "ternary taken at 1 bit");
  expect(refused(5, ternary, Role::kConstant, u2), "5 rows taken");
  expect(refused(1, ternary, Role::kActivation, u2), "computed weights taken");
  expect(refused(1, draw(random, kValues[0], {64, 16}), Role::kConstant, u2), "int4 at 2 bits");
  Tensor outlier = draw(random, kValues[0], {640, 16});  // the last one, after thousands that fit
  outlier.bytes.back() = 8;
  outlier.bytes.front() = static_cast<uint8_t>(-8);
  expect(refused(1, outlier, Role::kConstant, u4), "17 levels at 4 bits");
}

}  // namespace pyrt::test
