// Narrow rows by vpdpbusd: the masked weights are its unsigned operand, the activations the signed
// one, so neither needs an offset.
//
// There is an accumulator for each field of a byte: no shift is needed before the end, and the
// fields of one row make the chains that the latency of vpdpbusd asks for. V says how vectors are
// loaded and multiplied, how many of them make a panel and how many accumulators there are room
// for.
#pragma once

#include "kernels/narrow/narrow-inl.h"

namespace pyrt {
namespace {

template <class V>
struct VnniNarrow {
  using Register = typename V::Register;

  static constexpr int rows(int bits) {
    const int most = V::kAccumulators * bits / (8 * V::kRegisters);
    return most > 4 ? 4 : most;
  }
  static constexpr int panels(int bits, int rows) {
    const int most = V::kAccumulators * bits / (8 * V::kRegisters * rows);
    return most >= 4 ? 4 : (most >= 2 ? 2 : 1);
  }

  template <int kBits, int kRows, int kPanels>
  [[gnu::noinline]] static void tile_of(const int8_t* const* a, const uint8_t* w, int64_t blocks,
                                        int32_t* acc) {
    constexpr int kFields = 8 / kBits;
    constexpr int kWidth = V::kRegisters * kPanels;
    constexpr int kBytes = static_cast<int>(kNarrowBlock) / V::kRegisters;
    Register c[kFields][kRows][kWidth];
    Register mask[kFields];
#pragma GCC unroll 8
    for (int f = 0; f < kFields; ++f) {
      mask[f] = V::broadcast(0x01010101 * (((1 << kBits) - 1) << (f * kBits)));
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
        for (int i = 0; i < kWidth; ++i) c[f][r][i] = Register{};
      }
    }
    const int8_t* x[kRows];
    for (int r = 0; r < kRows; ++r) x[r] = a[r];
    for (int64_t b = 0; b < blocks; ++b, w += kNarrowBlock) {
      Register weights[kWidth];
#pragma GCC unroll 8
      for (int i = 0; i < kWidth; ++i) {
        weights[i] =
            V::load(w + i / V::kRegisters * blocks * kNarrowBlock + i % V::kRegisters * kBytes);
      }
#pragma GCC unroll 8
      for (int f = 0; f < kFields; ++f) {
        Register value[kRows];
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
          int32_t four;
          memcpy(&four, x[r] + 4 * f, sizeof(four));
          value[r] = V::broadcast(four);
        }
#pragma GCC unroll 8
        for (int i = 0; i < kWidth; ++i) {
          const Register u = weights[i] & mask[f];
#pragma GCC unroll 4
          for (int r = 0; r < kRows; ++r) c[f][r][i] = V::dot(c[f][r][i], u, value[r]);
        }
      }
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) x[r] += 4 * kFields;
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int i = 0; i < kWidth; ++i) {
        Register sum = c[0][r][i];
#pragma GCC unroll 8
        for (int f = 1; f < kFields; ++f) {
          sum += c[f][r][i] >> (kBits * f);
        }
        V::store(acc + (r * kWidth + i) * (kPanel / V::kRegisters), sum);
      }
    }
  }

  template <int kBits, int kRows>
  static void tile_rows(int panels_of_tile, const int8_t* const* a, const uint8_t* w,
                        int64_t blocks, int32_t* acc) {
    constexpr int kMost = panels(kBits, kRows);
    if constexpr (kMost >= 4) {
      if (panels_of_tile == 4) return tile_of<kBits, kRows, 4>(a, w, blocks, acc);
    }
    if constexpr (kMost >= 2) {
      if (panels_of_tile == 2) return tile_of<kBits, kRows, 2>(a, w, blocks, acc);
    }
    tile_of<kBits, kRows, 1>(a, w, blocks, acc);
  }

  template <int kBits>
  static void tile(int rows_of_tile, int panels_of_tile, const int8_t* const* a, const uint8_t* w,
                   int64_t blocks, int32_t* acc) {
    constexpr int kMost = rows(kBits);
    if constexpr (kMost >= 4) {
      if (rows_of_tile == 4) return tile_rows<kBits, 4>(panels_of_tile, a, w, blocks, acc);
    }
    if constexpr (kMost >= 3) {
      if (rows_of_tile == 3) return tile_rows<kBits, 3>(panels_of_tile, a, w, blocks, acc);
    }
    if constexpr (kMost >= 2) {
      if (rows_of_tile == 2) return tile_rows<kBits, 2>(panels_of_tile, a, w, blocks, acc);
    }
    tile_rows<kBits, 1>(panels_of_tile, a, w, blocks, acc);
  }

  static void finish(const Epilogue& e, const int32_t* acc, int ldacc, int rows_of_tile,
                     int columns, int64_t n, int64_t at, int64_t ldy) {
    V::finish(e, acc, ldacc, rows_of_tile, columns, n, at, ldy);
  }
};

}  // namespace
}  // namespace pyrt
