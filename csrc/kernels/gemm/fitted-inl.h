// Weights fitted to vpmaddubsw, so that 16-bit sums cannot overflow whatever the activations are.
//
// With activations as u8 (s8 + 128), vpmaddubsw adds two products to s16, and two such sums are
// added in s16 before they are widened: four products u8 * s8 in one s16. The sum lies between
// 255 * (sum of the negative weights) and 255 * (sum of the positive weights), and 255 * 128 =
// 32640 < 32768. So a group of four weights is safe, for every activation, when its positive parts
// sum to at most 128 and its negative parts to at least -128. Opposite signs do not help each
// other in the proof: an activation may be 0.
//
// Groups of trained weights fail now and then (4-sigma tails). Those keep the part that fits; the
// rest, the excess, is a sparse matrix that is multiplied exactly beside the dense one:
// w = fitted + excess, products modulo 2^32 add up to those of w. A panel with too much excess is
// fitted in groups of two instead, whose sums are widened at once; and where the excess would still
// cost more than it saves, no weight is changed and the panel is multiplied in s16 pairs by
// vpmaddwd, which cannot overflow for any s8.
//
// Packed: column sums [N/16 * 16] s32 of the full weights; panels [N/16, K/4, 16, 4] s8 with K
// padded to a multiple of 8, where group g of eight k is {2g, 2g + 1, 2g + 4, 2g + 5}; PanelExcess
// [N/16], padded to 64 bytes; Chain [chains].
//
// A chain is up to four entries of one column's excess whose positive parts sum to at most 128 and
// negative parts to at least -128: by the proof above it, too, may be added up in s16. Its length
// is fixed, so that loops over chains have no branch to mispredict. A panel's chains are the first
// of each column, then the second of each .., so that none waits for the sum of the one before.
// Where half the columns have chains, the others get an empty one: then the first 16 begin all
// sums.
#pragma once

#include "kernels/gemm/gemm-inl.h"

namespace pyrt {
namespace {

inline constexpr int kFitLimit = 128;  // of the sum of parts of one sign; 255 * 128 < 2^15
inline constexpr int kFittedKr = 8;    // k of a step: two quads

inline constexpr int kChainEntries = 4;
inline constexpr int64_t kChainColumns = 8;  // with chains, from which on every column gets one
inline constexpr int64_t kExcessRows = 32;   // of activations whose excess is multiplied together

struct Chain {
  int32_t at[kChainEntries];         // k * kExcessRows
  int32_t pairs[kChainEntries / 2];  // two entries as s8, twice
  int32_t column;                    // of the panel
};
enum class PanelKind : int32_t {
  kFours,  // fitted in groups of four
  kPairs,  // of two
  kWide,   // as they are, for vpmaddwd
};
struct PanelExcess {
  int32_t first_chain, chains;
  PanelKind kind;
};

inline constexpr int64_t kFittedMaxK = int64_t{1} << 25;  // k * kExcessRows fits s32

// What the excess comes to.
struct FitCount {
  int64_t entries = 0, chains = 0;
};

// Cuts a column's excess into chains as it comes.
struct ChainCutter {
  int positive = 0, negative = 0;
  int entries = kChainEntries;  // of the open chain

  // Whether `excess` begins a new chain.
  PYRT_INLINE bool add(int excess) {
    positive += excess > 0 ? excess : 0;
    negative += excess < 0 ? excess : 0;
    const bool fits = positive <= kFitLimit && negative >= -kFitLimit;
    if (entries < kChainEntries && fits) {
      ++entries;
      return false;
    }
    positive = excess > 0 ? excess : 0;
    negative = excess < 0 ? excess : 0;
    entries = 1;
    return true;
  }
};

// Index in a step of weight i of group g, of kSize weights each.
template <int kSize>
PYRT_INLINE int in_group(int g, int i) {
  return kSize == 2 ? 2 * g + i : 2 * g + i % 2 + i / 2 * 4;
}

template <int kSize>
PYRT_INLINE bool group_fits(const int32_t w[kFittedKr], int g) {
  int32_t positive = 0;
  int32_t negative = 0;
  for (int j = 0; j < kSize; ++j) {
    const int i = in_group<kSize>(g, j);
    positive += w[i] > 0 ? w[i] : 0;
    negative += w[i] < 0 ? w[i] : 0;
  }
  return positive <= kFitLimit && negative >= -kFitLimit;
}

// Takes from the parts of one sign (+1 or -1) what is too much, from the largest first: the fewest
// entries. emit(index, excess) is called once for each weight that changes.
template <int kSize, class Emit>
void fit_sign(int32_t w[kFittedKr], int g, int32_t sign, const Emit& emit) {
  int32_t sum = 0;
  for (int j = 0; j < kSize; ++j) {
    const int i = in_group<kSize>(g, j);
    sum += w[i] * sign > 0 ? w[i] * sign : 0;
  }
  while (sum > kFitLimit) {
    int most = in_group<kSize>(g, 0);
    for (int j = 1; j < kSize; ++j) {
      const int i = in_group<kSize>(g, j);
      most = w[i] * sign > w[most] * sign ? i : most;
    }
    const int32_t over = sum - kFitLimit;
    const int32_t taken = over < w[most] * sign ? over : w[most] * sign;
    w[most] -= taken * sign;
    sum -= taken;
    emit(most, taken * sign);
  }
}

// Fits column n of weights(k, n); weights may have a faster load8(k, n, w) for eight k.
// fitted(k, value) is called for the weights that change and
// excess(k, value, begins a chain) for what was taken, in the same order.
template <int kSize, class Weights, class Fitted, class Take>
void fit_column(const Weights& weights, int64_t K, int64_t n, FitCount* count, const Fitted& fitted,
                const Take& take) {
  ChainCutter cutter;
  for (int64_t k = 0; k < K; k += kFittedKr) {
    int32_t w[kFittedKr] = {};
    if constexpr (requires { weights.load8(k, n, w); }) {
      weights.load8(k, n, w);
    } else {
      const int64_t inside = smaller(kFittedKr, K - k);
      for (int64_t i = 0; i < inside; ++i) w[i] = weights(k + i, n);
    }
    for (int g = 0; g < kFittedKr / kSize; ++g) {
      if (group_fits<kSize>(w, g)) continue;
      const auto emit = [&](int i, int32_t excess) {
        const bool begins = cutter.add(excess);
        count->chains += begins ? 1 : 0;
        ++count->entries;
        fitted(k + i, w[i]);
        take(k + i, excess, begins);
      };
      fit_sign<kSize>(w, g, 1, emit);
      fit_sign<kSize>(w, g, -1, emit);
    }
  }
}

template <int kSize, class Weights>
FitCount count_columns(const Weights& weights, int64_t K, int64_t first, int64_t last) {
  FitCount count;
  int64_t columns = 0;  // with chains
  for (int64_t n = first; n < last; ++n) {
    const int64_t before = count.chains;
    fit_column<kSize>(
        weights, K, n, &count, [](int64_t, int32_t) {}, [](int64_t, int32_t, bool) {});
    columns += count.chains > before ? 1 : 0;
  }
  if (columns >= kChainColumns) count.chains += kPanel - columns;
  return count;
}

// Measured on Zen 3 at 3.25 GHz for a row of a panel: a k by kind, a chain (32 rows at once), and
// what beginning and turning their sums costs.
inline constexpr double kKindNs[] = {0.131, 0.16, 0.25};
inline constexpr double kChainNs = 0.09;
inline constexpr double kChainsNs = 1.6;

// How a panel is best multiplied: columns [first, last).
struct PanelFit {
  PanelKind kind = PanelKind::kFours;
  FitCount count;

  PYRT_INLINE double dense_ns(int64_t K) const {
    return static_cast<double>(K) * kKindNs[static_cast<int>(kind)];
  }
  PYRT_INLINE double ns(int64_t K) const {
    return dense_ns(K) +
           (count.entries == 0 ? 0 : static_cast<double>(count.chains) * kChainNs + kChainsNs);
  }
};
template <class Weights>
PanelFit fit_columns(const Weights& weights, int64_t K, int64_t first, int64_t last) {
  PanelFit best{PanelKind::kFours, count_columns<4>(weights, K, first, last)};
  if (best.count.entries == 0) return best;
  const PanelFit pairs{PanelKind::kPairs, count_columns<2>(weights, K, first, last)};
  if (pairs.ns(K) < best.ns(K)) best = pairs;
  const PanelFit wide{PanelKind::kWide, {}};
  return wide.ns(K) < best.ns(K) ? wide : best;
}

// What a product comes to: of one row, but for its excess.
struct FitEstimate {
  double dense_ns = 0;
  double chains = 0;
  double panels = 0;  // that have chains
};

// From an evenly spread sample of at most 2^18 weights, scaled: for the choice of a row, which is
// made anew for every binding.
template <class Weights>
FitEstimate sample_fitted(const Weights& weights, int64_t K, int64_t N) {
  constexpr int64_t kSample = 1 << 18;
  const int64_t panels = ceil_div(N, kPanel);
  const int64_t step = larger(1, K * N / kSample);
  FitEstimate total;
  int64_t columns = 0;
  for (int64_t panel = 0; panel < panels; panel += step) {
    const int64_t n = panel * kPanel;
    const int64_t last = smaller(n + kPanel, N);
    const PanelFit fit = fit_columns(weights, K, n, last);
    total.dense_ns += fit.dense_ns(K) * static_cast<double>(last - n) / kPanel;
    total.chains += static_cast<double>(fit.count.chains);
    total.panels += fit.count.chains > 0 ? 1 : 0;
    columns += last - n;
  }
  const double scale = columns == 0 ? 0 : static_cast<double>(N) / static_cast<double>(columns);
  return {total.dense_ns * scale, total.chains * scale, total.panels * scale};
}

// Share of the pairs of weights that vpmaddubsw multiplies without excess.
template <class Weights>
double fitted_share(const Weights& weights, int64_t K, int64_t N) {
  double fast = 0, all = 0;
  for (int64_t n = 0; n < N; n += kPanel) {
    const int64_t last = smaller(n + kPanel, N);
    const PanelFit fit = fit_columns(weights, K, n, last);
    const auto pairs = static_cast<double>((last - n) * ceil_div(K, 2));
    const auto slow = static_cast<double>(fit.count.entries);
    all += pairs;
    if (fit.kind != PanelKind::kWide && slow < pairs) fast += pairs - slow;
  }
  return all > 0 ? fast / all : 1;
}

PYRT_INLINE int64_t headers_bytes(int64_t N) {
  return round_up(ceil_div(N, kPanel) * static_cast<int64_t>(sizeof(PanelExcess)), 64);
}

// Bytes behind the panels.
template <class Weights>
int64_t excess_bytes(const Weights& weights, int64_t K, int64_t N) {
  int64_t chains = 0;
  for (int64_t n = 0; n < N; n += kPanel) {
    chains += fit_columns(weights, K, n, smaller(n + kPanel, N)).count.chains;
  }
  return round_up(headers_bytes(N) + chains * static_cast<int64_t>(sizeof(Chain)), 64);
}

// Fits a packed panel of columns [first, last) and writes its chains. Returns how many.
template <int kSize, class Weights>
int32_t fit_panel(const Weights& weights, int64_t K, int64_t first, int64_t last, int8_t* panel,
                  Chain* chains) {
  int64_t counts[kPanel] = {};
  int64_t used = 0, columns = 0;
  for (int64_t n = first; n < last; ++n) {
    counts[n - first] = count_columns<kSize>(weights, K, n, n + 1).chains;
    used += counts[n - first];
    columns += counts[n - first] > 0 ? 1 : 0;
  }
  if (columns >= kChainColumns) {  // empty ones, until they are filled
    for (int32_t i = 0; i < kPanel; ++i) {
      chains[i] = {};
      chains[i].column = i;
      counts[i] = larger(1, counts[i]);
    }
    used += kPanel - columns;
  }
  const auto place = [&](int64_t column, int64_t ordinal) {
    int64_t before = 0;
    for (int64_t i = 0; i < kPanel; ++i) {
      before += smaller(counts[i], ordinal) + (i < column && counts[i] > ordinal ? 1 : 0);
    }
    return before;
  };
  for (int64_t n = first; n < last; ++n) {
    const auto column = static_cast<int32_t>(n - first);
    Chain* chain = nullptr;
    int filled = 0;
    int64_t ordinal = 0;
    FitCount count;
    const auto fitted = [&](int64_t k, int32_t value) {
      panel[k / 4 * 4 * kPanel + column * 4 + k % 4] = static_cast<int8_t>(value);
    };
    const auto take = [&](int64_t k, int32_t excess, bool begins) {
      if (begins) {
        chain = chains + place(column, ordinal++);
        *chain = {};
        chain->column = column;
        filled = 0;
      }
      const uint32_t byte = (static_cast<uint32_t>(excess) & 0xff) << (filled % 2 * 8);
      chain->at[filled] = static_cast<int32_t>(k * kExcessRows);
      chain->pairs[filled / 2] |= static_cast<int32_t>(byte | byte << 16);
      ++filled;
    };
    fit_column<kSize>(weights, K, n, &count, fitted, take);
  }
  return static_cast<int32_t>(used);
}

// Packs to [sums_bytes(N)] sums, panels of K padded to 8, and what excess_bytes() counted.
template <class Weights>
void pack_fitted(const Weights& weights, int64_t K, int64_t N, void* packed) {
  auto* sums = static_cast<int32_t*>(packed);
  auto* w = reinterpret_cast<int8_t*>(static_cast<char*>(packed) + sums_bytes(N));
  const int64_t padded = round_up(K, kFittedKr);
  const int64_t panels = ceil_div(N, kPanel);
  const auto or_zero = [&](int64_t k, int64_t n) { return k < K ? weights(k, n) : int8_t{0}; };
  pack_panels<4>(or_zero, padded, N, 0, panels, w, sums);
  int8_t* behind = w + panels * kPanel * padded;
  auto* excess = reinterpret_cast<PanelExcess*>(behind);
  auto* chains = reinterpret_cast<Chain*>(behind + headers_bytes(N));
  int32_t next = 0;
  for (int64_t panel = 0; panel < panels; ++panel) {
    const int64_t first = panel * kPanel;
    const int64_t last = smaller(first + kPanel, N);
    const PanelFit fit = fit_columns(weights, K, first, last);
    excess[panel] = {next, 0, fit.kind};
    if (fit.count.entries == 0) continue;
    int8_t* at = w + first * padded;
    excess[panel].chains = fit.kind == PanelKind::kFours
                               ? fit_panel<4>(weights, K, first, last, at, chains + next)
                               : fit_panel<2>(weights, K, first, last, at, chains + next);
    next += excess[panel].chains;
  }
}

}  // namespace
}  // namespace pyrt
