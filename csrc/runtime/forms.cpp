#include "runtime/forms.h"

#include "runtime/attributes.h"
#include "runtime/validate.h"

namespace pyrt {
namespace {

// Whether plain and channels-last lay these dims out alike: one channel, or one position.
bool layouts_coincide(const Dims& dims) {
  if (dims.rank < 3 || dims[1] == 1) return true;
  for (int axis = 2; axis < dims.rank; ++axis) {
    if (dims[axis] != 1) return false;
  }
  return true;
}

Dims channels_moved_last(const Dims& dims) {
  Dims moved = dims;
  for (int axis = 1; axis + 1 < dims.rank; ++axis) moved.at[axis] = dims[axis + 1];
  moved.at[dims.rank - 1] = dims[1];
  return moved;
}

Form with_layout(Form form, Layout layout) { return {layout, form.offset128}; }

}  // namespace

int FormPlanner::find(int value, Form form) const {
  for (const int instance : by_value_[static_cast<size_t>(value)]) {
    if (instances_[static_cast<size_t>(instance)].form == form) return instance;
  }
  return -1;
}

int FormPlanner::add_instance(const Instance& instance) {
  const int index = static_cast<int>(instances_.size());
  instances_.push_back(instance);
  if (instance.root < 0) instances_.back().root = index;
  by_value_[static_cast<size_t>(instance.value)].push_back(index);
  return index;
}

int FormPlanner::shared(int from, Form form) {
  Instance instance = instances_[static_cast<size_t>(from)];
  instance.form = form;
  return add_instance(instance);
}

void FormPlanner::add_source(int value, DType dtype, const Dims& dims) {
  const bool constant = uses_[static_cast<size_t>(value)].constant;
  add_instance({.value = value, .dtype = dtype, .dims = dims, .constant = constant});
}

Result<int> FormPlanner::plain(int value) { return get(value, Form{}); }

Result<int> FormPlanner::get(int value, Form form) {
  if (const int found = find(value, form); found >= 0) return found;
  const int first = by_value_[static_cast<size_t>(value)].front();
  const Dims& dims = instances_[static_cast<size_t>(first)].dims;
  const Layout other = form.layout == Layout::kPlain ? Layout::kChannelsLast : Layout::kPlain;
  const int same_offset = find(value, with_layout(form, other));
  if (same_offset >= 0 && layouts_coincide(dims)) return shared(same_offset, form);
  const int same_layout = find(value, {form.layout, !form.offset128});
  if (same_layout >= 0) return convert(same_layout, form);
  if (same_offset >= 0) return convert(same_offset, form);
  // Both differ: the layout first, so that other users of that layout share it.
  const Result<int> step = get(value, {form.layout, !form.offset128});
  if (!step.ok()) return step;
  return convert(step.value(), form);
}

Result<int> FormPlanner::convert(int from, Form form) {
  const Instance source = instances_[static_cast<size_t>(from)];
  Instance target = source;
  target.form = form;
  target.root = -1;
  target.constant = false;
  if (source.form.layout == form.layout) {
    const int to = add_instance(target);
    PYRT_RETURN_IF_ERROR(add_conversion("cast_sign", from, to, {}));
    return to;
  }
  // perm[i] is the source axis of output axis i, over the source as it lies in memory.
  const int rank = source.dims.rank;
  std::vector<int64_t> perm{0};
  if (form.layout == Layout::kChannelsLast) {
    for (int axis = 2; axis < rank; ++axis) perm.push_back(axis);
    perm.push_back(1);
  } else {
    perm.push_back(rank - 1);
    for (int axis = 1; axis + 1 < rank; ++axis) perm.push_back(axis);
  }
  const int to = add_instance(target);
  PYRT_RETURN_IF_ERROR(add_conversion("transpose", from, to, std::move(perm)));
  return to;
}

// Conversions are ordinary steps of the families `transpose` and `cast_sign`, on the dims as they
// lie in memory.
Status FormPlanner::add_conversion(std::string_view family_name, int from, int to,
                                   std::vector<int64_t> perm) {
  const Family* family = find_family(family_name);
  if (family == nullptr) {
    return Status(Code::kUnsupported, "this build lacks the family '" + std::string(family_name) +
                                          "', which converts between forms");
  }
  const Instance& source = instances_[static_cast<size_t>(from)];
  const Instance& target = instances_[static_cast<size_t>(to)];
  BoundStep step;
  step.family = family;
  step.operands = std::make_unique<Operand[]>(2);
  const auto in_memory = [](const Instance& instance) {
    return instance.form.layout == Layout::kPlain ? instance.dims
                                                  : channels_moved_last(instance.dims);
  };
  const Instance* ends[2] = {&source, &target};
  for (size_t i = 0; i < 2; ++i) {
    step.operands[i].dtype = ends[i]->dtype;
    step.operands[i].present = true;
    step.operands[i].dims = in_memory(*ends[i]);
  }
  if (perm.empty()) {  // the byte with the offset is a u8
    step.operands[0].dtype = source.form.offset128 ? DType::kU8 : DType::kS8;
    step.operands[1].dtype = target.form.offset128 ? DType::kU8 : DType::kS8;
  }
  step.problem = std::make_unique<Problem>();
  step.problem->inputs = Operands(step.operands.get(), 1);
  step.problem->outputs = Operands(step.operands.get() + 1, 1);
  BoundAttributes attributes(*family);
  if (!perm.empty()) attributes.set_integers("perm", std::move(perm));
  PYRT_RETURN_IF_ERROR(family->prepare(attributes, *step.problem).at("conversion of forms"));
  step.choice = choose(rows_of(family_name), *step.problem, features_);
  step.row = step.choice.row;
  if (step.row == nullptr) {
    return Status(Code::kUnsupported,
                  "no row of the family '" + std::string(family_name) + "' converts between forms");
  }
  step.cost_ns = step.row->cost_ns(*step.problem);
  step.inputs = {from};
  step.outputs = {to};
  steps_.push_back(std::move(step));
  return {};
}

// For a row that works on any layout: the one in which most of its input bytes already exist.
Layout FormPlanner::choose_layout(const BoundStep& step,
                                  const std::vector<int>& input_values) const {
  const Row& row = *step.row;
  if (row.forms == FormRule::kPlain) return Layout::kPlain;
  if (row.forms == FormRule::kChannelsLast) return Layout::kChannelsLast;
  const Operands outputs = step.problem->outputs;
  if (outputs.size() == 0 || outputs[0].dims.rank < 3) return Layout::kPlain;
  int64_t balance = 0;  // bytes that exist channels-last only, minus those plain only
  bool prefer_last = false;
  bool first = true;
  for (size_t i = 0; i < input_values.size(); ++i) {
    const int value = input_values[i];
    if (value < 0 || uses_[static_cast<size_t>(value)].constant) continue;
    if (operand_spec(step.family->inputs, i)->parameter) continue;
    const Instance& origin =
        instances_[static_cast<size_t>(by_value_[static_cast<size_t>(value)].front())];
    if (origin.dims.rank != outputs[0].dims.rank) continue;
    if (first) prefer_last = origin.form.layout == Layout::kChannelsLast;
    first = false;
    bool has[2] = {layouts_coincide(origin.dims), layouts_coincide(origin.dims)};
    for (const int instance : by_value_[static_cast<size_t>(value)]) {
      has[static_cast<size_t>(instances_[static_cast<size_t>(instance)].form.layout)] = true;
    }
    const auto bytes = static_cast<int64_t>(origin.bytes());
    if (has[1] && !has[0]) balance += bytes;
    if (has[0] && !has[1]) balance -= bytes;
  }
  return balance > 0 || (balance == 0 && prefer_last) ? Layout::kChannelsLast : Layout::kPlain;
}

Status FormPlanner::add_step(BoundStep step, const std::vector<int>& input_values,
                             const std::vector<int>& output_values) {
  const Layout layout = step.row == nullptr ? Layout::kPlain : choose_layout(step, input_values);
  const Offset offset = step.row == nullptr ? Offset::kNever : step.row->offset;
  const bool follow = step.row != nullptr && step.row->forms == FormRule::kFollow;
  const Operands inputs = step.problem->inputs;
  const Operands outputs = step.problem->outputs;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const int value = i < input_values.size() ? input_values[i] : -1;
    if (value < 0) {
      step.inputs.push_back(-1);
      continue;
    }
    const size_t index = static_cast<size_t>(value);
    const bool movable = step.row != nullptr && !uses_[index].constant &&
                         !operand_spec(step.family->inputs, i)->parameter;
    Form form;
    if (movable && inputs[i].dims.rank >= 3) {
      form.layout = layout;
      if (follow && inputs[i].dims.rank != outputs[0].dims.rank) {
        // Rows that follow read any layout through strides: take what exists.
        form.layout = instances_[static_cast<size_t>(by_value_[index].front())].form.layout;
      }
    }
    form.offset128 = offset == Offset::kTakes && i == 0 && inputs[i].dtype == DType::kS8;
    Result<int> instance = get(value, form);
    if (!instance.ok()) return instance.status();
    inputs[i].form = form;
    if (form.offset128) inputs[i].constant = nullptr;  // its elements are no longer plain
    step.inputs.push_back(instance.value());
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const int value = i < output_values.size() ? output_values[i] : -1;
    if (value < 0) {
      step.outputs.push_back(-1);
      continue;
    }
    Form form;
    const bool same_rank = !follow || outputs[i].dims.rank == outputs[0].dims.rank;
    if (step.row != nullptr && outputs[i].dims.rank >= 3 && same_rank) form.layout = layout;
    form.offset128 = offset != Offset::kNever && outputs[i].dtype == DType::kS8 &&
                     uses_[static_cast<size_t>(value)].all_take_offset;
    outputs[i].form = form;
    Instance instance{
        .value = value, .dtype = outputs[i].dtype, .dims = outputs[i].dims, .form = form};
    // An alias row renames bytes: its output lives where its input does.
    if (step.row != nullptr && step.row->alias && i == 0) {
      instance.root = instances_[static_cast<size_t>(step.inputs[0])].root;
    }
    step.outputs.push_back(add_instance(instance));
  }
  steps_.push_back(std::move(step));
  return {};
}

}  // namespace pyrt
