// gemm: every row against the scalar one, the scalar one against a double reference, and hostile
// steps.
#include <cmath>

#include "harness.h"

namespace pyrt::test {
namespace {

struct Shape {
  int64_t M, N, K;
};

// Tile borders of all ISAs (6 or 14 rows, 16 to 64 columns, k in pairs and quads), and odd sizes
// around them.
const Shape kShapes[] = {{1, 1, 1},    {1, 16, 2},  {1, 67, 33},  {2, 15, 3},   {3, 17, 5},
                         {4, 64, 64},  {5, 31, 7},  {6, 16, 8},   {7, 48, 31},  {12, 33, 20},
                         {13, 80, 65}, {16, 16, 1}, {31, 130, 9}, {97, 5, 40},  {1, 200, 128},
                         {0, 4, 3},    {3, 0, 2},   {3, 4, 0},    {6, 64, 300}, {2, 115, 6},
                         {3, 120, 10}, {9, 70, 12}, {14, 56, 9}};

const double kInfinity = INFINITY;

Tensor scales(Random& random, int64_t n, int64_t K) {
  const float typical = 1.0f / (60.0f * std::sqrt(static_cast<float>(K) + 1.0f));
  return random.f32({n}, typical * 0.5f, typical * 2.0f);
}

std::string name_of(const Shape& s, const char* what) {
  return std::string(what) + " " + std::to_string(s.M) + "x" + std::to_string(s.N) + "x" +
         std::to_string(s.K);
}

}  // namespace

PYRT_TEST(gemm_f32_matches_double) {
  Random random(1);
  for (const Shape& s : kShapes) {
    const Tensor a = random.f32({s.M, s.K});
    const Tensor w = random.f32({s.K, s.N});
    const Tensor bias = random.f32({s.N});
    Step step("gemm");
    step.input(a).input(w, Role::kConstant).input(bias, Role::kConstant);
    step.output(DType::kF32, {s.M, s.N});
    const Tensor y = step.scalar_output();
    for (int64_t i = 0; i < s.M * s.N; ++i) {
      double sum = bias.data<float>()[i % s.N];
      for (int64_t k = 0; k < s.K; ++k) {
        sum += double{a.data<float>()[i / s.N * s.K + k]} * w.data<float>()[k * s.N + i % s.N];
      }
      expect(std::abs(sum - y.data<float>()[i]) < 1e-5 * (1 + std::sqrt(double(s.K))),
             name_of(s, "scalar f32 gemm is off"));
    }
  }
}

PYRT_TEST(gemm_s8_matches_integers) {
  Random random(2);
  const Shape s{5, 9, 11};
  const Tensor a = random.s8({s.M, s.K});
  const Tensor w = random.s8({s.K, s.N});
  Step step("gemm");
  step.input(a).input(w, Role::kConstant).output(DType::kS32, {s.M, s.N});
  step.set("x_zero_point", int64_t{-7});
  const Tensor y = step.scalar_output();
  for (int64_t i = 0; i < s.M * s.N; ++i) {
    int32_t sum = 0;
    for (int64_t k = 0; k < s.K; ++k) {
      sum += (a.data<int8_t>()[i / s.N * s.K + k] + 7) * w.data<int8_t>()[k * s.N + i % s.N];
    }
    expect(sum == y.data<int32_t>()[i], "scalar s8 gemm is off");
  }
}

PYRT_TEST(gemm_f32_rows) {
  Random random(3);
  for (const Shape& s : kShapes) {
    for (int variant = 0; variant < 8; ++variant) {
      const bool trans_a = (variant & 1) != 0;
      const bool trans_b = (variant & 2) != 0;
      const Role role = (variant & 4) != 0 ? Role::kActivation : Role::kConstant;
      Step step("gemm");
      step.input(random.f32(trans_a ? std::vector{s.K, s.M} : std::vector{s.M, s.K}));
      step.input(random.f32(trans_b ? std::vector{s.N, s.K} : std::vector{s.K, s.N}), role);
      step.set("trans_a", int64_t{trans_a}).set("trans_b", int64_t{trans_b});
      if ((variant & 1) == 0) {
        step.input(random.f32({s.N}), Role::kConstant);
      } else {
        step.absent();
      }
      step.absent();
      if ((variant & 2) == 0) step.input(random.f32({s.M, s.N}));
      if (variant % 3 == 0) step.set("lo", -0.5).set("hi", 0.75);
      step.output(DType::kF32, {s.M, s.N});
      step.check_rows(name_of(s, "f32"), 2e-6, 1 + std::sqrt(double(s.K)));
    }
  }
}

// Every value a half float has, but NaNs: subnormals, zeros of both signs, infinities.
PYRT_TEST(gemm_f16_weights_give_the_bytes_of_f32) {
  constexpr const char* kFloats = "gemm_f32_f32_f32_6x16x1_avx2";
  constexpr const char* kHalves = "gemm_f32_f16_f32_6x16x1_avx2";
  Random random(8);
  for (const Shape& s : kShapes) {
    Tensor w = empty(DType::kF32, {s.K, s.N});
    for (int64_t i = 0; i < s.K * s.N; ++i) {
      const auto exponent = static_cast<int>(random.integer(0, 30));
      const auto fraction = static_cast<double>(random.integer(0, 1023));
      const double size =
          exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
      w.data<float>()[i] = static_cast<float>(random.integer(0, 1) == 0 ? size : -size);
    }
    if (s.K * s.N > 100) w.data<float>()[s.N / 2] = -INFINITY;  // a column of infinities
    if (s.K * s.N > 100) w.data<float>()[s.N / 2 + 1] = std::ldexp(1.0f, -24);
    for (const bool bias : {false, true}) {
      Step step("gemm");
      step.input(random.f32({s.M, s.K}, 0.5f, 1)).input(w, Role::kConstant);
      if (bias) step.input(random.f32({s.N}), Role::kConstant);
      step.output(DType::kF32, {s.M, s.N});
      expect(s.K * s.N == 0 || step.reason_against(kHalves) == nullptr,
             name_of(s, "halves are refused"));
      bool ran = false;
      const Tensor wide = step.output_of(kFloats, &ran);
      const Tensor halves = step.output_of(kHalves, &ran);
      expect(!ran || wide.bytes == halves.bytes, name_of(s, "halves give other bytes"));
      step.check_rows(name_of(s, "f16"), 2e-6, 4e4 * (1 + std::sqrt(double(s.K))));
    }
  }
}

PYRT_TEST(gemm_f16_weights_are_refused_where_they_would_lose) {
  constexpr const char* kHalves = "gemm_f32_f16_f32_6x16x1_avx2";
  bool ran = false;
  const auto step = [](float value, Role role) {
    Tensor w = empty(DType::kF32, {5, 3});
    w.data<float>()[14] = value;
    Step s("gemm");
    s.input(empty(DType::kF32, {2, 5})).input(w, role).output(DType::kF32, {2, 3});
    return s;
  };
  step(1, Role::kConstant).output_of(kHalves, &ran);
  if (!ran) return;  // a CPU or build without the row
  expect(step(1, Role::kConstant).reason_against(kHalves) == nullptr, "1 is a half");
  const float lost[] = {1.0f + std::ldexp(1.0f, -11), 65520.0f, std::ldexp(1.0f, -25),
                        std::ldexp(1.0f, -130), 0.1f};
  for (const float value : lost) {
    expect(step(value, Role::kConstant).reason_against(kHalves) != nullptr,
           "taken for a half: " + std::to_string(value));
  }
  expect(step(1, Role::kActivation).reason_against(kHalves) != nullptr, "computed weights");
}

// Few rows with computed weights: rows of w longer and shorter than what is walked in parts, and
// every remainder of columns and of K.
PYRT_TEST(gemm_f32_few_rows_rows) {
  Random random(9);
  const Shape shapes[] = {{1, 1030, 70}, {2, 2100, 33}, {3, 513, 65}, {4, 600, 1},
                          {5, 77, 19},   {6, 1024, 40}, {7, 21, 30},  {8, 50, 12}};
  for (const Shape& s : shapes) {
    for (int variant = 0; variant < 8; ++variant) {
      const bool trans_b = (variant & 1) != 0;
      const int64_t batch = (variant & 2) != 0 ? 3 : 1;
      Step step("gemm");
      step.input(random.f32({batch, s.M, s.K}));
      step.input(random.f32(trans_b ? std::vector{batch, s.N, s.K} : std::vector{batch, s.K, s.N}));
      step.set("trans_b", int64_t{trans_b});
      if ((variant & 4) != 0) {
        step.input(random.f32({s.N}), Role::kConstant).absent();
        step.input(random.f32({batch, s.M, s.N})).set("lo", -0.5).set("hi", 0.75);
      }
      step.output(DType::kF32, {batch, s.M, s.N});
      step.check_rows(name_of(s, "few rows"), 2e-6, 1 + std::sqrt(double(s.K)));
    }
  }
}

PYRT_TEST(gemm_f32_nan_and_infinity_pass_the_clamp) {
  Random random(4);
  Tensor a = random.f32({7, 3});
  a.data<float>()[4] = NAN;
  a.data<float>()[9] = kInfinity;
  Step step("gemm");
  step.input(a).input(random.f32({3, 20}, 0.5f, 1), Role::kConstant).set("lo", 0.0).set("hi", 6.0);
  step.output(DType::kF32, {7, 20});
  const Tensor y = step.scalar_output();
  expect(std::isnan(y.data<float>()[20]) && y.data<float>()[60] == 6, "NaN or infinity is lost");
  step.check_rows("NaN", 2e-6);
}

PYRT_TEST(gemm_s8_rows) {
  Random random(5);
  for (const Shape& s : kShapes) {
    for (int variant = 0; variant < 16; ++variant) {
      const bool trans_a = (variant & 1) != 0;
      const bool trans_b = (variant & 2) != 0;
      const int output = variant % 3;  // s32, s8, f32
      const bool extreme = variant == 5;
      const int64_t least = extreme ? -128 : -127;
      const int64_t most = extreme ? -128 : 127;
      Step step("gemm");
      step.input(random.s8(trans_a ? std::vector{s.K, s.M} : std::vector{s.M, s.K}, least, most));
      step.input(random.s8(trans_b ? std::vector{s.N, s.K} : std::vector{s.K, s.N}, least, most),
                 (variant & 4) != 0 ? Role::kActivation : Role::kConstant);
      if ((variant & 8) != 0) {
        step.input(random.s32({s.N}, -3000, 3000), Role::kConstant);
      } else {
        step.absent();
      }
      if (output != 0) {
        step.input(scales(random, variant % 2 == 0 ? s.N : 1, s.K), Role::kConstant);
        if (variant % 4 == 1) {
          step.input(random.s8({s.M, s.N})).input(random.f32({1}, 0.2f, 2), Role::kConstant);
        }
        if (variant % 4 == 2 && output == 2) step.input(random.f32({s.M, s.N}));
      }
      const DType dtypes[] = {DType::kS32, DType::kS8, DType::kF32};
      step.output(dtypes[output], {s.M, s.N});
      step.set("trans_a", int64_t{trans_a}).set("trans_b", int64_t{trans_b});
      step.set("x_zero_point", random.integer(-128, 127));
      step.set("y_zero_point", random.integer(-128, 127));
      step.set("residual_zero_point", random.integer(-128, 127));
      if (variant % 5 == 0) {
        step.set("q_lo", int64_t{-90}).set("q_hi", int64_t{101}).set("lo", -0.5).set("hi", 1.0);
      }
      step.check_rows(name_of(s, "s8") + " variant " + std::to_string(variant));
    }
  }
}

PYRT_TEST(gemm_batches) {
  Random random(6);
  const std::vector<std::vector<int64_t>> a = {{2, 3, 5, 8}, {2, 1, 5, 8}, {5, 8}, {0, 3, 5, 8}};
  const std::vector<std::vector<int64_t>> w = {{2, 3, 8, 9}, {3, 8, 9}, {2, 3, 8, 9}, {8, 9}};
  const std::vector<std::vector<int64_t>> y = {
      {2, 3, 5, 9}, {2, 3, 5, 9}, {2, 3, 5, 9}, {0, 3, 5, 9}};
  for (size_t i = 0; i < a.size(); ++i) {
    for (const Role role : {Role::kActivation, Role::kConstant}) {
      Step real("gemm");
      real.input(random.f32(a[i])).input(random.f32(w[i]), role).output(DType::kF32, y[i]);
      real.check_rows("f32 batch " + std::to_string(i), 2e-6);
      Step quantized("gemm");
      quantized.input(random.s8(a[i])).input(random.s8(w[i]), role).absent();
      quantized.input(random.f32({1}, 0.01f, 0.02f), Role::kConstant).output(DType::kS8, y[i]);
      quantized.set("x_zero_point", int64_t{3});
      quantized.check_rows("s8 batch " + std::to_string(i));
    }
  }
}

PYRT_TEST(gemm_refuses_hostile_steps) {
  const auto step = [](DType dtype, std::vector<int64_t> a, std::vector<int64_t> w, DType out,
                       std::vector<int64_t> y) {
    Step s("gemm");
    s.input(empty(dtype, a)).input(empty(dtype, w), Role::kConstant).output(out, y);
    return s;
  };
  const DType f32 = DType::kF32;
  const DType s8 = DType::kS8;
  expect_error(step(f32, {2, 3}, {4, 5}, f32, {2, 5}).prepare(), Code::kShape, "K = 3");
  expect_error(step(f32, {2, 3}, {3, 5}, f32, {2, 6}).prepare(), Code::kShape, "the product is");
  expect_error(step(f32, {3}, {3, 5}, f32, {1, 5}).prepare(), Code::kShape, "at least 2");
  expect_error(step(f32, {2, 4, 3}, {3, 3, 5}, f32, {2, 4, 5}).prepare(), Code::kShape,
               "broadcast");
  expect_error(step(s8, {2, 3}, {3, 5}, s8, {2, 5}).prepare(), Code::kDType, "without a scale");
  expect_error(step(f32, {2, 3}, {3, 5}, s8, {2, 5}).prepare(), Code::kDType, "f32 gives f32");
  Step scale = step(s8, {2, 3}, {3, 5}, s8, {2, 5});
  scale.absent().input(empty(f32, {5}), Role::kConstant);
  expect_error(scale.prepare(), Code::kFormat, "positive");
  Step count = step(s8, {2, 3}, {3, 5}, s8, {2, 5});
  count.absent().input(empty(f32, {4}), Role::kConstant);
  expect_error(count.prepare(), Code::kShape, "1 or 5");
  Step bias = step(f32, {2, 3}, {3, 5}, f32, {2, 5});
  bias.input(empty(f32, {4}), Role::kConstant);
  expect_error(bias.prepare(), Code::kShape, "[5]");
  Step point = step(s8, {2, 3}, {3, 5}, DType::kS32, {2, 5});
  point.set("x_zero_point", int64_t{200});
  expect_error(point.prepare(), Code::kFormat, "-128 to 127");
}

}  // namespace pyrt::test
