// Rows that multiply s8 by vpmaddubsw on weights without overflow (gemm/fitted-inl.h): weights made
// to overflow 16-bit sums, against the scalar row. Without the excess nearly every case fails.
#include <algorithm>

#include "harness.h"

namespace pyrt::test {
namespace {

enum class Pattern { kMost, kLeast, kLeastButOne, kAlternating, kQuads, kSigns, kBell, kMixed };
constexpr Pattern kPatterns[] = {Pattern::kMost,        Pattern::kLeast, Pattern::kLeastButOne,
                                 Pattern::kAlternating, Pattern::kQuads, Pattern::kSigns,
                                 Pattern::kBell,        Pattern::kMixed};

// Like trained weights: a bell with tails up to +-127.
int8_t bell(Random& random) {
  int64_t sum = 0;
  for (int i = 0; i < 6; ++i) sum += random.integer(-30, 30);
  return static_cast<int8_t>(std::clamp<int64_t>(sum, -127, 127));
}

int8_t weight(Pattern pattern, Random& random, int64_t k, int64_t n) {
  switch (pattern) {
    case Pattern::kMost:
      return 127;
    case Pattern::kLeast:
      return -128;
    case Pattern::kLeastButOne:
      return -127;
    case Pattern::kAlternating:
      return k % 2 == 0 ? 127 : -127;
    case Pattern::kQuads:  // 0, 1, 4, 5 add up in one sum, 2, 3, 6, 7 in the other
      return k % 4 < 2 ? 127 : -128;
    case Pattern::kSigns:
      return random.integer(0, 1) == 0 ? 127 : -128;
    case Pattern::kBell:
      return bell(random);
    case Pattern::kMixed:  // panels that stay wide beside fitted and safe ones
      return n / 16 % 3 == 0   ? int8_t{-128}
             : n / 16 % 3 == 1 ? bell(random)
                               : static_cast<int8_t>(random.integer(-32, 32));
  }
  return 0;
}

Tensor weights(Pattern pattern, Random& random, int64_t K, int64_t N, bool transposed) {
  Tensor w = empty(DType::kS8, transposed ? std::vector{N, K} : std::vector{K, N});
  for (int64_t k = 0; k < K; ++k) {
    for (int64_t n = 0; n < N; ++n) {
      w.data<int8_t>()[transposed ? n * K + k : k * N + n] = weight(pattern, random, k, n);
    }
  }
  return w;
}

// Activations at either end, where 16-bit sums are largest, or anything.
Tensor activations(Random& random, int64_t M, int64_t K, int kind) {
  if (kind == 0) return random.s8({M, K}, 127, 127);
  if (kind == 1) return random.s8({M, K}, -128, -128);
  return random.s8({M, K});
}

void check(Pattern pattern, Random& random, int64_t M, int64_t N, int64_t K, int kind) {
  const bool transposed = kind % 2 == 1;
  for (const bool quantized : {false, true}) {
    Step step("gemm");
    step.input(activations(random, M, K, kind));
    step.input(weights(pattern, random, K, N, transposed), Role::kConstant);
    step.set("trans_b", int64_t{transposed}).set("x_zero_point", random.integer(-128, 127));
    if (quantized) {  // sums lose little: a wrong one shows
      const float least = 0.2f / static_cast<float>(K);
      step.absent().input(random.f32({N}, least, 2 * least), Role::kConstant);
      step.set("y_zero_point", random.integer(-128, 127));
    }
    step.output(quantized ? DType::kS8 : DType::kS32, {M, N});
    step.check_rows("pattern " + std::to_string(static_cast<int>(pattern)) + " " +
                    std::to_string(M) + "x" + std::to_string(N) + "x" + std::to_string(K));
  }
}

}  // namespace

PYRT_TEST(gemm_fitted_adversarial_weights) {
  Random random(31);
  for (const Pattern pattern : kPatterns) {
    for (int kind = 0; kind < 3; ++kind) {
      check(pattern, random, 5, 33, 8, kind);
      check(pattern, random, 11, 24, 16, kind);
      check(pattern, random, 33, 48, 37, kind);
      check(pattern, random, 70, 19, 264, kind);
      check(pattern, random, 16, 96, 300, kind);
    }
  }
}

PYRT_TEST(gemm_fitted_long_products) {
  Random random(32);
  for (const Pattern pattern :
       {Pattern::kMost, Pattern::kLeast, Pattern::kSigns, Pattern::kBell, Pattern::kMixed}) {
    check(pattern, random, 3, 17, 200000, 2);
  }
  check(Pattern::kBell, random, 34, 17, 20001, 0);
}

// Few columns with excess, but much of it, and in the last one, too.
PYRT_TEST(gemm_fitted_uneven_columns) {
  Random random(36);
  for (const int64_t every : {5, 15, 3}) {
    Tensor w = weights(Pattern::kBell, random, 200, 16, false);
    for (int64_t i = 0; i < 200 * 16; ++i) {
      int8_t* value = w.data<int8_t>() + i;
      *value = static_cast<int8_t>(i % 16 % every != 0 ? *value != 0 : (i % 3 == 0 ? 127 : -128));
    }
    Step step("gemm");
    step.input(random.s8({5, 200})).input(w, Role::kConstant).output(DType::kS32, {5, 16});
    step.check_rows("excess of every column of " + std::to_string(every));
  }
}

// Products of a batch with transposed activations are separate ones that share the scratch.
PYRT_TEST(gemm_fitted_batches) {
  Random random(35);
  for (const int64_t M : {7, 40}) {
    Step step("gemm");
    step.input(random.s8({3, 24, M}));
    step.input(weights(Pattern::kBell, random, 24, 40, false), Role::kConstant);
    step.set("trans_a", int64_t{1}).set("x_zero_point", int64_t{3});
    step.output(DType::kS32, {3, M, 40}).check_rows("batch of transposed activations");
  }
}

PYRT_TEST(gemm_fitted_quantizes) {
  Random random(33);
  for (const int64_t M : {1, 2, 15, 17, 40}) {
    Step step("gemm");
    step.input(random.s8({M, 136}))
        .input(weights(Pattern::kBell, random, 136, 40, false), Role::kConstant);
    step.input(random.s32({40}, -3000, 3000), Role::kConstant);
    step.input(random.f32({40}, 1e-4f, 3e-3f), Role::kConstant);
    step.set("x_zero_point", int64_t{-9}).set("y_zero_point", int64_t{100});
    step.set("q_lo", int64_t{-90}).set("q_hi", int64_t{101}).output(DType::kS8, {M, 40});
    step.check_rows("quantized fitted M " + std::to_string(M));
  }
}

// Tiles that make bytes themselves take scales up to 1/2; beyond, sums times scales leave s32.
PYRT_TEST(gemm_s8_quantizes_by_any_scale) {
  Random random(37);
  for (const int64_t M : {1, 2, 3, 5, 7, 13, 40}) {
    for (const int64_t N : {8, 24, 33, 48}) {
      for (const float scale : {1e-30f, 0.01f, 0.5f, 0.50001f, 1e4f, 1e30f}) {
        Step step("gemm");
        step.input(random.s8({M, 24}));
        step.input(random.s8({24, N}, -20, 20), Role::kConstant);
        step.input(random.s32({N}, INT32_MIN, INT32_MAX), Role::kConstant);
        Tensor scales = random.f32({N}, 0.001f, 0.002f);
        for (int64_t n = 0; n < N; n += 3) scales.data<float>()[n] = scale;
        step.input(scales, Role::kConstant);
        step.set("x_zero_point", int64_t{-128}).set("y_zero_point", random.integer(-128, 127));
        if (M % 2 == 0) step.set("q_lo", int64_t{-3}).set("q_hi", int64_t{90});
        step.output(DType::kS8, {M, N});
        step.check_rows("scale " + std::to_string(scale) + " M " + std::to_string(M));
      }
    }
  }
}

PYRT_TEST(conv_fitted_adversarial_weights) {
  Random random(34);
  for (const Pattern pattern : kPatterns) {
    for (const int64_t kernel : {1, 3}) {
      const int64_t channels = kernel == 1 ? 40 : 12;
      Tensor w = empty(DType::kS8, {35, channels, kernel, kernel});
      for (int64_t i = 0; i < w.dims.count(); ++i) {
        const int64_t each = channels * kernel * kernel;
        w.data<int8_t>()[i] = weight(pattern, random, i % each, i / each);
      }
      Step step("conv");
      step.input(random.s8({2, channels, 9, 7})).input(w, Role::kConstant);
      step.set("pads", std::vector<int64_t>(4, kernel / 2)).set("x_zero_point", int64_t{-128});
      step.output(DType::kS32, {2, 35, 9, 7});
      step.check_rows("conv pattern " + std::to_string(static_cast<int>(pattern)));
    }
  }
}

// Winograd's sums wrap modulo 2^32 and must come back: weights and activations at either end, up to
// the largest sum of a channel that is taken, and one beyond.
PYRT_TEST(conv_winograd_s8_adversarial_weights) {
  constexpr const char* kRow = "conv_s8_winograd_s32_6x16x2_avx2";
  Random random(36);
  const auto step_of = [&](const Tensor& w, int64_t channels, int kind) {
    Tensor x = empty(DType::kS8, {2, channels, 9, 6});
    for (int64_t i = 0; i < x.dims.count(); ++i) {
      const int64_t ends = (i * 7 + i / 5) % 3 == 0 ? 127 : -128;
      x.data<int8_t>()[i] = static_cast<int8_t>(kind == 0 ? -128 : (kind == 1 ? 127 : ends));
    }
    Step step("conv");
    step.input(x).input(w, Role::kConstant);
    step.set("pads", std::vector<int64_t>(4, 1)).set("x_zero_point", int64_t{kind == 0 ? 127 : -5});
    return step.output(DType::kS32, {2, w.dims[0], 9, 6});
  };
  for (const Pattern pattern : kPatterns) {
    for (int kind = 0; kind < 3; ++kind) {
      Tensor w = empty(DType::kS8, {32, 48, 3, 3});
      for (int64_t i = 0; i < w.dims.count(); ++i) {
        w.data<int8_t>()[i] = weight(pattern, random, i % 9 + i / 9 % 2, i / (9 * 48));
      }
      step_of(w, 48, kind)
          .check_rows("winograd pattern " + std::to_string(static_cast<int>(pattern)));
    }
  }
  bool ran = false;
  for (const int64_t over : {-1, 0}) {
    const int64_t sum = (1 << 18) + over, weights_of_channel = 9 * 256;
    Tensor w = empty(DType::kS8, {16, 256, 3, 3});
    for (int64_t i = 0; i < w.dims.count(); ++i) {
      const int64_t k = i % weights_of_channel;
      const int64_t size = sum * (k + 1) / weights_of_channel - sum * k / weights_of_channel;
      w.data<int8_t>()[i] = static_cast<int8_t>(-size);
    }
    Step step = step_of(w, 256, 0);
    step.check_rows("winograd near its limit");
    step.output_of(kRow, &ran);
    const char* reason = step.reason_against(kRow);
    expect(!ran || (reason == nullptr) == (over < 0), "the limit of a channel's sum");
  }
}

}  // namespace pyrt::test
