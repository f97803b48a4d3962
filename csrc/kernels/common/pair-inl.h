// Two vectors that an algorithm over F (lanes-inl.h) takes as one: each operation is done on both
// before the next. A polynomial is a chain of operations that wait for each other; a second chain
// beside it fills the waits. Compilers do not interleave loop iterations, and give vectors wider
// than the machine's poor code. The bytes are those of F.
#pragma once

#include "kernels/common/lanes-inl.h"

namespace pyrt {
namespace {

template <class V>
struct Pair {
  V lo, hi;
};

template <class V>
struct LaneTraits<Pair<V>> {
  using Int = Pair<IntOf<V>>;
  using Uint = Pair<UintOf<V>>;
};

template <class V>
PYRT_INLINE Pair<V> pair_of(V lo, V hi) {
  return {lo, hi};
}
template <class V>
PYRT_INLINE V low(Pair<V> x) {
  return x.lo;
}
template <class V>
PYRT_INLINE V high(Pair<V> x) {
  return x.hi;
}
PYRT_INLINE float low(float x) { return x; }
PYRT_INLINE float high(float x) { return x; }
PYRT_INLINE uint32_t low(uint32_t x) { return x; }
PYRT_INLINE uint32_t high(uint32_t x) { return x; }
PYRT_INLINE int low(int x) { return x; }
PYRT_INLINE int high(int x) { return x; }

// The second operand is a Pair or a number.
template <class V, class B>
PYRT_INLINE auto operator+(Pair<V> a, B b) {
  return pair_of(a.lo + low(b), a.hi + high(b));
}
template <class V, class B>
PYRT_INLINE auto operator-(Pair<V> a, B b) {
  return pair_of(a.lo - low(b), a.hi - high(b));
}
template <class V, class B>
PYRT_INLINE auto operator*(Pair<V> a, B b) {
  return pair_of(a.lo * low(b), a.hi * high(b));
}
template <class V, class B>
PYRT_INLINE auto operator/(Pair<V> a, B b) {
  return pair_of(a.lo / low(b), a.hi / high(b));
}
template <class V, class B>
PYRT_INLINE auto operator&(Pair<V> a, B b) {
  return pair_of(a.lo & low(b), a.hi & high(b));
}
template <class V, class B>
PYRT_INLINE auto operator|(Pair<V> a, B b) {
  return pair_of(a.lo | low(b), a.hi | high(b));
}
template <class V, class B>
PYRT_INLINE auto operator<<(Pair<V> a, B b) {
  return pair_of(a.lo << low(b), a.hi << high(b));
}
template <class V, class B>
PYRT_INLINE auto operator>>(Pair<V> a, B b) {
  return pair_of(a.lo >> low(b), a.hi >> high(b));
}
template <class V, class B>
PYRT_INLINE auto operator<(Pair<V> a, B b) {
  return pair_of(a.lo < low(b), a.hi < high(b));
}
template <class V, class B>
PYRT_INLINE auto operator>(Pair<V> a, B b) {
  return pair_of(a.lo > low(b), a.hi > high(b));
}
template <class V, class B>
PYRT_INLINE auto operator<=(Pair<V> a, B b) {
  return pair_of(a.lo <= low(b), a.hi <= high(b));
}
template <class V, class B>
PYRT_INLINE auto operator>=(Pair<V> a, B b) {
  return pair_of(a.lo >= low(b), a.hi >= high(b));
}
template <class V, class B>
PYRT_INLINE auto operator==(Pair<V> a, B b) {
  return pair_of(a.lo == low(b), a.hi == high(b));
}
template <class V, class B>
PYRT_INLINE auto operator!=(Pair<V> a, B b) {
  return pair_of(a.lo != low(b), a.hi != high(b));
}
template <class V>
PYRT_INLINE Pair<V> operator-(Pair<V> x) {
  return {-x.lo, -x.hi};
}
template <class V>
PYRT_INLINE Pair<V> operator-(float a, Pair<V> b) {
  return {a - b.lo, a - b.hi};
}
template <class V>
PYRT_INLINE Pair<V> operator/(float a, Pair<V> b) {
  return {a / b.lo, a / b.hi};
}

// Four vectors: as many chains as the registers hold.
template <class F>
struct WideOf;
template <>
struct WideOf<Float8> {
  using Type = Pair<Pair<Float8>>;
};
template <>
struct WideOf<Float16> {
  using Type = Pair<Pair<Float16>>;
};

template <class M, class V>
PYRT_INLINE Pair<V> select(Pair<M> mask, Pair<V> yes, Pair<V> no) {
  return {select(mask.lo, yes.lo, no.lo), select(mask.hi, yes.hi, no.hi)};
}
template <class V>
PYRT_INLINE Pair<V> smaller(Pair<V> a, Pair<V> b) {
  return {smaller(a.lo, b.lo), smaller(a.hi, b.hi)};
}
template <class V>
PYRT_INLINE Pair<V> larger(Pair<V> a, Pair<V> b) {
  return {larger(a.lo, b.lo), larger(a.hi, b.hi)};
}
template <class V>
PYRT_INLINE Pair<V> square_root(Pair<V> x) {
  return {square_root(x.lo), square_root(x.hi)};
}

}  // namespace
}  // namespace pyrt
