// Sparse rows of gemm and conv: the harness compares every row with the dense scalar one.
#include <cmath>

#include "harness.h"

namespace pyrt::test {
namespace {

// Sets about `share` of the elements to zero, and all of every fifth column or row.
template <class T>
Tensor with_zeros(Random& random, Tensor tensor, double share) {
  T* values = tensor.data<T>();
  const int64_t inner = tensor.dims.rank > 0 ? tensor.dims[tensor.dims.rank - 1] : 1;
  for (int64_t i = 0; i < tensor.dims.count(); ++i) {
    const bool empty_column = inner > 4 && i % inner == 4;
    if (empty_column || static_cast<double>(random.integer(0, 999)) < share * 1000)
      values[i] = T{0};
  }
  return tensor;
}

Tensor small_scale(Random& random, int64_t n) { return random.f32({n}, 0.001f, 0.004f); }

struct Shape {
  int64_t M, N, K;
};
const Shape kShapes[] = {{1, 1, 1},    {1, 130, 65},  {2, 17, 33},    {7, 16, 8},    {31, 15, 40},
                         {32, 33, 64}, {33, 64, 7},   {64, 5, 129},   {100, 48, 20}, {3, 200, 9},
                         {0, 8, 8},    {700, 16, 64}, {70, 150, 450}, {5, 50, 259}};

struct Image {
  int64_t B, C, H, W, O, kernel_h, kernel_w, stride, pad, dilation;
};
const Image kImages[] = {{1, 3, 9, 11, 5, 3, 3, 1, 1, 1},    {2, 8, 14, 14, 16, 3, 3, 1, 1, 1},
                         {1, 9, 20, 37, 17, 3, 3, 1, 0, 1},  {1, 16, 15, 15, 20, 3, 3, 2, 1, 1},
                         {1, 5, 16, 13, 8, 5, 5, 2, 2, 1},   {2, 12, 7, 7, 33, 1, 1, 1, 0, 1},
                         {1, 24, 12, 12, 16, 1, 1, 2, 0, 1}, {1, 4, 17, 19, 6, 3, 3, 1, 2, 2},
                         {1, 4, 17, 19, 6, 3, 3, 3, 2, 2},   {1, 64, 28, 28, 16, 3, 3, 1, 1, 1},
                         {1, 10, 1, 50, 12, 1, 7, 1, 3, 1},  {1, 3, 2, 2, 4, 3, 3, 1, 1, 1},
                         {1, 48, 7, 7, 20, 3, 3, 1, 1, 1},   {0, 3, 5, 5, 4, 3, 3, 1, 1, 1}};

std::vector<int64_t> output_dims(const Image& i) {
  const auto size = [&i](int64_t n, int64_t kernel, int64_t pad) {
    return (n + 2 * pad - (kernel - 1) * i.dilation - 1) / i.stride + 1;
  };
  const int64_t pad_h = i.kernel_h > 1 ? i.pad : 0;
  return {i.B, i.O, size(i.H, i.kernel_h, pad_h), size(i.W, i.kernel_w, i.pad)};
}

void set_geometry(Step& step, const Image& i) {
  const int64_t pad_h = i.kernel_h > 1 ? i.pad : 0;
  step.set("strides", std::vector<int64_t>{i.stride, i.stride});
  step.set("pads", std::vector<int64_t>{pad_h, i.pad, pad_h, i.pad});
  step.set("dilations", std::vector<int64_t>{i.dilation, i.dilation});
}

}  // namespace

PYRT_TEST(sparse_gemm_s8_rows) {
  Random random(11);
  for (const Shape& s : kShapes) {
    for (int variant = 0; variant < 6; ++variant) {
      const bool trans_b = variant % 2 == 1;
      const std::vector<int64_t> w = trans_b ? std::vector{s.N, s.K} : std::vector{s.K, s.N};
      Step step("gemm");
      step.input(random.s8({s.M, s.K}));
      step.input(with_zeros<int8_t>(random, random.s8(w), variant < 2 ? 0.5 : 0.9),
                 Role::kConstant);
      step.input(random.s32({s.N}, -3000, 3000), Role::kConstant);
      if (variant % 3 == 0) {
        step.output(DType::kS32, {s.M, s.N});
      } else {
        step.input(small_scale(random, s.N), Role::kConstant);
        if (variant % 3 == 1) {
          step.input(random.s8({s.M, s.N})).input(random.f32({1}, 0.2f, 2), Role::kConstant);
        }
        step.output(variant % 3 == 1 ? DType::kS8 : DType::kF32, {s.M, s.N});
      }
      step.set("trans_b", int64_t{trans_b}).set("x_zero_point", random.integer(-128, 127));
      step.set("y_zero_point", random.integer(-128, 127));
      step.check_rows("sparse s8 gemm " + std::to_string(s.M) + "x" + std::to_string(s.N) + "x" +
                      std::to_string(s.K) + " variant " + std::to_string(variant));
    }
  }
}

PYRT_TEST(sparse_gemm_f32_rows) {
  Random random(12);
  for (const Shape& s : kShapes) {
    Step step("gemm");
    step.input(random.f32({s.M, s.K}));
    step.input(with_zeros<float>(random, random.f32({s.K, s.N}), 0.9), Role::kConstant);
    step.input(random.f32({s.N}), Role::kConstant).set("lo", -0.5).set("hi", 0.75);
    step.output(DType::kF32, {s.M, s.N});
    step.check_rows("sparse f32 gemm", 2e-6, 1 + std::sqrt(double(s.K)));
  }
}

PYRT_TEST(sparse_conv_s8_rows) {
  Random random(13);
  for (const Image& i : kImages) {
    Step step("conv");
    step.input(random.s8({i.B, i.C, i.H, i.W}));
    const Tensor w = random.s8({i.O, i.C, i.kernel_h, i.kernel_w});
    step.input(with_zeros<int8_t>(random, w, 0.85), Role::kConstant);
    step.input(random.s32({i.O}, -3000, 3000), Role::kConstant);
    step.input(small_scale(random, i.O), Role::kConstant);
    step.input(random.s8(output_dims(i))).input(random.f32({1}, 0.2f, 2), Role::kConstant);
    step.output(DType::kS8, output_dims(i));
    set_geometry(step, i);
    step.set("x_zero_point", random.integer(-128, 127)).set("q_lo", int64_t{-100});
    step.set("y_zero_point", random.integer(-100, 100));
    step.check_rows("sparse s8 conv of " + std::to_string(i.H) + "x" + std::to_string(i.W) +
                    " stride " + std::to_string(i.stride));
  }
}

PYRT_TEST(sparse_conv_f32_rows) {
  Random random(14);
  for (const Image& i : kImages) {
    Step step("conv");
    step.input(random.f32({i.B, i.C, i.H, i.W}));
    const Tensor w = random.f32({i.O, i.C, i.kernel_h, i.kernel_w});
    step.input(with_zeros<float>(random, w, 0.85), Role::kConstant);
    step.input(random.f32({i.O}), Role::kConstant);
    step.output(DType::kF32, output_dims(i));
    set_geometry(step, i);
    step.check_rows("sparse f32 conv", 3e-6, 1 + std::sqrt(double(i.C * i.kernel_h * i.kernel_w)));
  }
}

// Only -128 and 127, each column's non-zeros in quads at every fourth k, or none at all.
PYRT_TEST(sparse_gemm_s8_extremes) {
  Random random(15);
  for (const double share : {0.8, 1.0}) {
    const Shape s{67, 20, 77};
    const auto extreme = [&](const std::vector<int64_t>& dims) {
      Tensor tensor = random.s8(dims, 0, 1);
      for (int64_t i = 0; i < tensor.dims.count(); ++i) {
        int8_t& value = tensor.data<int8_t>()[i];
        value = value != 0 ? int8_t{127} : int8_t{-128};
      }
      return tensor;
    };
    Tensor w = extreme({s.N, s.K});
    for (int64_t n = 0; n < s.N; ++n) {
      for (int64_t k = 0; k < s.K; k += 4) {
        if (static_cast<double>(random.integer(0, 999)) >= share * 1000) continue;
        for (int64_t i = k; i < k + 4 && i < s.K; ++i) w.data<int8_t>()[n * s.K + i] = 0;
      }
    }
    Step step("gemm");
    step.input(extreme({s.M, s.K})).input(std::move(w), Role::kConstant);
    step.output(DType::kS32, {s.M, s.N}).set("trans_b", int64_t{1});
    step.set("x_zero_point", int64_t{-128});
    step.check_rows("sparse s8 gemm of extremes");
  }
}

// What is not finite at a pruned position does not spread.
PYRT_TEST(sparse_gemm_f32_ignores_pruned_positions) {
  Random random(16);
  for (const int64_t M : {1, 40}) {
    const int64_t N = 33, K = 70;
    Tensor w = with_zeros<float>(random, random.f32({K, N}), 0.8);
    Tensor a = random.f32({M, K});
    for (const int64_t k : {int64_t{0}, int64_t{31}, K - 1}) {
      for (int64_t n = 0; n < N; ++n) w.data<float>()[k * N + n] = 0;
      for (int64_t m = 0; m < M; ++m) a.data<float>()[m * K + k] = INFINITY;
    }
    Step step("gemm");
    step.input(std::move(a)).input(std::move(w), Role::kConstant);
    step.output(DType::kF32, {M, N});
    for (const Row* row : rows_of("gemm")) {
      if (!row->compressed || step.reason_against(std::string(row->name)) != nullptr) continue;
      bool ran = false;
      const Tensor y = step.output_of(std::string(row->name), &ran);
      bool finite = true;
      for (int64_t i = 0; ran && i < M * N; ++i) finite &= std::isfinite(y.data<float>()[i]);
      expect(finite, std::string(row->name) + " spreads an infinity at a pruned position");
    }
  }
}

}  // namespace pyrt::test
