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

// The 16 lanes as vectors of F.
template <class F>
struct LaneSum {
  static constexpr int kParts = kVirtualLanes / static_cast<int>(kLanes<F>);
  F part[kParts] = {};

  PYRT_INLINE float total() const {
    float lane[kVirtualLanes];
    for (int k = 0; k < kParts; ++k) store(lane + k * kLanes<F>, part[k]);
    return add_tree(lane);
  }
};

// Sum of map(x[i]), where map works on F, and each(i, map(x[i]), count) sees every value on the
// way: it may store it. The elements of the last, partial vector are loaded as `fill`. `sum` holds
// what came before, a multiple of kVirtualLanes elements.
template <class F, class Map, class Each>
PYRT_INLINE float sum_lanes(const float* x, int64_t n, float fill, const Map& map, const Each& each,
                            LaneSum<F> sum = {}) {
  int64_t i = 0;
  for (; i + kVirtualLanes <= n; i += kVirtualLanes) {
    for (int k = 0; k < LaneSum<F>::kParts; ++k) {
      const int64_t at = i + k * kLanes<F>;
      const F value = map(load<F>(x + at));
      each(at, value, kLanes<F>);
      sum.part[k] = sum.part[k] + value;
    }
  }
  for (int k = 0; i < n; ++k, i += kLanes<F>) {
    const int64_t count = n - i < kLanes<F> ? n - i : kLanes<F>;
    const F value = map(load_part<F>(x + i, count, fill));
    each(i, value, count);
    // Adding +0 to the other lanes changes nothing: no lane is -0.
    float kept[kLanes<F>];
    store(kept, value);
    sum.part[k] = sum.part[k] + load_part<F>(kept, count, 0.0f);
  }
  return sum.total();
}

template <class F, class Map>
PYRT_INLINE float sum_lanes(const float* x, int64_t n, float fill, const Map& map) {
  return sum_lanes<F>(x, n, fill, map, [](int64_t, F, int64_t) {});
}

// Applies map to n elements; in place if y == x.
template <class F, class Map>
PYRT_INLINE void map_lanes(float* y, const float* x, int64_t n, const Map& map) {
  int64_t i = 0;
  for (; i + kLanes<F> <= n; i += kLanes<F>) store(y + i, map(load<F>(x + i), i, kLanes<F>));
  if (i < n) store_part(y + i, map(load_part<F>(x + i, n - i, 0.0f), i, n - i), n - i);
}

// The first `count` of a vector's elements, `fill` behind them.
template <class F>
PYRT_INLINE F load_count(const float* from, int64_t count, float fill) {
  return count == kLanes<F> ? load<F>(from) : load_part<F>(from, count, fill);
}

}  // namespace
}  // namespace pyrt
