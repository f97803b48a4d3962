// Error bounds of the canonical elementary functions against double, on every 997th float of all
// 2^32 (fewer on ARM, which runs under qemu), and the values that IEEE fixes.
#include <cmath>
#include <cstring>

#include "harness.h"
#include "kernels/common/canonical_double-inl.h"
#include "kernels/common/canonical_math-inl.h"

namespace pyrt::test {
namespace {

#if defined(__x86_64__)
constexpr uint64_t kStride = 997;
#else
constexpr uint64_t kStride = 300'007;  // 14,316 floats for each function
#endif

double ulp_of(double value) {
  int exponent = 0;
  std::frexp(value, &exponent);
  return std::ldexp(1.0, std::max(exponent - 24, -149));
}

// What may be 0 where the result lies below the normal floats: functions that hold an exp.
enum class Tiny { kExact, kZero };

// |f - reference| <= ulps and, if given, <= absolute * max(1, |x|) instead.
void check(const char* name, float (*f)(float), double (*reference)(double), double ulps,
           double absolute = 0, Tiny tiny = Tiny::kExact) {
  double worst = 0;
  float worst_x = 0;
  for (uint64_t bits = 0; bits < (1ull << 32); bits += kStride) {
    const uint32_t word = static_cast<uint32_t>(bits);
    float x = 0;
    std::memcpy(&x, &word, sizeof(x));
    const float y = f(x);
    const double want = reference(static_cast<double>(x));
    if (std::isnan(want)) {
      expect(std::isnan(y), std::string(name) + "(" + std::to_string(x) + ") must be NaN");
      continue;
    }
    const float rounded = static_cast<float>(want);
    if (std::isinf(rounded) || std::isinf(y)) {
      const bool edge = std::abs(rounded) > 3.4e38f && std::abs(y) > 3.4e38f;
      expect(edge, std::string(name) + "(" + std::to_string(x) + ") is " + std::to_string(y));
      continue;
    }
    if (tiny == Tiny::kZero && y == 0 && std::abs(want) < 1.22e-38) continue;
    const double unit = absolute > 0 ? absolute * std::max(1.0, std::abs(double{x})) : ulp_of(want);
    const double error = std::abs(double{y} - want) / unit;
    if (error > worst) {
      worst = error;
      worst_x = x;
    }
  }
  const double bound = absolute > 0 ? 1 : ulps;
  expect(worst <= bound,
         std::string(name) + ": error " + std::to_string(worst) + " at " + std::to_string(worst_x));
}

}  // namespace

PYRT_TEST(canonical_functions_keep_their_bounds) {
  check(
      "exp", [](float x) { return canonical::exp(x); }, [](double x) { return std::exp(x); }, 1.0);
  check(
      "log", [](float x) { return canonical::log(x); }, [](double x) { return std::log(x); }, 1.0);
  check(
      "tanh", [](float x) { return canonical::tanh(x); }, [](double x) { return std::tanh(x); },
      2.0);
  check(
      "erf", [](float x) { return canonical::erf(x); }, [](double x) { return std::erf(x); }, 2.0);
  check(
      "sin", canonical::sin, [](double x) { return std::sin(x); }, 0.51);
  check(
      "cos", canonical::cos, [](double x) { return std::cos(x); }, 0.51);
  check(
      "sigmoid", [](float x) { return canonical::sigmoid(x); },
      [](double x) { return 1 / (1 + std::exp(-x)); }, 2.25, 0, Tiny::kZero);
  check(
      "softplus", [](float x) { return canonical::softplus(x); },
      [](double x) { return std::fmax(x, 0) + std::log1p(std::exp(-std::abs(x))); }, 2.0, 0,
      Tiny::kZero);
  check(
      "gelu", [](float x) { return canonical::gelu(x); },
      [](double x) { return x * 0.5 * (1 + std::erf(x * M_SQRT1_2)); }, 0, 1.5e-7);
  check(
      "gelu_tanh", [](float x) { return canonical::gelu_tanh(x); },
      [](double x) {
        return x * 0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
      },
      0, 1.5e-7);
  check(
      "exp_limited", [](float x) { return x > 0 ? 1.0f : canonical::exp_limited(x); },
      [](double x) { return x > 0 ? 1.0 : std::exp(x); }, 1.0, 0, Tiny::kZero);
  for (float d = 0; d > -86; d = d * 1.0001f - 1e-4f) {
    const double want = std::exp(double{d});
    expect(std::abs(double{canonical::exp_of_difference(d)} - want) <= want * 0x1p-22 * (1 - d),
           "exp_of_difference(" + std::to_string(d) + ")");
  }
  check(
      "silu", [](float x) { return canonical::silu(x); },
      [](double x) { return x / (1 + std::exp(-x)) + 0 * x; }, 0, 1.5e-7);
  check(
      "expm1", [](float x) { return x > 0 ? 0.0f : canonical::expm1_negative(x); },
      [](double x) { return x > 0 ? 0.0 : std::expm1(x); }, 1.5);
  check(
      "floor", [](float x) { return canonical::floor(x); }, [](double x) { return std::floor(x); },
      0);
  check(
      "ceil", [](float x) { return canonical::ceil(x); }, [](double x) { return std::ceil(x); }, 0);
  check(
      "round", [](float x) { return round_even(x); }, [](double x) { return std::nearbyint(x); },
      0);
}

PYRT_TEST(canonical_pow_agrees_with_double) {
  Random random(1);
  const float special[] = {0.0f,  -0.0f, INFINITY, -INFINITY, NAN, 1.0f,   -1.0f, 0.5f,
                           -0.5f, 2,     3,        -2,        -3,  1e-40f, 3e38f};
  const auto check_pair = [](float x, float y) {
    const float got = canonical::pow(x, y);
    const double want = std::pow(double{x}, double{y});
    const float rounded = static_cast<float>(want);
    const std::string name =
        "pow(" + std::to_string(x) + ", " + std::to_string(y) + ") = " + std::to_string(got);
    if (std::isnan(rounded)) return expect(std::isnan(got), name);
    if (std::isinf(rounded) || rounded == 0) {
      return expect(got == rounded && std::signbit(got) == std::signbit(rounded), name);
    }
    expect(std::abs(double{got} - want) <= 1.5 * ulp_of(want), name);
  };
  for (const float x : special) {
    for (const float y : special) check_pair(x, y);
  }
  for (int i = 0; i < 100000; ++i) {
    const float y = static_cast<float>(random.integer(-400, 400)) / (i % 2 == 0 ? 10.0f : 100.0f);
    check_pair(static_cast<float>(random.integer(-9999, 9999)) / 100.0f,
               i % 3 == 0 ? std::rint(y) : y);
  }
}

PYRT_TEST(canonical_limits) {
  expect(canonical::exp(-INFINITY) == 0 && canonical::exp(INFINITY) == INFINITY,
         "exp of infinities");
  expect(canonical::log(0.0f) == -INFINITY && std::isnan(canonical::log(-1.0f)), "log of 0 and -1");
  expect(canonical::tanh(-INFINITY) == -1 && canonical::tanh(1e30f) == 1, "tanh saturates");
  expect(canonical::sigmoid(-INFINITY) == 0 && canonical::sigmoid(INFINITY) == 1,
         "sigmoid saturates");
  expect(std::signbit(canonical::tanh(-0.0f)) && std::signbit(canonical::erf(-0.0f)),
         "odd functions keep -0");
}

}  // namespace pyrt::test
