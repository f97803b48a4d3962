#include "runtime/bind.h"

#include <algorithm>
#include <set>

#include "runtime/arena.h"
#include "runtime/attributes.h"
#include "runtime/thread_pool.h"
#include "runtime/validate.h"

namespace pyrt {
namespace {

std::vector<RowCost> row_costs(const BindOptions& options) {
  std::vector<RowCost> costs;
  for (const auto& [row, factor] : options.cost_factors) costs.push_back({row, factor});
  return costs;
}

// Handing work to threads that spin and waiting for them costs some 0.3 us: a step of 3 us gains
// 1.3 x from a second core (Zen 3), a shorter one nothing. Whether sleeping threads are woken for
// it is the pool's decision.
constexpr double kParallelNs = 3e3;

size_t rounded(size_t bytes) {
  return (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
}

class Binder {
 public:
  Binder(std::shared_ptr<const Model> model, const BindOptions& options)
      : model_(std::move(model)),
        program_(model_->program()),
        options_(options),
        binding_(std::make_shared<Binding>()) {}

  Result<std::shared_ptr<const Binding>> bind(std::span<const Dims> input_dims) {
    binding_->model = model_;
    binding_->threads = options_.threads;
    binding_->features = options_.features;
    PYRT_RETURN_IF_ERROR(evaluate_dims(input_dims));
    std::vector<BoundStep> chosen;
    for (size_t i = 0; i < program_.steps.size(); ++i) {
      Result<BoundStep> step = prepare_step(i);
      if (!step.ok()) return step.status().at(program_.steps[i].label(i));
      chosen.push_back(std::move(step.value()));
    }
    FormPlanner planner(uses(chosen), options_.features);
    PYRT_RETURN_IF_ERROR(settle_forms(planner, std::move(chosen)));
    PYRT_RETURN_IF_ERROR(place_buffers(planner.instances()));
    PYRT_RETURN_IF_ERROR(finish_steps());
    find_inexact();
    const size_t contexts =
        binding_->arena_bytes + binding_->scratch_bytes * static_cast<size_t>(options_.threads);
    if (contexts > options_.max_bytes || binding_->packed_bytes > options_.max_bytes - contexts) {
      return Status(Code::kResource,
                    "a run needs " + std::to_string(contexts + binding_->packed_bytes) +
                        " bytes, more than max_bytes " + std::to_string(options_.max_bytes));
    }
    ThreadPool::instance().reserve(options_.threads);
    return std::shared_ptr<const Binding>(binding_);
  }

 private:
  Status evaluate_dims(std::span<const Dims> input_dims) {
    Result<std::vector<int64_t>> symbols = solve_symbols(program_, input_dims);
    if (!symbols.ok()) return symbols.status();
    values_ = program_.expressions.evaluate(symbols.value());
    dims_.resize(program_.values.size());
    for (size_t i = 0; i < program_.values.size(); ++i) {
      const Status status = evaluate_value(program_.values[i], &dims_[i]);
      if (!status.ok()) return status.at(program_.value_label(static_cast<int>(i)));
    }
    const auto graph_tensor = [this](const GraphValue& v) {
      const auto index = static_cast<size_t>(v.value);
      return GraphTensor{v.name, program_.values[index].dtype, dims_[index]};
    };
    for (size_t i = 0; i < program_.inputs.size(); ++i) {
      binding_->inputs.push_back(graph_tensor(program_.inputs[i]));
      if (!(binding_->inputs[i].dims == input_dims[i])) {
        return Status(Code::kShape, "input '" + program_.inputs[i].name + "' has dims " +
                                        dims_text(input_dims[i]) + ", the model takes " +
                                        dims_text(binding_->inputs[i].dims));
      }
    }
    for (const GraphValue& output : program_.outputs)
      binding_->outputs.push_back(graph_tensor(output));
    return {};
  }

  Status evaluate_value(const ValueSpec& value, Dims* dims) const {
    dims->rank = static_cast<int>(value.dims.size());
    auto bytes = static_cast<int64_t>(dtype_bytes(value.dtype));
    for (int axis = 0; axis < dims->rank; ++axis) {
      const uint32_t root = value.dims[static_cast<size_t>(axis)];
      Result<int64_t> dim = program_.expressions.value_of(values_, root);
      if (!dim.ok()) return dim.status();
      if (dim.value() < 0) {
        return Status(Code::kShape, "dimension " + program_.expressions.text(root) + " is " +
                                        std::to_string(dim.value()) + " for these input dims");
      }
      dims->at[axis] = dim.value();
      // Zero dims must not hide an overflow of the others, so they count as one.
      if (__builtin_mul_overflow(bytes, std::max<int64_t>(dim.value(), 1), &bytes) ||
          static_cast<uint64_t>(bytes) > options_.max_bytes) {
        return Status(Code::kResource,
                      "it would take more than max_bytes = " + std::to_string(options_.max_bytes));
      }
    }
    return {};
  }

  Operand operand(int value) const {
    Operand operand;
    if (value < 0) return operand;
    const auto index = static_cast<size_t>(value);
    const ValueSpec& spec = program_.values[index];
    operand.present = true;
    operand.dtype = spec.dtype;
    operand.dims = dims_[index];
    if (spec.constant >= 0)
      operand.constant = model_->constants()[static_cast<size_t>(spec.constant)].data.get();
    return operand;
  }

  Result<BoundStep> prepare_step(size_t index) const {
    const StepSpec& spec = program_.steps[index];
    BoundStep step;
    step.step = static_cast<int>(index);
    step.family = spec.family;
    // Families see as many operands as their schema has, absent ones included.
    const size_t declared_in = spec.family == nullptr ? 0 : spec.family->inputs.size();
    const size_t declared_out = spec.family == nullptr ? 0 : spec.family->outputs.size();
    const bool variadic = declared_in > 0 && spec.family->inputs.back().variadic;
    const size_t inputs = variadic ? spec.inputs.size() : std::max(spec.inputs.size(), declared_in);
    const size_t outputs = std::max(spec.outputs.size(), declared_out);
    step.operands = std::make_unique<Operand[]>(inputs + outputs);
    for (size_t i = 0; i < spec.inputs.size(); ++i) step.operands[i] = operand(spec.inputs[i]);
    for (size_t i = 0; i < spec.outputs.size(); ++i)
      step.operands[inputs + i] = operand(spec.outputs[i]);
    step.problem = std::make_unique<Problem>();
    step.problem->inputs = Operands(step.operands.get(), inputs);
    step.problem->outputs = Operands(step.operands.get() + inputs, outputs);
    if (spec.family == nullptr) return step;
    Result<BoundAttributes> attributes =
        BoundAttributes::evaluate(spec, program_.expressions, values_);
    if (!attributes.ok()) return attributes.status();
    PYRT_RETURN_IF_ERROR(spec.family->prepare(attributes.value(), *step.problem));
    measure_weights(spec, step.problem.get());
    PYRT_RETURN_IF_ERROR(choose_row(spec, &step));
    return step;
  }

  void measure_weights(const StepSpec& spec, Problem* problem) const {
    WeightView view;
    if (spec.family->weight_view == nullptr || problem->inputs[1].constant == nullptr) return;
    if (!spec.family->weight_view(*problem, &view)) return;
    const auto value = static_cast<size_t>(spec.inputs[1]);
    problem->facts =
        model_->weight_facts(program_.values[value].constant, problem->inputs[1].dtype, view);
  }

  Status choose_row(const StepSpec& spec, BoundStep* step) const {
    const std::span<const Row* const> rows = rows_of(spec.family_name);
    const std::vector<RowCost> costs = row_costs(options_);
    step->choice = choose(rows, *step->problem, options_.features, costs, options_.row_filter);
    if (step->choice.row == nullptr && !options_.row_filter.empty() && !options_.strict) {
      step->choice = choose(rows, *step->problem, options_.features, costs);
    }
    step->row = step->choice.row;
    if (step->row == nullptr) return no_row(spec, step->choice);
    for (const Candidate& candidate : step->choice.candidates) {
      if (candidate.row == step->row) step->cost_ns = candidate.cost_ns;
    }
    return {};
  }

  static Status no_row(const StepSpec& spec, const Choice& choice) {
    std::string reasons;
    for (size_t i = 0; i < std::min<size_t>(choice.candidates.size(), 8); ++i) {
      const Candidate& candidate = choice.candidates[i];
      reasons += (i > 0 ? "; " : ": ") + std::string(candidate.row->name) + ": " + candidate.reason;
    }
    if (choice.candidates.empty()) reasons = ": this build has none";
    return Status(Code::kUnsupported,
                  "no row of the family '" + spec.family_name + "' can run it" + reasons);
  }

  std::vector<ValueUse> uses(const std::vector<BoundStep>& chosen) const {
    std::vector<ValueUse> uses(program_.values.size());
    std::vector<bool> refused(program_.values.size(), false);
    for (size_t i = 0; i < uses.size(); ++i) uses[i].constant = program_.values[i].constant >= 0;
    for (const GraphValue& output : program_.outputs)
      refused[static_cast<size_t>(output.value)] = true;
    for (size_t s = 0; s < chosen.size(); ++s) {
      const std::vector<int>& inputs = program_.steps[s].inputs;
      for (size_t i = 0; i < inputs.size(); ++i) {
        if (inputs[i] < 0) continue;
        const auto value = static_cast<size_t>(inputs[i]);
        if (i == 0 && chosen[s].row != nullptr && chosen[s].row->offset == Offset::kTakes) {
          uses[value].all_take_offset = true;
        } else {
          refused[value] = true;
        }
      }
    }
    for (size_t i = 0; i < uses.size(); ++i)
      uses[i].all_take_offset = uses[i].all_take_offset && !refused[i];
    return uses;
  }

  Status settle_forms(FormPlanner& planner, std::vector<BoundStep> chosen) {
    for (const GraphValue& input : program_.inputs) {
      const auto index = static_cast<size_t>(input.value);
      planner.add_source(input.value, program_.values[index].dtype, dims_[index]);
    }
    for (size_t i = 0; i < program_.values.size(); ++i) {
      if (program_.values[i].constant >= 0)
        planner.add_source(static_cast<int>(i), program_.values[i].dtype, dims_[i]);
    }
    for (size_t i = 0; i < chosen.size(); ++i) {
      const StepSpec& spec = program_.steps[i];
      PYRT_RETURN_IF_ERROR(
          planner.add_step(std::move(chosen[i]), spec.inputs, spec.outputs).at(spec.label(i)));
    }
    for (const GraphValue& output : program_.outputs) {
      Result<int> instance = planner.plain(output.value);
      if (!instance.ok()) return instance.status().at("output '" + output.name + "'");
      output_instances_.push_back(instance.value());
    }
    binding_->steps = std::move(planner.steps());
    return {};
  }

  // Decides for each root instance where its memory is: the caller's input or output, a constant,
  // or the arena.
  Status place_buffers(const std::vector<Instance>& instances) {
    places_.resize(instances.size());
    for (size_t i = 0; i < program_.inputs.size(); ++i) {
      places_[i] = {.kind = SlotKind::kInput,
                    .index = static_cast<int>(i)};  // sources come first, inputs before constants
    }
    for (size_t i = program_.inputs.size(); i < instances.size() && instances[i].constant; ++i) {
      const ValueSpec& value = program_.values[static_cast<size_t>(instances[i].value)];
      places_[i] = {
          .kind = SlotKind::kConstant,
          .constant = model_->constants()[static_cast<size_t>(value.constant)].data.get()};
    }
    for (size_t j = 0; j < output_instances_.size(); ++j) {
      Slot& place = places_[root_of(instances, output_instances_[j])];
      if (place.kind == SlotKind::kAbsent) {
        place = {.kind = SlotKind::kOutput, .index = static_cast<int>(j)};
      } else {
        binding_->copies.push_back({place, static_cast<int>(j), binding_->outputs[j].bytes()});
      }
    }
    std::vector<ArenaBuffer> buffers;
    std::vector<size_t> owner;
    collect_lifetimes(instances, &buffers, &owner);
    binding_->arena_bytes = plan_arena(buffers);
    for (size_t b = 0; b < buffers.size(); ++b)
      places_[owner[b]] = {.kind = SlotKind::kArena, .offset = buffers[b].offset};
    for (size_t i = 0; i < instances.size(); ++i)
      places_[i] = places_[root_of(instances, static_cast<int>(i))];
    return {};
  }

  static size_t root_of(const std::vector<Instance>& instances, int instance) {
    return static_cast<size_t>(instances[static_cast<size_t>(instance)].root);
  }

  void collect_lifetimes(const std::vector<Instance>& instances, std::vector<ArenaBuffer>* buffers,
                         std::vector<size_t>* owner) const {
    std::vector<int> buffer_of(instances.size(), -1);
    const auto touch = [&](int instance, int step) {
      if (instance < 0) return;
      const size_t root = root_of(instances, instance);
      if (places_[root].kind != SlotKind::kAbsent) return;
      if (buffer_of[root] < 0) {
        buffer_of[root] = static_cast<int>(buffers->size());
        buffers->push_back({.bytes = instances[root].bytes(), .first = step, .last = step});
        owner->push_back(root);
      }
      (*buffers)[static_cast<size_t>(buffer_of[root])].last = step;
    };
    for (size_t s = 0; s < binding_->steps.size(); ++s) {
      for (const int instance : binding_->steps[s].outputs) touch(instance, static_cast<int>(s));
      for (const int instance : binding_->steps[s].inputs) touch(instance, static_cast<int>(s));
    }
  }

  Status finish_steps() {
    size_t scratch = 0;
    for (size_t s = 0; s < binding_->steps.size(); ++s) {
      BoundStep& step = binding_->steps[s];
      binding_->step_packed_bytes.push_back(0);
      if (step.row != nullptr && step.row->alias) continue;
      bool empty = step.row != nullptr;  // host steps always run
      for (const Operand& output : step.problem->outputs)
        empty = empty && (!output.present || output.dims.count() == 0);
      if (empty) continue;
      ReplayStep replay;
      replay.row = step.row;
      replay.problem = step.problem.get();
      replay.bound = static_cast<int>(s);
      replay.cost_ns = step.cost_ns;
      if (step.row != nullptr) {
        const Status status = finish_row(step, s, &replay, &scratch);
        if (!status.ok()) return status.at(step_label(step));
      }
      replay.first_slot = static_cast<uint32_t>(binding_->slots.size());
      replay.inputs = static_cast<uint32_t>(step.inputs.size());
      replay.outputs = static_cast<uint32_t>(step.outputs.size());
      for (const int i : step.inputs)
        binding_->slots.push_back(i < 0 ? Slot{} : places_[static_cast<size_t>(i)]);
      for (const int i : step.outputs)
        binding_->slots.push_back(i < 0 ? Slot{} : places_[static_cast<size_t>(i)]);
      binding_->replay.push_back(replay);
    }
    binding_->scratch_bytes = rounded(scratch);
    return {};
  }

  Status finish_row(BoundStep& step, size_t index, ReplayStep* replay, size_t* scratch) {
    Problem& problem = *step.problem;
    const Row& row = *step.row;
    if (row.setup != nullptr) row.setup(problem);
    replay->tasks = row.tasks != nullptr ? row.tasks(problem) : 1;
    if (row.scratch_bytes != nullptr) *scratch = std::max(*scratch, row.scratch_bytes(problem));
    replay->parallel = options_.threads > 1 && replay->tasks > 1 && step.cost_ns > kParallelNs;
    std::vector<int> constants;
    std::string attributes;
    if (step.step >= 0) {
      const StepSpec& spec = program_.steps[static_cast<size_t>(step.step)];
      for (size_t i = 0; i < spec.inputs.size(); ++i) {
        const int value = spec.inputs[i];
        constants.push_back(value < 0 ? -1 : program_.values[static_cast<size_t>(value)].constant);
      }
      Result<BoundAttributes> bound =
          BoundAttributes::evaluate(spec, program_.expressions, values_);
      if (!bound.ok()) return bound.status();
      attributes = bound.value().key();
    }
    Result<std::shared_ptr<const Packed>> packed = pack_weights(
        row, problem, *model_, constants, attributes, options_.max_bytes - binding_->packed_bytes);
    if (!packed.ok()) return packed.status();
    if (packed.value() != nullptr) {
      replay->packed = packed.value()->data.get();
      binding_->step_packed_bytes[index] = packed.value()->bytes;
      if (packed_.insert(packed.value().get()).second) {  // steps may share weights
        binding_->packed_bytes += packed.value()->bytes;
        binding_->packed.push_back(std::move(packed.value()));
      }
    }
    return {};
  }

  std::string step_label(const BoundStep& step) const {
    if (step.step < 0) return "conversion (" + std::string(step.family->name) + ")";
    return program_.steps[static_cast<size_t>(step.step)].label(static_cast<size_t>(step.step));
  }

  // Walks back from the outputs: a step that an output depends on and whose class is F, or which
  // runs on the host.
  void find_inexact() {
    std::vector<bool> wanted(program_.values.size(), false);
    for (const GraphValue& output : program_.outputs)
      wanted[static_cast<size_t>(output.value)] = true;
    for (auto step = binding_->steps.rbegin(); step != binding_->steps.rend(); ++step) {
      if (step->step < 0) continue;
      const StepSpec& spec = program_.steps[static_cast<size_t>(step->step)];
      const bool used = std::any_of(spec.outputs.begin(), spec.outputs.end(), [&](int value) {
        return value >= 0 && wanted[static_cast<size_t>(value)];
      });
      if (!used) continue;
      if (step->row == nullptr || step->row->exactness == Exactness::kFast)
        binding_->inexact_steps.push_back(step->step);
      for (const int value : spec.inputs) {
        if (value >= 0) wanted[static_cast<size_t>(value)] = true;
      }
    }
    std::reverse(binding_->inexact_steps.begin(), binding_->inexact_steps.end());
  }

  std::shared_ptr<const Model> model_;
  const Program& program_;
  const BindOptions& options_;
  std::shared_ptr<Binding> binding_;
  Expressions::Values values_;
  std::vector<Dims> dims_;  // of each value
  std::vector<int> output_instances_;
  std::set<const Packed*> packed_;  // those that the binding holds
  std::vector<Slot> places_;        // of each instance
};

}  // namespace

Result<std::vector<int64_t>> solve_symbols(const Program& program,
                                           std::span<const Dims> input_dims) {
  if (input_dims.size() != program.inputs.size()) {
    return Status(Code::kArgument, std::to_string(input_dims.size()) +
                                       " inputs given, the model takes " +
                                       std::to_string(program.inputs.size()));
  }
  std::vector<int64_t> symbols(program.expressions.symbols().size(), -1);
  for (size_t i = 0; i < input_dims.size(); ++i) {
    const ValueSpec& value = program.values[static_cast<size_t>(program.inputs[i].value)];
    if (value.dims.size() != static_cast<size_t>(input_dims[i].rank)) {
      return Status(Code::kShape, "input '" + program.inputs[i].name + "' has rank " +
                                      std::to_string(input_dims[i].rank) +
                                      ", the model takes rank " +
                                      std::to_string(value.dims.size()));
    }
    for (int axis = 0; axis < input_dims[i].rank; ++axis) {
      const int64_t dim = input_dims[i][axis];
      const std::string where =
          "input '" + program.inputs[i].name + "' axis " + std::to_string(axis);
      if (dim < 0) return Status(Code::kShape, where + ": a dim cannot be " + std::to_string(dim));
      const int symbol = program.expressions.symbol_of(value.dims[static_cast<size_t>(axis)]);
      if (symbol < 0) continue;
      int64_t& known = symbols[static_cast<size_t>(symbol)];
      if (known >= 0 && known != dim) {
        return Status(Code::kShape, where + " is " + std::to_string(dim) + ", but '" +
                                        program.expressions.symbols()[static_cast<size_t>(symbol)] +
                                        "' is already " + std::to_string(known));
      }
      known = dim;
    }
  }
  return symbols;
}

std::string dims_text(const Dims& dims) {
  std::string text = "[";
  for (int i = 0; i < dims.rank; ++i) text += (i > 0 ? ", " : "") + std::to_string(dims[i]);
  return text + "]";
}

Result<std::shared_ptr<const Binding>> bind(std::shared_ptr<const Model> model,
                                            std::span<const Dims> input_dims,
                                            const BindOptions& options) {
  return Binder(std::move(model), options).bind(input_dims);
}

double break_even_of(const BoundStep& step, const BindOptions& options) {
  if (step.family == nullptr) return -1;
  return break_even_density(rows_of(step.family->name), *step.problem, options.features,
                            row_costs(options));
}

}  // namespace pyrt
