// What measure_weights says of hand-made weights, against plain loops over the definition.
#include "kernels/facts.h"

#include <algorithm>
#include <numeric>

#include "harness.h"

namespace pyrt::test {
namespace {

int8_t at(const std::vector<int8_t>& w, const WeightView& view, int64_t k, int64_t n) {
  if (k >= view.K() || n >= view.N) return 0;
  const int64_t c = k % view.C, tap = k / view.C;
  return w[static_cast<size_t>(view.columns_first ? (n * view.C + c) * view.taps + tap
                                                  : k * view.N + n)];
}

int64_t nonzeros_in(const std::vector<int8_t>& w, const WeightView& view, int64_t k, int64_t n,
                    int64_t height, int64_t width) {
  int64_t count = 0;
  for (int64_t i = k; i < k + height; ++i) {
    for (int64_t j = n; j < n + width; ++j) count += at(w, view, i, j) != 0 ? 1 : 0;
  }
  return count;
}

WeightFacts expected(const std::vector<int8_t>& w, const WeightView& view) {
  WeightFacts facts;
  facts.count = view.N * view.K();
  for (int64_t n = 0; n < view.N; ++n) {
    const int64_t column = nonzeros_in(w, view, 0, n, view.K(), 1);
    facts.nonzeros += column;
    for (int64_t k = 0; k < view.K(); k += 4) {
      const int64_t in_4 = nonzeros_in(w, view, k, n, 4, 1);
      facts.quads += in_4 > 0 ? 1 : 0;
      if (n % 16 == 0) facts.blocks += nonzeros_in(w, view, k, n, 4, 16) > 0 ? 1 : 0;
      if (k % 16 != 0) continue;
      const auto in_16 = static_cast<int>(nonzeros_in(w, view, k, n, 16, 1));
      facts.most_of_16 = std::max(facts.most_of_16, in_16);
    }
  }
  facts.lowest = *std::min_element(w.begin(), w.end());
  facts.highest = *std::max_element(w.begin(), w.end());
  for (const int8_t value : w) facts.step = std::gcd(facts.step, value - facts.lowest);
  return facts;
}

bool same(const WeightFacts& a, const WeightFacts& b) {
  return a.count == b.count && a.nonzeros == b.nonzeros && a.quads == b.quads &&
         a.blocks == b.blocks && a.most_of_16 == b.most_of_16 && a.lowest == b.lowest &&
         a.highest == b.highest && a.step == b.step;
}

void check(const WeightView& view, int zeros_percent, std::mt19937* random) {
  std::vector<int8_t> w(static_cast<size_t>(view.N * view.K()));
  for (int8_t& value : w) {
    const bool zero = static_cast<int>((*random)() % 100) < zeros_percent;
    value = zero ? int8_t{0} : static_cast<int8_t>(1 + (*random)() % 100);
  }
  const std::string label = "facts of " + std::to_string(view.N) + " columns, " +
                            std::to_string(view.C) + " channels, " + std::to_string(view.taps) +
                            " taps, " + std::to_string(zeros_percent) + " % zeros";
  const WeightFacts want = expected(w, view);
  expect(same(measure_weights(w.data(), DType::kS8, view), want), label);
  std::vector<float> wide(w.begin(), w.end());
  WeightFacts f32 = measure_weights(wide.data(), DType::kF32, view);
  f32.lowest = want.lowest;  // s8 only
  f32.highest = want.highest;
  f32.step = want.step;
  expect(same(f32, want), label + ", f32");
}

PYRT_TEST(weight_facts_count_zeros_by_block) {
  std::mt19937 random(5);
  for (const int zeros : {0, 30, 90, 99, 100}) {
    for (const bool columns_first : {true, false}) {
      check({.N = 37, .C = 53, .columns_first = columns_first}, zeros, &random);
      check({.N = 16, .C = 64, .columns_first = columns_first}, zeros, &random);
    }
    check({.N = 19, .C = 7, .taps = 9}, zeros, &random);
  }
}

PYRT_TEST(weight_facts_of_few_values) {
  const auto facts = [](const std::vector<int8_t>& w) {
    return measure_weights(w.data(), DType::kS8, {.N = 1, .C = static_cast<int64_t>(w.size())});
  };
  const WeightFacts ternary = facts({0, 127, -127, 127});
  expect(ternary.lowest == -127 && ternary.highest == 127 && ternary.step == 127, "ternary");
  const WeightFacts extremes = facts({-128, 127, -128});
  expect(extremes.lowest == -128 && extremes.highest == 127 && extremes.step == 255, "extremes");
  const WeightFacts one = facts({7, 7});
  expect(one.lowest == 7 && one.highest == 7 && one.step == 0, "one value");
}

PYRT_TEST(weight_facts_of_almost_dense_weights_count_every_block) {
  std::vector<int8_t> w(64 * 64, 3);
  w[5] = 0;
  const WeightFacts facts = measure_weights(w.data(), DType::kS8, {.N = 64, .C = 64});
  expect(facts.nonzeros == 64 * 64 - 1 && facts.quads == 64 * 16 && facts.blocks == 4 * 16,
         "facts of dense weights");
}

}  // namespace
}  // namespace pyrt::test
