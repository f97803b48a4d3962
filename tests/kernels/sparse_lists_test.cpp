// List rows (csrc/kernels/sparse/sparse.h) on weights with zeros in patterns: blocks of 16 x 4 and
// 1 x 4, N:M, at random, a single one, none. The harness compares every row with the dense scalar.
#include <functional>

#include "harness.h"

namespace pyrt::test {
namespace {

// Whether the weight of (k, n) stays.
using Pattern = std::function<bool(int64_t k, int64_t n)>;

// Reproducible for the same arguments.
bool chance(int64_t a, int64_t b, double share) {
  const auto mixed = (static_cast<uint64_t>(a) * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(b)) *
                     0xbf58476d1ce4e5b9u;
  return static_cast<double>((mixed >> 33) % 1000) < share * 1000;
}

struct NamedPattern {
  const char* name;
  Pattern keep;
};
const NamedPattern kPatterns[] = {
    {"16x4 blocks", [](int64_t k, int64_t n) { return chance(k / 4, n / 16, 0.15); }},
    {"16x4 blocks with zeros in them",
     [](int64_t k, int64_t n) { return chance(k / 4, n / 16, 0.3) && chance(k, n, 0.4); }},
    {"1x4 blocks", [](int64_t k, int64_t n) { return chance(k / 4, n, 0.15); }},
    {"2:4", [](int64_t k, int64_t n) { return k % 4 == n % 4 || (k + 1) % 4 == n % 4; }},
    {"4:16", [](int64_t k, int64_t n) { return (k * 5 + n) % 16 < 4; }},
    {"half at random", [](int64_t k, int64_t n) { return chance(k, n, 0.5); }},
    {"uneven columns", [](int64_t k, int64_t n) { return chance(k, n, n % 5 == 0 ? 0.7 : 0.02); }},
    {"one column", [](int64_t, int64_t n) { return n == 3; }},
    {"the last one alone", [](int64_t k, int64_t n) { return k == 6 && n == 0; }},
    {"all zeros", [](int64_t, int64_t) { return false; }},
};

// Index of (k, n) as the operand of conv [N, C, taps] or gemm (taps 1) with trans_b.
void clear(Tensor* w, int64_t K, int64_t N, int64_t taps, bool columns_first, const Pattern& keep) {
  const int64_t C = K / taps;
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t k = 0; k < K; ++k) {
      const int64_t at = columns_first ? (n * C + k % C) * taps + k / C : k * N + n;
      if (!keep(k, n)) w->data<int8_t>()[at] = 0;
    }
  }
}

// -128, -127 and 127 only, in an order without a pattern.
void to_extremes(Tensor* tensor) {
  constexpr int8_t kExtremes[] = {-128, 127, -128, 127, -127};
  for (int64_t i = 0; i < tensor->dims.count(); ++i) {
    tensor->data<int8_t>()[i] = kExtremes[(i * 7 + i / 13) % 5];
  }
}

struct Product {
  int64_t M, N, K;
};

void check_product(Random& random, const Product& s, const NamedPattern& pattern, int variant) {
  const bool trans_b = variant % 2 == 1;
  Tensor a = random.s8({s.M, s.K});
  Tensor w = random.s8(trans_b ? std::vector{s.N, s.K} : std::vector{s.K, s.N});
  if (variant == 2) to_extremes(&a);
  if (variant >= 2) to_extremes(&w);
  clear(&w, s.K, s.N, 1, trans_b, pattern.keep);
  Step step("gemm");
  step.input(a).input(w, Role::kConstant).input(random.s32({s.N}, -3000, 3000), Role::kConstant);
  if (variant != 2) step.input(random.f32({s.N}, 0.001f, 0.004f), Role::kConstant);
  if (variant == 3) {
    step.input(random.s8({s.M, s.N})).input(random.f32({1}, 0.2f, 2), Role::kConstant);
  }
  step.output(variant == 2 ? DType::kS32 : DType::kS8, {s.M, s.N});
  step.set("trans_b", int64_t{trans_b}).set("x_zero_point", random.integer(-128, 127));
  step.set("y_zero_point", random.integer(-128, 127));
  step.check_rows(std::string("lists of ") + pattern.name + ", " + std::to_string(s.M) + "x" +
                  std::to_string(s.N) + "x" + std::to_string(s.K) + ", variant " +
                  std::to_string(variant));
}

}  // namespace

PYRT_TEST(sparse_lists_gemm_rows) {
  Random random(21);
  for (const NamedPattern& pattern : kPatterns) {
    int variant = 0;
    for (const Product& s : {Product{1, 48, 128},
                             {2, 33, 70},
                             {3, 16, 64},
                             {5, 20, 9},
                             {16, 64, 96},
                             {17, 130, 65},
                             {40, 31, 200},
                             {23, 7, 7},
                             {9, 32, 1024},
                             {1, 16, 7},
                             {13, 48, 4096},
                             {11, 16, 2048}}) {
      check_product(random, s, pattern, variant++ % 4);
    }
  }
}

PYRT_TEST(sparse_lists_gemm_rows_of_huge_k) {
  Random random(22);
  for (const NamedPattern& pattern : {kPatterns[0], kPatterns[6]}) {
    check_product(random, {3, 17, 65535}, pattern, 3);
  }
}

PYRT_TEST(sparse_lists_conv_rows) {
  struct Image {
    int64_t B, C, H, W, O, kernel, stride, pad, dilation;
  };
  Random random(23);
  for (const NamedPattern& pattern : kPatterns) {
    for (const Image& i : {Image{1, 16, 9, 11, 20, 3, 1, 1, 1},
                           {2, 32, 7, 7, 33, 3, 1, 1, 1},
                           {1, 20, 15, 15, 16, 3, 2, 1, 1},
                           {1, 64, 6, 5, 48, 1, 1, 0, 1},
                           {1, 24, 12, 12, 16, 1, 2, 0, 1},
                           {1, 12, 10, 19, 17, 3, 1, 2, 2},
                           {1, 8, 16, 13, 8, 5, 2, 2, 1},
                           {1, 16, 1, 1, 32, 3, 1, 1, 1},
                           {1, 6, 8, 8, 18, 3, 1, 0, 1}}) {
      const int64_t reach = (i.kernel - 1) * i.dilation;
      const std::vector<int64_t> y = {i.B, i.O, (i.H + 2 * i.pad - reach - 1) / i.stride + 1,
                                      (i.W + 2 * i.pad - reach - 1) / i.stride + 1};
      Tensor w = random.s8({i.O, i.C, i.kernel, i.kernel});
      clear(&w, i.C * i.kernel * i.kernel, i.O, i.kernel * i.kernel, true, pattern.keep);
      Step step("conv");
      step.input(random.s8({i.B, i.C, i.H, i.W})).input(w, Role::kConstant);
      step.input(random.s32({i.O}, -3000, 3000), Role::kConstant);
      step.input(random.f32({i.O}, 0.001f, 0.004f), Role::kConstant);
      step.output(DType::kS8, y);
      step.set("strides", std::vector<int64_t>{i.stride, i.stride});
      step.set("pads", std::vector<int64_t>{i.pad, i.pad, i.pad, i.pad});
      step.set("dilations", std::vector<int64_t>{i.dilation, i.dilation});
      step.set("x_zero_point", random.integer(-128, 127));
      step.check_rows(std::string("lists of ") + pattern.name + ", conv of " + std::to_string(i.H) +
                      "x" + std::to_string(i.W) + ", kernel " + std::to_string(i.kernel));
    }
  }
}

}  // namespace pyrt::test
