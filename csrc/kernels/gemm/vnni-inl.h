// s8 by vpdpbusd on activations with an offset of 128, whatever the width of the vectors: exact, as
// the instruction adds four products to s32 without saturating.
//
// A tile's accumulators begin with the bias and leave the registers as bytes, or as sums where
// those are wanted. Tiles above each other are one call: between few k, a way over memory and a
// function for each tile cost more than the product.
//
// V says how vectors are loaded, multiplied and made bytes, how many of them make a panel of 16
// columns, and how many registers there are. Packing and walk are the same for all widths.
#pragma once

#include "kernels/gemm/gemm-inl.h"
#include "kernels/gemm/quantized_avx2-inl.h"

namespace pyrt {
namespace {

inline constexpr int kVnniPanels = 4;  // of a tile, at most

// Rows times a tile's panels.
struct VnniTiles {
  const uint8_t* const* rows;
  const int64_t* taps;
  int64_t n_taps;
  int64_t segment;
  const int8_t* w;
  const int32_t* base;           // of each column: where its accumulators begin
  const QuantizedPanel* panels;  // where bytes are wanted
  int last_columns;              // of the last panel, likewise
  const uint8_t* residual;       // like y, or null
  void* y;                       // bytes or sums
  int64_t ldy;
};

template <class V>
struct VnniS8 {
  using X = int8_t;
  using A = uint8_t;  // s8 + 128: the offset form of the operand
  using W = int8_t;
  using Acc = int32_t;
  using Register = typename V::Register;
  static constexpr int kMr = 6;
  static constexpr int kKr = 4;
  static constexpr bool kInPlace = true;

  static void prepare(const int8_t* x, int64_t count, uint8_t* a) {
    memcpy(a, x, static_cast<size_t>(count));
  }

  // `count` tiles of kRows rows and kPanels panels, from row `m` on.
  template <int kRows, int kPanels, bool kBytes>
  [[gnu::noinline]] static void tiles_of(const VnniTiles& t, int64_t m, int64_t count) {
    constexpr int kWidth = V::kRegisters * kPanels;
    constexpr int kLanes = kPanel / V::kRegisters;
    // Stores to y may alias t.
    const uint8_t* const* a = t.rows + m;
    const int64_t* const taps = t.taps;
    const int64_t n_taps = t.n_taps, segment = t.segment, ldy = t.ldy;
    const int64_t panel_step = kPanel * n_taps * segment;
    for (; count > 0; --count, a += kRows, m += kRows) {
      Register c[kRows][kWidth];
#pragma GCC unroll 8
      for (int i = 0; i < kWidth; ++i) {
        const Register base = V::load_sums(t.base + i * kLanes);
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) c[r][i] = base;
      }
      const int8_t* w = t.w;
      for (int64_t tap = 0; tap < n_taps; ++tap) {
        const uint8_t* x[kRows];
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) x[r] = a[r] + taps[tap];
        for (int64_t k = 0; k < segment; k += kKr, w += kKr * kPanel) {
          Register weights[kWidth];
#pragma GCC unroll 8
          for (int i = 0; i < kWidth; ++i) {
            weights[i] =
                V::load(w + i / V::kRegisters * panel_step + i % V::kRegisters * kLanes * kKr);
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
      const int64_t at = m * ldy;
      if constexpr (kBytes) {
        uint8_t* y = static_cast<uint8_t*>(t.y) + at;
        if (t.residual == nullptr) {
          V::template store_bytes<false>(c, t.panels, t.last_columns, nullptr, y, ldy);
        } else {
          V::template store_bytes<true>(c, t.panels, t.last_columns, t.residual + at, y, ldy);
        }
      } else {
        int32_t* y = static_cast<int32_t*>(t.y) + at;
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
          for (int i = 0; i < kWidth; ++i) V::store_sums(y + r * ldy + i * kLanes, c[r][i]);
        }
      }
    }
  }

  using Run = void (*)(const VnniTiles&, int64_t, int64_t);
  // Null where accumulators, weights and a broadcast would not fit the registers; V::panels() never
  // asks for those.
  template <int kRows, int kPanels, bool kBytes>
  static constexpr Run run_or_null() {
    // A single row reads each vector of weights once, from memory.
    constexpr int kWidth = V::kRegisters * kPanels;
    if constexpr (kRows * kWidth + (kRows == 1 ? 1 : kWidth) + 1 <= V::kFile) {
      return tiles_of<kRows, kPanels, kBytes>;
    } else {
      return nullptr;
    }
  }
  template <int kPanels, bool kBytes>
  static Run run_for(int64_t rows) {
    static constexpr Run kRuns[kMr] = {
        run_or_null<1, kPanels, kBytes>(), run_or_null<2, kPanels, kBytes>(),
        run_or_null<3, kPanels, kBytes>(), run_or_null<4, kPanels, kBytes>(),
        run_or_null<5, kPanels, kBytes>(), run_or_null<6, kPanels, kBytes>()};
    return kRuns[rows - 1];
  }
  template <bool kBytes>
  static Run run_of(int64_t rows, int64_t panels) {
    if (panels == 4) return run_for<4, kBytes>(rows);
    return panels == 2 ? run_for<2, kBytes>(rows) : run_for<1, kBytes>(rows);
  }

  // Balanced heights: 16 rows are 6 + 5 + 5, not 6 + 6 + 4.
  template <bool kBytes>
  static void run_tiles(const VnniTiles& t, int64_t rows, int64_t panels) {
    const int64_t tiles = ceil_div(rows, kMr);
    const int64_t least = rows / tiles, more = rows % tiles;
    if (more > 0) run_of<kBytes>(least + 1, panels)(t, 0, more);
    run_of<kBytes>(least, panels)(t, more * (least + 1), tiles - more);
  }

  // The same with the general epilogue, over memory, for what bytes and sums do not cover.
  static void finish_tiles(const Epilogue& e, VnniTiles t, int64_t rows, int64_t panels, int64_t n,
                           int64_t at, int64_t ldy) {
    alignas(64) static constexpr int32_t kZeros[kVnniPanels * kPanel] = {};
    alignas(64) int32_t sums[kMr * kVnniPanels * kPanel];
    t.base = kZeros;
    t.y = sums;
    t.ldy = panels * kPanel;
    const int64_t tiles = ceil_div(rows, kMr);
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t m = part(rows, tiles, tile);
      const int64_t height = part(rows, tiles, tile + 1) - m;
      run_of<false>(height, panels)(t, 0, 1);
      t.rows += height;
      for (int64_t i = 0; i < panels; ++i) {
        const int columns = i + 1 < panels ? kPanel : t.last_columns;
        V::finish(e, sums + i * kPanel, static_cast<int>(t.ldy), static_cast<int>(height), columns,
                  n + i * kPanel, at + m * ldy + i * kPanel, ldy);
      }
    }
  }

  // In the place of multiply() in gemm-inl.h.
  static constexpr bool kMultiplies = true;
  static void multiply(const Epilogue& e, const Segments<uint8_t>& a, int64_t rows, const int8_t* w,
                       int64_t N, int64_t first, int64_t last, int64_t channel, int64_t at,
                       int64_t ldy) {
    if (rows == 0) return;
    const int64_t K = a.n_taps * a.segment;
    const bool bytes = quantizes(e);
    // A panel that is not whole stays alone where its bytes or sums would have to be.
    const int64_t together = bytes && V::kStoresParts ? last : smaller(last, N / kPanel);
    const int64_t wide = V::panels(static_cast<int>(ceil_div(rows, ceil_div(rows, kMr))));
    alignas(64) int32_t base[kVnniPanels * kPanel];
    QuantizedPanel panels[kVnniPanels];
    for (int64_t panel = first, width = wide; panel < last; panel += width) {
      while (width > larger(1, together - panel)) width /= 2;  // V::panels() is a power of two
      const int64_t n = panel * kPanel, end = n + width * kPanel;
      const bool whole = end <= N;
      bool fits = panel < together && (bytes || !e.params.has_scale);
      for (int64_t i = 0; fits && i < width; ++i) {
        const int64_t begin = n + i * kPanel;
        const auto columns = static_cast<int>(smaller(kPanel, N - begin));
        fits = fill_panel(e, channel + begin, columns, panels + i);
        memcpy(base + i * kPanel, panels[i].base, sizeof(panels[i].base));
      }
      VnniTiles t{a.rows,
                  a.taps,
                  a.n_taps,
                  a.segment,
                  w + n * K,
                  base,
                  panels,
                  whole ? kPanel : static_cast<int>(N % kPanel),
                  residual_at(e, at + n),
                  nullptr,
                  ldy};
      if (!fits) {
        finish_tiles(e, t, rows, width, channel + n, at + n, ldy);
      } else if (bytes) {
        t.y = static_cast<uint8_t*>(e.y) + at + n;
        run_tiles<true>(t, rows, width);
      } else {
        t.y = static_cast<int32_t*>(e.y) + at + n;
        run_tiles<false>(t, rows, width);
      }
    }
  }
};

}  // namespace
}  // namespace pyrt
