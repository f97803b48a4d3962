// From a canonical Program to steps that can be replayed: dims evaluated, rows chosen, forms
// settled, weights packed, buffers placed. Done once per (input dims, CPU features, threads).
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/isa.h"
#include "base/status.h"
#include "runtime/forms.h"
#include "runtime/model.h"
#include "runtime/packed.h"

namespace pyrt {

struct BindOptions {
  FeatureMask features = 0;
  int threads = 1;
  size_t max_bytes = kMaxBytes;
  // Rows whose name contains it are preferred; with `strict`, no other is taken. Empty: no
  // preference.
  std::string row_filter;
  bool strict = false;
  std::vector<std::pair<std::string, double>> cost_factors;  // row name, measured / predicted
};

// Where the pointer of an operand comes from.
enum class SlotKind : uint8_t { kAbsent, kArena, kConstant, kInput, kOutput };
struct Slot {
  SlotKind kind = SlotKind::kAbsent;
  int index = 0;      // of the graph input or output
  size_t offset = 0;  // in the arena
  const void* constant = nullptr;
};

// A step as replay sees it. Pointers of its operands are at slots [first_slot, first_slot + inputs
// + outputs).
struct ReplayStep {
  const Row* row = nullptr;  // null: host step
  const Problem* problem = nullptr;
  const void* packed = nullptr;
  int64_t tasks = 1;
  double cost_ns = 0;
  uint32_t first_slot = 0;
  uint32_t inputs = 0;
  uint32_t outputs = 0;
  bool parallel = false;
  int bound = 0;  // index into Binding::steps
};

struct GraphTensor {
  std::string name;
  DType dtype = DType::kF32;
  Dims dims;
  size_t bytes() const { return static_cast<size_t>(dims.count()) * dtype_bytes(dtype); }
};

// An output whose bytes do not come from a step that could write them in place: an input, a
// constant, or an output named twice.
struct OutputCopy {
  Slot from;
  int output = 0;
  size_t bytes = 0;
};

// Immutable once made; shared by contexts.
struct Binding {
  std::shared_ptr<const Model> model;
  std::vector<GraphTensor> inputs;
  std::vector<GraphTensor> outputs;
  std::vector<BoundStep> steps;    // all, in order, for introspection; owns problems
  std::vector<ReplayStep> replay;  // those that run
  std::vector<Slot> slots;
  std::vector<OutputCopy> copies;
  std::vector<std::shared_ptr<const Packed>> packed;  // keeps them alive
  std::vector<size_t> step_packed_bytes;              // per bound step
  size_t arena_bytes = 0;
  size_t scratch_bytes = 0;  // per thread, a multiple of 64
  size_t packed_bytes = 0;
  int threads = 1;
  FeatureMask features = 0;
  // Outputs depend on these steps, whose class is F or which run on the host; empty: the model is
  // bit-exact.
  std::vector<int> inexact_steps;
};

// `input_dims` are in the order of the program's inputs.
Result<std::shared_ptr<const Binding>> bind(std::shared_ptr<const Model> model,
                                            std::span<const Dims> input_dims,
                                            const BindOptions& options);

// Values of the symbols that these input dims imply. ShapeError where they contradict each other.
Result<std::vector<int64_t>> solve_symbols(const Program& program,
                                           std::span<const Dims> input_dims);

std::string dims_text(const Dims& dims);  // "[1, 3, 224, 224]"

// For introspection: break_even_density() of a bound step's weights (choose.h).
double break_even_of(const BoundStep& step, const BindOptions& options);

}  // namespace pyrt
