// s8 by vpdpbusd on activations with an offset of 128, whatever the width of the vectors: exact, as
// the instruction adds four products to s32 without saturating.
//
// V says how vectors are loaded and multiplied, how many of them make a panel of 16 columns, and
// how many registers there are. Packing and tiles are the same for all widths.
#pragma once

#include "kernels/gemm/gemm-inl.h"

namespace pyrt {
namespace {

template <class V>
struct VnniS8 {
  using X = int8_t;
  using A = uint8_t;  // s8 + 128: the offset form of the operand
  using W = int8_t;
  using Acc = int32_t;
  using Register = typename V::Register;
  static constexpr int kMr = 6;
  static constexpr int kKr = 4;
  static constexpr int kMaxAcc = 6 * 64;
  static constexpr bool kInPlace = true;

  static int panels(int rows) { return V::panels(rows); }

  static void prepare(const int8_t* x, int64_t count, uint8_t* a) {
    memcpy(a, x, static_cast<size_t>(count));
  }

  template <int kRows, int kPanels>
  [[gnu::noinline]] static void tile_of(const uint8_t* const* a, const int64_t* taps, int n_taps,
                                        int64_t segment, const int8_t* w, int64_t K, int32_t* acc) {
    constexpr int kWidth = V::kRegisters * kPanels;
    constexpr int kLanes = kPanel / V::kRegisters;
    Register c[kRows][kWidth];
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int i = 0; i < kWidth; ++i) c[r][i] = V::zero();
    }
    for (int t = 0; t < n_taps; ++t) {
      const uint8_t* x[kRows];
      for (int r = 0; r < kRows; ++r) x[r] = a[r] + taps[t];
      for (int64_t k = 0; k < segment; k += kKr, w += kKr * kPanel) {
        Register weights[kWidth];
#pragma GCC unroll 8
        for (int i = 0; i < kWidth; ++i) {
          weights[i] = V::load(w + i / V::kRegisters * kPanel * K + i % V::kRegisters * kLanes * 4);
        }
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) {
          int32_t four;
          memcpy(&four, x[r] + k, sizeof(four));
          const Register value = V::broadcast(four);
#pragma GCC unroll 8
          for (int i = 0; i < kWidth; ++i) c[r][i] = V::dot(c[r][i], value, weights[i]);
        }
      }
    }
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int i = 0; i < kWidth; ++i) V::store(acc + (r * kWidth + i) * kLanes, c[r][i]);
    }
  }

  using Tile = void (*)(const uint8_t* const*, const int64_t*, int, int64_t, const int8_t*, int64_t,
                        int32_t*);
  // Null where accumulators, weights and a broadcast would not fit the registers; V::panels() never
  // asks for those.
  template <int kRows, int kPanels>
  static constexpr Tile tile_or_null() {
    // A single row reads each vector of weights once, from memory.
    constexpr int kWidth = V::kRegisters * kPanels;
    if constexpr (kRows * kWidth + (kRows == 1 ? 1 : kWidth) + 1 <= V::kFile) {
      return tile_of<kRows, kPanels>;
    } else {
      return nullptr;
    }
  }
  template <int kPanels>
  static Tile tile_for(int rows) {
    static constexpr Tile kTiles[kMr] = {tile_or_null<1, kPanels>(), tile_or_null<2, kPanels>(),
                                         tile_or_null<3, kPanels>(), tile_or_null<4, kPanels>(),
                                         tile_or_null<5, kPanels>(), tile_or_null<6, kPanels>()};
    return kTiles[rows - 1];
  }

  static void tile(int rows, int panels, const uint8_t* const* a, const int64_t* taps, int n_taps,
                   int64_t segment, const int8_t* w, int64_t K, int32_t* acc) {
    const Tile run = panels == 4   ? tile_for<4>(rows)
                     : panels == 2 ? tile_for<2>(rows)
                                   : tile_for<1>(rows);
    run(a, taps, n_taps, segment, w, K, acc);
  }

  static void finish(const Epilogue& e, const int32_t* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    V::finish(e, acc, ldacc, rows, columns, n, at, ldy);
  }
};

}  // namespace
}  // namespace pyrt
