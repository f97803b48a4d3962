// Which row runs a step: a pure function of rows, problem, CPU features and a cost table, so that
// any machine can test another's pick and `inspect --why` can repeat the reasons.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/isa.h"
#include "kernels/kernel.h"

namespace pyrt {

// A row that exploits zeros or rank must be predicted this much faster than the best row that does
// not. Predictions of untuned machines are off by about as much; the price of a wrong guess is a
// model slower than dense.
inline constexpr double kCompressedGain = 1.15;

// Measured correction of one row on one machine: predicted time = Row::cost_ns * factor. Refit by
// `pyruntime tune`.
struct RowCost {
  std::string_view row;
  double factor = 1;
};

struct Candidate {
  const Row* row = nullptr;
  double cost_ns = -1;  // predicted; negative where the row cannot run here
  std::string reason;   // why it was not taken; empty for the row that was
};

struct Choice {
  const Row* row = nullptr;           // null when no row can run the problem
  std::vector<Candidate> candidates;  // in the order of `rows`
};

// Takes the row with the least predicted time among `rows` (those of one family, see rows_of) that
// the features allow and that support the problem. Equal predictions are decided by name. `costs`
// may be empty. With a `filter` only rows whose name contains it are considered and the rule for
// compressed rows is off: tests and tuning force rows by it.
Choice choose(std::span<const Row* const> rows, const Problem& problem, FeatureMask features,
              std::span<const RowCost> costs = {}, std::string_view filter = {});

// The largest share of non-zero weights, of the structure that they have now, at which a compressed
// row would be taken; negative where there is none, or the weights are not known.
double break_even_density(std::span<const Row* const> rows, const Problem& problem,
                          FeatureMask features, std::span<const RowCost> costs = {});

}  // namespace pyrt
