// The tables of families and rows, the CPU, and single steps made of arrays: for the compiler,
// tests and tuning.
#include <bit>

#include "python/convert.h"
#include "runtime/cpu_features.h"
#include "runtime/crc32c.h"

namespace pyrt::python {
namespace {

const char* kind_name(AttributeKind kind) {
  constexpr const char* kNames[] = {"int", "ints", "float", "text"};
  return kNames[static_cast<int>(kind)];
}

py::dict describe(const AttributeSpec& spec) {
  py::dict entry;
  entry["name"] = std::string(spec.name);
  entry["kind"] = kind_name(spec.kind);
  entry["required"] = spec.required;
  py::object value = py::list();
  if (spec.kind == AttributeKind::kInt) value = py::int_(spec.default_int);
  if (spec.kind == AttributeKind::kFloat) value = py::float_(spec.default_float);
  if (spec.kind == AttributeKind::kText) value = py::str(std::string(spec.default_text));
  entry["default"] = value;
  return entry;
}

py::list describe(std::span<const OperandSpec> specs) {
  py::list list;
  for (const OperandSpec& spec : specs) {
    py::dict entry;
    entry["name"] = std::string(spec.name);
    entry["optional"] = spec.optional;
    entry["variadic"] = spec.variadic;
    entry["parameter"] = spec.parameter;
    list.append(entry);
  }
  return list;
}

py::list families() {
  py::list list;
  for (const Family* family : all_families()) {
    py::list attributes;
    for (const AttributeSpec& spec : family->attributes) attributes.append(describe(spec));
    py::dict entry;
    entry["name"] = std::string(family->name);
    entry["attributes"] = attributes;
    entry["inputs"] = describe(family->inputs);
    entry["outputs"] = describe(family->outputs);
    list.append(entry);
  }
  return list;
}

py::list names(const std::vector<std::string_view>& views) {
  py::list list;
  for (const std::string_view view : views) list.append(std::string(view));
  return list;
}

py::list rows() {
  constexpr const char* kForms[] = {"plain", "channels_last", "follow"};
  constexpr const char* kOffsets[] = {"never", "takes", "gives"};
  py::list list;
  for (const Row* row : all_rows()) {
    py::dict entry;
    entry["name"] = std::string(row->name);
    entry["family"] = std::string(row->family);
    entry["exactness"] = std::string(1, "EDF"[static_cast<int>(row->exactness)]);
    entry["features"] = names(feature_names(row->features));
    entry["runnable"] = (row->features & ~cpu_features()) == 0;
    entry["forms"] = kForms[static_cast<int>(row->forms)];
    entry["offset"] = kOffsets[static_cast<int>(row->offset)];
    entry["alias"] = row->alias;
    entry["compressed"] = row->compressed;
    entry["packing"] = std::string(row->packing);
    entry["tile"] = py::make_tuple(row->mr, row->nr, row->kr);
    list.append(entry);
  }
  return list;
}

py::dict cpu() {
  py::dict entry;
  entry["name"] = cpu_model_name();
  entry["features"] = names(feature_names(cpu_features()));
  entry["presets"] = names(runnable_presets());
  entry["best_preset"] = std::string(runnable_presets().back());
  entry["cpus"] = available_cpus();
  return entry;
}

uint32_t checksum(const py::buffer& data, uint32_t crc) {
  const py::buffer_info info = data.request();
  if (PyBuffer_IsContiguous(info.view(), 'C') == 0)
    raise(Status(Code::kArgument, "crc32c: the buffer must be contiguous"));
  const auto* bytes = static_cast<const std::byte*>(info.ptr);
  const py::gil_scoped_release release;
  return crc32c(crc, {bytes, static_cast<size_t>(info.size * info.itemsize)});
}

// Builds a program of one step whose constants are given arrays.
class SingleStep {
 public:
  SingleStep(const std::string& family, const py::dict& attributes) {
    step_.family_name = family;
    step_.name = family;
    for (const auto& [key, value] : attributes)
      step_.attributes.push_back(attribute(key.cast<std::string>(), value));
  }

  // A constant (array), an input ((dtype, dims)), or None.
  void add_input(const py::object& item) {
    if (item.is_none()) {
      step_.inputs.push_back(-1);
    } else if (py::isinstance<py::array>(item)) {
      const auto given = py::reinterpret_borrow<py::array>(item);
      add_constant(given, dtype_of(given));
    } else if (const auto pair = item.cast<py::tuple>(); py::isinstance<py::array>(pair[1])) {
      add_constant(pair[1].cast<py::array>(),
                   named_dtype(pair[0]));  // (dtype, array) where numpy has no such dtype
    } else {
      step_.inputs.push_back(add_value(pair));
      program_.inputs.push_back({std::to_string(program_.inputs.size()), step_.inputs.back()});
    }
  }

  void add_output(const py::object& item) {
    if (item.is_none()) {
      step_.outputs.push_back(-1);
      return;
    }
    step_.outputs.push_back(add_value(item.cast<py::tuple>()));
    program_.outputs.push_back({std::to_string(program_.outputs.size()), step_.outputs.back()});
  }

  Result<std::shared_ptr<const Model>> finish() {
    program_.steps.push_back(std::move(step_));
    return Model::from_program(std::move(program_), std::move(constants_));
  }

 private:
  static DType named_dtype(const py::handle& name) {
    DType dtype{};
    const auto text = name.cast<std::string>();
    if (!dtype_from_name(text, &dtype)) raise(Status(Code::kDType, "unknown dtype '" + text + "'"));
    return dtype;
  }

  AttributeValue attribute(const std::string& name, const py::handle& value) {
    AttributeValue result;
    result.name = name;
    if (py::isinstance<py::str>(value)) {
      result.kind = AttributeKind::kText;
      result.text = value.cast<std::string>();
    } else if (py::isinstance<py::float_>(value)) {
      result.kind = AttributeKind::kFloat;
      result.real = value.cast<double>();
    } else if (py::isinstance<py::int_>(value)) {
      result.integers.push_back(program_.expressions.constant(value.cast<int64_t>()));
    } else {
      result.kind = AttributeKind::kInts;
      for (const int64_t item : value.cast<std::vector<int64_t>>()) {
        result.integers.push_back(program_.expressions.constant(item));
      }
    }
    return result;
  }

  int add_value(const py::tuple& pair) {
    return add_value(named_dtype(pair[0]), pair[1].cast<std::vector<int64_t>>());
  }

  int add_value(DType dtype, const std::vector<int64_t>& dims) {
    if (dims.size() > static_cast<size_t>(kMaxRank))
      raise(Status(Code::kShape, "at most 8 dims are supported"));
    ValueSpec value;
    value.dtype = dtype;
    for (const int64_t dim : dims) value.dims.push_back(program_.expressions.constant(dim));
    program_.values.push_back(std::move(value));
    return static_cast<int>(program_.values.size()) - 1;
  }

  void add_constant(const py::array& given, DType dtype) {
    const py::array array = contiguous(given, dtype, "constant");
    const Dims dims = dims_of(array, "constant");
    step_.inputs.push_back(add_value(dtype, std::vector<int64_t>(dims.at, dims.at + dims.rank)));
    program_.values.back().constant = static_cast<int>(constants_.size());
    program_.constants.emplace_back();
    Constant constant;
    constant.bytes = static_cast<size_t>(array.nbytes());
    constant.copied = true;
    const std::shared_ptr<std::byte> memory = allocate_aligned(constant.bytes);
    if (memory == nullptr) throw std::bad_alloc();
    std::memcpy(memory.get(), array.data(), constant.bytes);
    constant.data = memory;
    constants_.push_back(std::move(constant));
  }

  Program program_;
  StepSpec step_;
  std::vector<Constant> constants_;
};

py::object single_step(const std::string& family, const py::dict& attributes,
                       const py::list& inputs, const py::list& outputs, const std::string& row,
                       const std::string& isa, int threads) {
  SingleStep step(family, attributes);
  for (const auto& item : inputs) step.add_input(py::reinterpret_borrow<py::object>(item));
  for (const auto& item : outputs) step.add_output(py::reinterpret_borrow<py::object>(item));
  Result<std::shared_ptr<const Model>> model = step.finish();
  SessionOptions options;
  options.threads = threads;
  options.isa = isa;
  options.row_filter = row;
  Result<std::shared_ptr<Session>> session = Session::from_model(check(model), options, true);
  return wrap_session(check(session));
}

}  // namespace

void bind_kernels(py::module_& module) {
  module.def("families", &families);
  module.def("rows", &rows);
  module.def("cpu", &cpu);
  module.def("crc32c", &checksum, py::arg("data"), py::arg("crc") = 0);
  module.def("single_step", &single_step, py::arg("family"), py::arg("attributes"),
             py::arg("inputs"), py::arg("outputs"), py::kw_only(), py::arg("row") = "",
             py::arg("isa") = "", py::arg("threads") = 1);
}

}  // namespace pyrt::python
