#include "kernels/choose.h"

#include <cmath>

namespace pyrt {
namespace {

double factor_of(std::span<const RowCost> costs, std::string_view row) {
  for (const RowCost& cost : costs) {
    if (cost.row == row) return cost.factor;
  }
  return 1;
}

// Why `row` cannot run at all, or empty.
std::string obstacle(const Row& row, const Problem& problem, FeatureMask features,
                     std::string_view filter) {
  if (!filter.empty() && row.name.find(filter) == std::string_view::npos) {
    return "left out: the name does not contain '" + std::string(filter) + "'";
  }
  if ((row.features & ~features) != 0) return "needs CPU features that are missing or masked";
  if (row.supports != nullptr) {
    if (const char* reason = row.supports(problem)) return reason;
  }
  return {};
}

bool better(const Candidate& a, const Candidate& b) {
  if (a.cost_ns != b.cost_ns) return a.cost_ns < b.cost_ns;
  return a.row->name < b.row->name;
}

std::string nanoseconds(double cost_ns) { return std::to_string(std::llround(cost_ns)) + " ns"; }

}  // namespace

Choice choose(std::span<const Row* const> rows, const Problem& problem, FeatureMask features,
              std::span<const RowCost> costs, std::string_view filter) {
  Choice choice;
  choice.candidates.reserve(rows.size());
  const Candidate* dense = nullptr;  // the best row that exploits nothing
  const Candidate* sparse = nullptr;
  for (const Row* row : rows) {
    Candidate& candidate = choice.candidates.emplace_back();
    candidate.row = row;
    candidate.reason = obstacle(*row, problem, features, filter);
    if (!candidate.reason.empty()) continue;
    candidate.cost_ns = row->cost_ns(problem) * factor_of(costs, row->name);
    const Candidate*& best = row->compressed ? sparse : dense;
    if (best == nullptr || better(candidate, *best)) best = &candidate;
  }
  // `reserve` above keeps these pointers valid.
  const Candidate* best = dense;
  if (sparse != nullptr &&
      (dense == nullptr || (filter.empty() ? sparse->cost_ns * kCompressedGain <= dense->cost_ns
                                           : better(*sparse, *dense)))) {
    best = sparse;
  }
  if (best == nullptr) return choice;
  choice.row = best->row;
  for (Candidate& candidate : choice.candidates) {
    if (candidate.row == best->row || candidate.cost_ns < 0) continue;
    if (candidate.row->compressed && !best->row->compressed && better(candidate, *best)) {
      candidate.reason = "predicted " + nanoseconds(candidate.cost_ns) +
                         ", not 1.15 x faster than " + std::string(best->row->name) + " at " +
                         nanoseconds(best->cost_ns);
    } else if (candidate.cost_ns == best->cost_ns) {
      candidate.reason =
          "predicted as fast as " + std::string(best->row->name) + ", which comes first by name";
    } else {
      candidate.reason = "predicted " + nanoseconds(candidate.cost_ns) + " against " +
                         nanoseconds(best->cost_ns) + " for " + std::string(best->row->name);
    }
  }
  return choice;
}

double break_even_density(std::span<const Row* const> rows, const Problem& problem,
                          FeatureMask features, std::span<const RowCost> costs) {
  constexpr int kSteps = 50;
  if (problem.facts == nullptr || problem.facts->nonzeros == 0) return -1;
  const WeightFacts& now = *problem.facts;
  for (int step = kSteps - 1; step > 0; --step) {
    const double density = static_cast<double>(step) / kSteps;
    const double scale =
        density * static_cast<double>(now.count) / static_cast<double>(now.nonzeros);
    const auto scaled = [scale](int64_t count) {
      return static_cast<int64_t>(std::ceil(static_cast<double>(count) * scale));
    };
    WeightFacts facts = now;
    facts.nonzeros = scaled(now.nonzeros);
    facts.quads = scaled(now.quads);
    facts.blocks = scaled(now.blocks);
    Problem other = problem;
    other.facts = &facts;
    const Choice choice = choose(rows, other, features, costs);
    if (choice.row != nullptr && choice.row->compressed) return density;
  }
  return -1;
}

}  // namespace pyrt
