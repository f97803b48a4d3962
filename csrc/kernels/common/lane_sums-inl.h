// Sums of numerics class D: 16 virtual lanes, element i goes to lane i mod 16 in ascending order,
// every lane starts at +0, and the lanes are added by a fixed tree. F is a float or a vector of
// floats (lanes-inl.h); the bytes are the same.
#pragma once

#include "kernels/common/lanes-inl.h"

namespace pyrt {
namespace {

constexpr int kVirtualLanes = 16;

// Pairs eight apart, then four, two, one. V is a float or, for 16 lanes of vectors, a vector.
template <class V>
PYRT_INLINE V add_tree(const V lane[kVirtualLanes]) {
  V sum[8];
  for (int i = 0; i < 8; ++i) sum[i] = lane[i] + lane[i + 8];
  for (int i = 0; i < 4; ++i) sum[i] = sum[i] + sum[i + 4];
  for (int i = 0; i < 2; ++i) sum[i] = sum[i] + sum[i + 2];
  return sum[0] + sum[1];
}

typedef float Float4 __attribute__((vector_size(16)));

// The lanes of a vector combined by a fixed tree: pairs half a vector apart, and so on.
template <class Combine>
PYRT_INLINE float fold(Float4 v, const Combine& combine) {
  const Float4 pairs = combine(v, __builtin_shufflevector(v, v, 2, 3, 2, 3));
  return combine(pairs[0], pairs[1]);
}
template <class Combine>
PYRT_INLINE float fold(Float8 v, const Combine& combine) {
  return fold(
      combine(__builtin_shufflevector(v, v, 0, 1, 2, 3), __builtin_shufflevector(v, v, 4, 5, 6, 7)),
      combine);
}
template <class Combine>
PYRT_INLINE float fold(Float16 v, const Combine& combine) {
  return fold(combine(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7),
                      __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15)),
              combine);
}

// The 16 lanes as vectors of F.
template <class F>
struct LaneSum {
  static constexpr int kParts = kVirtualLanes / static_cast<int>(kLanes<F>);
  F part[kParts] = {};

  PYRT_INLINE float total() const {
    const auto add = [](auto a, auto b) { return a + b; };
    if constexpr (kParts == 1) return fold(part[0], add);
    if constexpr (kParts == 2) return fold(part[0] + part[1], add);
    if constexpr (kLanes<F> == 1) return add_tree(part);
  }
};

// The first `count` of a vector's elements, `fill` behind them.
template <class F>
PYRT_INLINE F load_count(const float* from, int64_t count, float fill) {
  return count == kLanes<F> ? load<F>(from) : load_part<F>(from, count, fill);
}
template <class F>
PYRT_INLINE void store_count(float* to, F value, int64_t count) {
  if (count == kLanes<F>) {
    store(to, value);
  } else {
    store_part(to, value, count);
  }
}

// totals[r] = sum of map(x[r * n + i], r) over i < n, where map works on F. Several rows at once:
// the additions of one row wait for each other.
template <class F, int kRows, class Map>
PYRT_INLINE void sum_rows(float* totals, const float* x, int64_t n, const Map& map) {
  LaneSum<F> sum[kRows];
  int64_t i = 0;
  for (; i + kVirtualLanes <= n; i += kVirtualLanes) {
    for (int r = 0; r < kRows; ++r) {
      for (int k = 0; k < LaneSum<F>::kParts; ++k) {
        F& part = sum[r].part[k];
        part = part + map(load<F>(x + r * n + i + k * kLanes<F>), r);
      }
    }
  }
  for (int k = 0; i < n; ++k, i += kLanes<F>) {
    const int64_t count = n - i < kLanes<F> ? n - i : kLanes<F>;
    for (int r = 0; r < kRows; ++r) {
      float kept[kLanes<F>];
      store(kept, map(load_count<F>(x + r * n + i, count, 0.0f), r));
      // Adding +0 to the other lanes changes nothing: no lane is -0.
      sum[r].part[k] = sum[r].part[k] + load_count<F>(kept, count, 0.0f);
    }
  }
  for (int r = 0; r < kRows; ++r) totals[r] = sum[r].total();
}

// Applies map to n elements; in place if y == x.
template <class F, class Map>
PYRT_INLINE void map_lanes(float* y, const float* x, int64_t n, const Map& map) {
  int64_t i = 0;
  for (; i + kLanes<F> <= n; i += kLanes<F>) store(y + i, map(load<F>(x + i), i, kLanes<F>));
  if (i < n) store_part(y + i, map(load_part<F>(x + i, n - i, 0.0f), i, n - i), n - i);
}

}  // namespace
}  // namespace pyrt
