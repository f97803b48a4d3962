// choose(): invented rows and feature masks; every rule once.
#include "kernels/choose.h"

#include "harness.h"

namespace pyrt::test {
namespace {

double cost_100(const Problem&) { return 100; }
double cost_95(const Problem&) { return 95; }
double cost_80(const Problem&) { return 80; }
const char* refuses(const Problem&) { return "K is odd"; }

constexpr Row kScalar = {.name = "g_scalar", .family = "g", .cost_ns = cost_100};
constexpr Row kWide = {.name = "g_wide", .family = "g", .features = kAvx512F, .cost_ns = cost_80};
constexpr Row kOdd = {.name = "g_odd", .family = "g", .supports = refuses, .cost_ns = cost_80};
constexpr Row kTwin = {.name = "g_twin", .family = "g", .cost_ns = cost_100};
constexpr Row kSparse = {.name = "s_80", .family = "g", .compressed = true, .cost_ns = cost_80};
constexpr Row kHardly = {.name = "s_95", .family = "g", .compressed = true, .cost_ns = cost_95};

// As if every non-zero weight cost a nanosecond.
double cost_nonzeros(const Problem& problem) {
  return static_cast<double>(problem.facts->nonzeros);
}
constexpr Row kCounting = {
    .name = "s_counting", .family = "g", .compressed = true, .cost_ns = cost_nonzeros};

std::string reason_of(const Choice& choice, const Row& row) {
  for (const Candidate& candidate : choice.candidates) {
    if (candidate.row == &row) return candidate.reason;
  }
  return "not a candidate";
}

bool mentions(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

PYRT_TEST(choose_takes_the_fastest_row_that_runs) {
  const Problem problem;
  const Row* const rows[] = {&kOdd, &kScalar, &kTwin, &kWide};
  const Choice masked = choose(rows, problem, 0);
  expect(masked.row == &kScalar, "equal costs are decided by name");
  expect(mentions(reason_of(masked, kWide), "CPU features"), "reason against a masked row");
  expect(reason_of(masked, kOdd) == "K is odd", "reason of supports()");
  expect(mentions(reason_of(masked, kTwin), "comes first by name"), "reason against a tie");
  expect(reason_of(masked, kScalar).empty(), "no reason against the row taken");
  const Choice free = choose(rows, problem, kAvx512F);
  expect(free.row == &kWide && mentions(reason_of(free, kScalar), "100 ns against 80 ns"),
         "the cheaper row");
  const Row* const none[] = {&kOdd};
  expect(choose(none, problem, 0).row == nullptr, "no row");
}

PYRT_TEST(choose_wants_a_gain_from_compressed_rows) {
  const Problem problem;
  const Row* const rows[] = {&kScalar, &kSparse, &kHardly};
  expect(choose(rows, problem, 0).row == &kSparse, "100 / 80 is above 1.15");
  const Row* const close[] = {&kScalar, &kHardly};
  const Choice choice = choose(close, problem, 0);
  expect(choice.row == &kScalar && mentions(reason_of(choice, kHardly), "not 1.15 x faster"),
         "100 / 95 is below 1.15");
  const Row* const alone[] = {&kHardly};
  expect(choose(alone, problem, 0).row == &kHardly, "a compressed row without a rival");
}

PYRT_TEST(break_even_is_where_a_compressed_row_begins_to_win) {
  const Row* const rows[] = {&kScalar, &kCounting};
  Problem problem;
  expect(break_even_density(rows, problem, 0) < 0, "nothing is known of the weights");
  const WeightFacts facts = {.count = 200, .nonzeros = 20};
  problem.facts = &facts;
  // 100 / 1.15 = 86.96 of 200 weights.
  expect(break_even_density(rows, problem, 0) == 0.42, "43.5 % of the weights, in steps of 2 %");
  const RowCost slower[] = {{"s_counting", 2}};
  expect(break_even_density(rows, problem, 0, slower) == 0.20, "twice the cost, half the density");
  const Row* const dense[] = {&kScalar};
  expect(break_even_density(dense, problem, 0) < 0, "no compressed row");
}

PYRT_TEST(choose_applies_costs_and_filters) {
  const Problem problem;
  const Row* const rows[] = {&kScalar, &kTwin, &kHardly};
  const RowCost costs[] = {{"g_twin", 0.5}};
  expect(choose(rows, problem, 0, costs).row == &kTwin, "a measured factor");
  const Choice forced = choose(rows, problem, 0, costs, "s_95");
  expect(forced.row == &kHardly && mentions(reason_of(forced, kTwin), "does not contain 's_95'"),
         "a forced row");
}

PYRT_TEST(tables_are_sorted_and_complete) {
  const Row* last = nullptr;
  for (const Row* row : all_rows()) {
    expect(last == nullptr || last->family < row->family ||
               (last->family == row->family && last->name < row->name),
           "rows out of order or twice: " + std::string(row->name));
    expect(find_family(row->family) != nullptr, "no family for row " + std::string(row->name));
    expect(row->cost_ns != nullptr && (row->alias || row->run != nullptr),
           std::string(row->name) + " is incomplete");
    last = row;
  }
  for (const Family* family : all_families()) {
    bool baseline = false;
    for (const Row* row : rows_of(family->name)) baseline = baseline || row->features == 0;
    expect(baseline, "family " + std::string(family->name) + " has no scalar row");
  }
}

}  // namespace pyrt::test
