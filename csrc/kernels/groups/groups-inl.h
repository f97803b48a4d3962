// What the vector rows of gemm_groups share (groups.h): packing, quantising, the loops over tasks
// and tiles. An ISA file supplies
//
//   struct Isa {
//     // As quantize_group(), for count == group, a multiple of 16.
//     static void quantize(const float* x, int64_t count, int64_t group, int8_t* q, float* scale,
//                          int32_t* total);
//     static constexpr int rows();                      // of the largest tile: 1, 2 or 4
//     static constexpr int panels(int bits, int rows);  // of a tile of so many rows: 1, 2 or 4
//     // tile.acc[rows][panels][16] = the sums over groups.
//     template <int kBits>
//     static void tile(const GroupTile& tile, int rows, int panels);
//   };
#pragma once

#include "kernels/gemm/gemm-inl.h"
#include "kernels/groups/groups.h"
#include "kernels/groups/quantize_groups-inl.h"
#include "kernels/groups/scales-inl.h"

namespace pyrt {
namespace {

inline constexpr int64_t kGroupBlock = 64;  // bytes: 16 columns of 4

// A few rows times a few panels. Strides of rows: K = groups * group elements of q, `groups` of
// the others.
struct GroupTile {
  QuantizedRows a;
  const uint8_t* w;     // [panels][groups][blocks][16][4]
  const void* scale;    // [panels][groups][16] f32 or f16
  const uint8_t* zero;  // [panels][groups][16], or null: 2^(bits - 1) everywhere
  bool half;            // scales are f16
  int64_t groups;
  int64_t group;
  int64_t blocks;  // of a group
  float* acc;
};

template <class Isa>
struct GroupsRows {
  static constexpr int64_t kBlockRows = 16;

  static const char* supports(const Problem& problem) {
    for (size_t i = kGroupsW; i <= kGroupsZero; ++i) {
      if (problem.has_input(i) && problem.inputs[i].constant == nullptr) {
        return "the weights are not constant";
      }
    }
    return nullptr;
  }

  static int64_t panels(const GroupsParams& p) { return ceil_div(p.N, kPanel); }
  static int64_t blocks(const GroupsParams& p) { return p.group * p.bits / 32; }  // of a group

  // Whether all scales are f16.
  static bool half_scales(const Problem& problem) {
    const Operand& scale = problem.inputs[kGroupsScale];
    const int64_t count = scale.dims.count();
    uint16_t half;
    for (int64_t i = 0; scale.dtype == DType::kF32 && i < count; ++i) {
      if (!narrow_half(static_cast<const float*>(scale.constant)[i], &half)) return false;
    }
    return true;
  }

  // Offsets of the parts of the packed weights.
  struct Parts {
    int64_t weights = 64;  // behind a byte that says whether scales are f16
    int64_t scale, zero, end;
  };
  static Parts parts(const Problem& problem, bool half) {
    const auto& p = problem.as<GroupsParams>();
    const int64_t groups = panels(p) * p.G;
    Parts at;
    at.scale = at.weights + groups * blocks(p) * kGroupBlock;
    at.zero = at.scale + groups * kPanel * (half ? 2 : 4);
    at.end = at.zero + (problem.has_input(kGroupsZero) ? groups * kPanel : 0);
    return at;
  }

  static size_t packed_bytes(const Problem& problem) {
    return static_cast<size_t>(parts(problem, half_scales(problem)).end);
  }

  // One column of a group: from runs of `fields` neighbours in a byte to blocks.
  static void pack_column(const GroupsParams& p, const uint8_t* from, uint8_t* to) {
    const int64_t fields = 8 / p.bits;
    for (int64_t k = 0; k < p.group; ++k) {
      const int shift = static_cast<int>(k % fields) * p.bits;
      const unsigned u = static_cast<unsigned>(from[k / fields]) >> shift & ((1u << p.bits) - 1);
      uint8_t* byte = to + k / (4 * fields) * kGroupBlock + k % 4;
      *byte = static_cast<uint8_t>(*byte | u << (k / 4 % fields * p.bits));
    }
  }

  static void pack(const Problem& problem, void* packed) {
    const auto& p = problem.as<GroupsParams>();
    const bool half = half_scales(problem);
    const Parts at = parts(problem, half);
    auto* out = static_cast<uint8_t*>(packed);
    const auto* w = static_cast<const uint8_t*>(problem.inputs[kGroupsW].constant);
    memset(out, 0, static_cast<size_t>(at.end));
    out[0] = half ? 1 : 0;
    for (int64_t n = 0; n < p.N; ++n) {
      for (int64_t g = 0; g < p.G; ++g) {
        const int64_t from = n * p.G + g, panel = n / kPanel * p.G + g;
        const int64_t to = panel * kPanel + n % kPanel;
        pack_column(p, w + from * p.group * p.bits / 8,
                    out + at.weights + panel * blocks(p) * kGroupBlock + n % kPanel * 4);
        const float scale = group_scale(problem, problem.inputs[kGroupsScale].constant, from);
        if (half) {
          narrow_half(scale, reinterpret_cast<uint16_t*>(out + at.scale) + to);
        } else {
          reinterpret_cast<float*>(out + at.scale)[to] = scale;
        }
        if (!problem.has_input(kGroupsZero)) continue;
        out[at.zero + to] = static_cast<const uint8_t*>(problem.inputs[kGroupsZero].constant)[from];
      }
    }
  }

  static Blocking blocking(const GroupsParams& p) {
    constexpr double kTaskMacs = 1 << 19;
    Blocking b;
    b.panels = panels(p);
    b.m_blocks = ceil_div(larger(p.M, 1), kBlockRows);
    b.block_rows = ceil_div(larger(p.M, 1), b.m_blocks);
    const double macs = static_cast<double>(p.M) * static_cast<double>(p.N * p.K);
    const auto wanted = static_cast<int64_t>(smaller(16, static_cast<int64_t>(macs / kTaskMacs)));
    b.n_blocks = larger(1, smaller(ceil_div(wanted, b.m_blocks), ceil_div(b.panels, 4)));
    return b;
  }
  static int64_t tasks(const Problem& problem) {
    const Blocking b = blocking(problem.as<GroupsParams>());
    return b.m_blocks * b.n_blocks;
  }

  static int64_t q_bytes(const GroupsParams& p) {  // of a block of rows
    return round_up(blocking(p).block_rows * p.G * p.group, 64);
  }
  static int64_t scales_bytes(const GroupsParams& p) {
    return round_up(blocking(p).block_rows * p.G * 4, 64);
  }
  static size_t scratch_bytes(const Problem& problem) {
    const auto& p = problem.as<GroupsParams>();
    return static_cast<size_t>(q_bytes(p) + 2 * scales_bytes(p));
  }

  template <int kBits>
  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const auto& p = problem.as<GroupsParams>();
    const Blocking b = blocking(p);
    auto* scratch = static_cast<char*>(call.scratch);
    auto* scale = reinterpret_cast<float*>(scratch + q_bytes(p));
    auto* total = reinterpret_cast<int32_t*>(scratch + q_bytes(p) + scales_bytes(p));
    const QuantizedRows a{reinterpret_cast<int8_t*>(scratch), scale, total};
    int64_t quantized = -1;  // block of rows
    for (int64_t task = begin; task < end; ++task) {
      const int64_t mi = task / b.n_blocks, ni = task % b.n_blocks;
      const int64_t m = b.row(p.M, mi), rows = b.row(p.M, mi + 1) - m;
      if (mi != quantized) {
        const float* x = static_cast<const float*>(call.inputs[kGroupsA]) + m * p.K;
        quantize_rows_by_group(p, x, rows, a, Isa::quantize);
        quantized = mi;
      }
      const int64_t first = part(ceil_div(b.panels, 4), b.n_blocks, ni) * 4;
      const int64_t last = smaller(b.panels, part(ceil_div(b.panels, 4), b.n_blocks, ni + 1) * 4);
      run_panels<kBits>(problem, call, a, m, rows, first, last);
    }
  }

  // Panels [first, last) for `rows` quantised rows, the first of which is row m of y.
  template <int kBits>
  static void run_panels(const Problem& problem, const Call& call, const QuantizedRows& a,
                         int64_t m, int64_t rows, int64_t first, int64_t last) {
    const auto& p = problem.as<GroupsParams>();
    const auto* packed = static_cast<const uint8_t*>(call.packed);
    const bool half = packed[0] != 0;
    const Parts at = parts(problem, half);
    alignas(64) float acc[4 * 4 * kPanel];
    for (int64_t panel = first; panel < last;) {
      // Panels that all heights can take, so that weights are read from L2 once.
      const int tallest = static_cast<int>(smaller(rows, Isa::rows()));
      int width = Isa::panels(kBits, tallest == 3 ? 2 : tallest);
      while (width > last - panel) width /= 2;
      const int64_t groups = panel * p.G;
      GroupTile tile{a,
                     packed + at.weights + groups * blocks(p) * kGroupBlock,
                     packed + at.scale + groups * kPanel * (half ? 2 : 4),
                     problem.has_input(kGroupsZero) ? packed + at.zero + groups * kPanel : nullptr,
                     half,
                     p.G,
                     p.group,
                     blocks(p),
                     acc};
      for (int64_t r = 0; r < rows;) {
        int height = Isa::rows();
        while (height > rows - r) height /= 2;
        tile.a = {a.q + r * p.G * p.group, a.scale + r * p.G, a.total + r * p.G};
        Isa::template tile<kBits>(tile, height, width);
        store(problem, call, acc, height, width, m + r, panel * kPanel);
        r += height;
      }
      panel += width;
    }
  }

  static void store(const Problem& problem, const Call& call, const float* acc, int height,
                    int width, int64_t m, int64_t n) {
    const auto& p = problem.as<GroupsParams>();
    const int64_t columns = smaller(width * kPanel, p.N - n);
    for (int r = 0; r < height; ++r, acc += width * kPanel) {
      float* y = static_cast<float*>(call.outputs[0]) + (m + r) * p.N + n;
      if (!problem.has_input(kGroupsBias)) {
        memcpy(y, acc, static_cast<size_t>(columns) * sizeof(float));
        continue;
      }
      const float* bias = static_cast<const float*>(call.inputs[kGroupsBias]) + n;
      for (int64_t i = 0; i < columns; ++i) y[i] = acc[i] + bias[i];
    }
  }

  static void run_any(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    switch (problem.as<GroupsParams>().bits) {
      case 2:
        return run<2>(problem, call, begin, end);
      case 4:
        return run<4>(problem, call, begin, end);
      default:
        return run<8>(problem, call, begin, end);
    }
  }
};

// Predicted time: multiply-adds, reading weights once for each tile of rows, and the float sums of
// every group.
struct GroupsRates {
  double macs_per_ns;
  double bytes_per_ns;
  double group_ns;  // of 16 columns
};

template <class Isa>
double groups_cost_ns(const GroupsRates& rates, const Problem& problem) {
  using Rows = GroupsRows<Isa>;
  const auto& p = problem.as<GroupsParams>();
  const double groups = static_cast<double>(Rows::panels(p) * p.G);
  const double macs = static_cast<double>(p.M) * groups * static_cast<double>(p.group * kPanel);
  const double tiles = static_cast<double>(ceil_div(p.M, Isa::rows()));
  const double bytes = tiles * groups * static_cast<double>(Rows::blocks(p) * kGroupBlock + 48);
  const double by_macs =
      macs / rates.macs_per_ns + static_cast<double>(p.M) * groups * rates.group_ns;
  const double by_bytes = bytes / rates.bytes_per_ns;
  return 80 + static_cast<double>(p.M * p.K) * 0.12 + (by_macs > by_bytes ? by_macs : by_bytes);
}

template <class Isa>
constexpr Row groups_row(std::string_view name, FeatureMask features,
                         double (*cost_ns)(const Problem&)) {
  using Rows = GroupsRows<Isa>;
  return {.name = name,
          .family = "gemm_groups",
          .exactness = Exactness::kCanonical,
          .features = features,
          .mr = static_cast<uint16_t>(Isa::rows()),
          .nr = static_cast<uint16_t>(Isa::panels(4, Isa::rows()) * kPanel),
          .kr = 8,
          .supports = Rows::supports,
          .cost_ns = cost_ns,
          .packing = "groups_nr16",
          .packed_bytes = Rows::packed_bytes,
          .pack = Rows::pack,
          .tasks = Rows::tasks,
          .scratch_bytes = Rows::scratch_bytes,
          .run = Rows::run_any};
}

}  // namespace
}  // namespace pyrt
