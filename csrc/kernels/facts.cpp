#include "kernels/facts.h"

#include <algorithm>
#include <iterator>
#include <numeric>

namespace pyrt {
namespace {

constexpr int64_t kColumns = 16;  // of a block
constexpr int64_t kQuad = 4;
constexpr int64_t kSixteen = 16;

// An f16 is zero where all bits but the sign are.
struct Half {
  uint16_t bits;
};
bool nonzero(int8_t value) { return value != 0; }
bool nonzero(float value) { return value != 0; }
bool nonzero(Half value) { return (value.bits & 0x7fff) != 0; }

// Counts in runs of k over up to 16 neighbouring columns.
class BlockCounter {
 public:
  BlockCounter(WeightFacts* facts, int64_t columns) : facts_(facts), columns_(columns) {}

  void add(int64_t column, bool present) {
    of_4_[column] += present ? 1 : 0;
    of_16_[column] += present ? 1 : 0;
  }
  void end_quad() {
    bool any = false;
    for (int64_t i = 0; i < columns_; ++i) {
      any = any || of_4_[i] != 0;
      facts_->quads += of_4_[i] != 0 ? 1 : 0;
      of_4_[i] = 0;
    }
    facts_->blocks += any ? 1 : 0;
  }
  void end_sixteen() {
    for (int64_t i = 0; i < columns_; ++i) {
      facts_->most_of_16 = std::max(facts_->most_of_16, of_16_[i]);
      of_16_[i] = 0;
    }
  }

 private:
  WeightFacts* facts_;
  int64_t columns_;
  int of_4_[kColumns] = {};
  int of_16_[kColumns] = {};
};

template <class T>
void count_blocks(const T* w, const WeightView& view, WeightFacts* facts) {
  const int64_t K = view.K();
  for (int64_t n = 0; n < view.N; n += kColumns) {
    const int64_t columns = std::min(kColumns, view.N - n);
    BlockCounter counter(facts, columns);
    for (int64_t k = 0; k < K; ++k) {
      for (int64_t i = 0; i < columns; ++i) counter.add(i, nonzero(w[view.index(k, n + i)]));
      if (k % kQuad == kQuad - 1 || k == K - 1) counter.end_quad();
      if (k % kSixteen == kSixteen - 1 || k == K - 1) counter.end_sixteen();
    }
  }
}

void assume_full(const WeightView& view, WeightFacts* facts) {
  const int64_t K = view.K();
  const int64_t quads = (K + kQuad - 1) / kQuad;
  facts->quads = quads * view.N;
  facts->blocks = quads * ((view.N + kColumns - 1) / kColumns);
  facts->most_of_16 = static_cast<int>(std::min(K, kSixteen));
}

template <class T>
void measure(const T* w, const WeightView& view, WeightFacts* facts) {
  int64_t nonzeros = 0;
  for (int64_t i = 0; i < facts->count; ++i) nonzeros += nonzero(w[i]) ? 1 : 0;
  facts->nonzeros = nonzeros;
  if ((facts->count - nonzeros) * 8 < facts->count) {
    assume_full(view, facts);
  } else {
    count_blocks(w, view, facts);
  }
}

void measure_values(const int8_t* w, WeightFacts* facts) {
  bool seen[256] = {};  // by value + 128
  for (int64_t i = 0; i < facts->count; ++i) seen[w[i] + 128] = true;
  const auto first = std::find(std::begin(seen), std::end(seen), true);
  if (first == std::end(seen)) return;
  facts->lowest = static_cast<int>(first - std::begin(seen)) - 128;
  for (int value = facts->lowest; value < 128; ++value) {
    if (!seen[value + 128]) continue;
    facts->highest = value;
    facts->step = std::gcd(facts->step, value - facts->lowest);
  }
}

}  // namespace

WeightFacts measure_weights(const void* weights, DType dtype, const WeightView& view) {
  WeightFacts facts;
  facts.count = view.N * view.K();
  facts.nonzeros = facts.count;
  if (dtype == DType::kS8) {
    const auto* w = static_cast<const int8_t*>(weights);
    measure_values(w, &facts);
    measure(w, view, &facts);
  } else if (dtype == DType::kF32) {
    measure(static_cast<const float*>(weights), view, &facts);
  } else if (dtype == DType::kF16) {
    measure(static_cast<const Half*>(weights), view, &facts);
  } else {
    assume_full(view, &facts);
  }
  return facts;
}

}  // namespace pyrt
