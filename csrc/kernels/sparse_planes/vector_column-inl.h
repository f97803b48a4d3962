// Isa::column for entries that are a broadcast weight times values of the plane in memory: Op has
//   using Element, Entry, P;  // of the accumulators, the weights, the plane
//   using Register;           // a GNU vector of Elements, may_alias
//   static Weight weight(const Entry& entry);
//   static Register add(Register sum, const P* x, Weight w);
#pragma once

#include "kernels/sparse_planes/planes.h"

namespace pyrt {
namespace {

template <class Op>
struct VectorColumn {
  using Register = typename Op::Register;
  using Entry = typename Op::Entry;
  using P = typename Op::P;
  using Element = typename Op::Element;
  static constexpr int kLanes = static_cast<int>(sizeof(Register) / sizeof(Element));

  template <int kVectors>
  PYRT_INLINE static void add(const Entry& entry, const P* plane, const int32_t* offsets,
                              Register (&c)[kVectors]) {
    const P* x = plane + offsets[entry.k];
    const auto w = Op::weight(entry);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) c[v] = Op::add(c[v], x + kLanes * v, w);
  }

  // Four chains of additions or more, whatever the width: so many entries at a time.
  template <int kPixels>
  [[gnu::noinline]] static void of_width(const Entry* from, const Entry* to, const P* plane,
                                         const int32_t* offsets, bool first, Element* acc) {
    constexpr int kVectors = kPixels / kLanes, kAtOnce = kVectors < 4 ? 4 / kVectors : 1;
    Register c[kAtOnce][kVectors] = {};
    if (!first) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) c[0][v] = reinterpret_cast<const Register*>(acc)[v];
    }
    for (; to - from >= kAtOnce; from += kAtOnce) {
#pragma GCC unroll 4
      for (int i = 0; i < kAtOnce; ++i) add(from[i], plane, offsets, c[i]);
    }
    for (; from < to; ++from) add(*from, plane, offsets, c[0]);
#pragma GCC unroll 4
    for (int i = 1; i < kAtOnce; ++i) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) c[0][v] += c[i][v];
    }
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) reinterpret_cast<Register*>(acc)[v] = c[0][v];
  }

  PYRT_INLINE static void column(const Entry* from, const Entry* to, const P* plane,
                                 const int32_t* offsets, int pixels, bool first, Element* acc) {
    switch (pixels) {
      case 16:
        return of_width<16>(from, to, plane, offsets, first, acc);
      case 32:
        return of_width<32>(from, to, plane, offsets, first, acc);
      case 48:
        return of_width<48>(from, to, plane, offsets, first, acc);
      default:
        return of_width<64>(from, to, plane, offsets, first, acc);
    }
  }
};

}  // namespace
}  // namespace pyrt
