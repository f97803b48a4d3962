// Session and Loop: arrays in, arrays out. Logic belongs to runtime/; here is only what Python's
// objects need.
#include <atomic>
#include <cstring>

#include "python/convert.h"
#include "runtime/packed.h"

namespace pyrt::python {
namespace {

struct CancelToken {
  std::atomic<bool> cancelled{false};
};

// Called from the running thread, without the GIL: Ctrl-C and other signal handlers run here.
bool check_signals(void* /*user*/) {
  const py::gil_scoped_acquire gil;
  return PyErr_CheckSignals() ==
         0;  // else the exception stays set in this thread, and run() throws it
}

Status call_host(void* user, const HostCall& call) {
  const py::gil_scoped_acquire gil;
  try {
    const auto arrays = [](std::span<const HostTensor> tensors, bool writeable) {
      py::list list;
      for (const HostTensor& tensor : tensors) {
        if (tensor.data == nullptr) {
          list.append(py::none());
        } else {
          list.append(view(tensor.data, tensor.dtype, *tensor.dims, py::none(), writeable));
        }
      }
      return list;
    };
    py::reinterpret_borrow<py::object>(static_cast<PyObject*>(user))(
        call.step, arrays(call.inputs, false), arrays(call.outputs, true));
    return {};
  } catch (py::error_already_set& error) {
    error.restore();  // run() throws it again
    return Status(Code::kCancelled, "the host step raised an exception");
  }
}

// Runs `function` without the GIL and throws what a signal handler or host step raised in it.
template <class Function>
void run_released(Function function) {
  Status status;
  {
    const py::gil_scoped_release release;
    status = function();
  }
  if (status.ok()) return;
  if (PyErr_Occurred() != nullptr) throw py::error_already_set();
  raise(status);
}

// Refuses outputs that share memory with an input or another output: kernels would read what they
// wrote.
void check_overlap(const std::vector<py::array>& inputs, const std::vector<py::array>& outputs) {
  const auto overlap = [](const py::array& a, const py::array& b) {
    const auto* a_begin = static_cast<const char*>(a.data());
    const auto* b_begin = static_cast<const char*>(b.data());
    return a_begin < b_begin + b.nbytes() && b_begin < a_begin + a.nbytes();
  };
  for (size_t j = 0; j < outputs.size(); ++j) {
    for (const py::array& input : inputs) {
      if (overlap(outputs[j], input))
        raise(Status(Code::kArgument, "out: an array shares memory with an input"));
    }
    for (size_t k = 0; k < j; ++k) {
      if (overlap(outputs[j], outputs[k]))
        raise(Status(Code::kArgument, "out: two arrays share memory"));
    }
  }
}

py::object expression(const Expressions& expressions, uint32_t root) {
  if (expressions.is_constant(root)) return py::int_(expressions.constant_value(root));
  return py::str(expressions.text(root));
}

const char* form_name(const Form& form) {
  if (form.layout == Layout::kPlain) return form.offset128 ? "plain+128" : "plain";
  return form.offset128 ? "channels_last+128" : "channels_last";
}

class Loop;

class PySession {
 public:
  PySession(std::shared_ptr<Session> session, py::object host)
      : session_(std::move(session)), host_(std::move(host)) {
    for (const GraphValue& input : program().inputs) {
      input_labels_.push_back("input '" + input.name + "'");
      input_names_.push_back(py::str(input.name));
      input_names_.back().attr(
          "__hash__")();  // cached in the string: look-ups in feeds are then cheap
    }
    for (const GraphValue& output : program().outputs)
      output_names_.push_back(py::str(output.name));
  }

  // `source` is a path or bytes.
  static std::unique_ptr<PySession> open(const py::object& source, SessionOptions options,
                                         py::object host) {
    if (!host.is_none()) {
      options.host = call_host;
      options.host_user = host.ptr();
    }
    if (PyObject_CheckBuffer(source.ptr()) != 0) {
      const py::buffer_info info = py::reinterpret_borrow<py::buffer>(source).request();
      if (PyBuffer_IsContiguous(info.view(), 'C') == 0)
        raise(Status(Code::kArgument, "the model's bytes must be contiguous"));
      const std::span bytes(static_cast<const std::byte*>(info.ptr),
                            static_cast<size_t>(info.size * info.itemsize));
      Result<std::shared_ptr<Session>> session =
          load([&] { return Session::from_bytes(bytes, options); });
      return std::make_unique<PySession>(check(session), std::move(host));
    }
    const py::object path = py::module_::import("os").attr("fsdecode")(source);
    const auto text = path.cast<std::string>();
    Result<std::shared_ptr<Session>> session = load([&] { return Session::open(text, options); });
    return std::make_unique<PySession>(check(session), std::move(host));
  }

  const Program& program() const { return session_->model().program(); }

  py::list tensors(const std::vector<GraphValue>& list) const {
    py::list result;
    for (const GraphValue& item : list) {
      const ValueSpec& value = program().values[static_cast<size_t>(item.value)];
      py::list dims;
      for (const uint32_t root : value.dims) dims.append(expression(program().expressions, root));
      result.append(
          py::make_tuple(item.name, std::string(dtype_name(value.dtype)), py::tuple(dims)));
    }
    return result;
  }

  // `feeds` is a dict by name or a sequence in the model's order; the result is of the same kind.
  py::object run(const py::object& feeds, const py::object& out, CancelToken* cancel) {
    const std::vector<py::array> inputs = take_inputs(feeds);
    const std::shared_ptr<BoundModel> bound = bind_for(inputs);
    const std::vector<py::array> outputs = take_outputs(bound->binding(), out);
    if (!out.is_none()) check_overlap(inputs, outputs);
    execute(*bound, inputs, outputs, cancel, nullptr);
    return hand_back(feeds, outputs);
  }

  std::vector<py::array> take_inputs(const py::object& feeds, bool in_place = false) const {
    std::vector<py::array> arrays;
    arrays.reserve(input_names_.size());
    const bool by_name = PyDict_Check(feeds.ptr()) != 0;
    if (!by_name && !py::isinstance<py::sequence>(feeds)) {
      raise(Status(
          Code::kArgument,
          "feeds must be a dict of arrays, or a sequence in the order of the model's inputs"));
    }
    const auto given = static_cast<size_t>(PyObject_Size(feeds.ptr()));
    for (size_t i = 0; i < input_names_.size(); ++i) {
      const GraphValue& input = program().inputs[i];
      const DType dtype = program().values[static_cast<size_t>(input.value)].dtype;
      py::object item;
      if (by_name) {
        item = py::reinterpret_borrow<py::object>(
            PyDict_GetItemWithError(feeds.ptr(), input_names_[i].ptr()));
      } else if (i < given) {
        item = py::reinterpret_steal<py::object>(
            PySequence_GetItem(feeds.ptr(), static_cast<py::ssize_t>(i)));
      }
      if (PyErr_Occurred() != nullptr) throw py::error_already_set();
      if (!item)
        raise(Status(Code::kArgument, "input '" + input.name + "' is missing; " + takes()));
      arrays.push_back(contiguous(item, dtype, input_labels_[i], in_place));
    }
    if (given != input_names_.size()) refuse_extra(feeds, by_name);
    return arrays;
  }

  std::shared_ptr<BoundModel> bind_for(const std::vector<py::array>& inputs) const {
    std::vector<Dims> dims;
    dims.reserve(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) dims.push_back(dims_of(inputs[i], input_labels_[i]));
    return bind_dims(dims);
  }

  std::shared_ptr<BoundModel> bind_dims(const std::vector<Dims>& dims) const {
    if (std::shared_ptr<BoundModel> recent = session_->recent(dims)) return recent;
    const py::gil_scoped_release release;
    Result<std::shared_ptr<BoundModel>> bound = session_->bind(dims);
    if (bound.ok()) return std::move(bound.value());
    const py::gil_scoped_acquire acquire;
    raise(bound.status());
  }

  // Dims given from Python; None binds every symbol to 1.
  std::shared_ptr<BoundModel> bind_shapes(const py::object& shapes) const {
    std::vector<Dims> dims;
    if (!shapes.is_none()) {
      for (const auto& shape : shapes.cast<std::vector<std::vector<int64_t>>>()) {
        if (shape.size() > static_cast<size_t>(kMaxRank))
          raise(Status(Code::kShape, "at most 8 dims are supported"));
        Dims& d = dims.emplace_back();
        d.rank = static_cast<int>(shape.size());
        std::copy(shape.begin(), shape.end(), d.at);
      }
      return bind_dims(dims);
    }
    const Expressions& expressions = program().expressions;
    const Expressions::Values values =
        expressions.evaluate(std::vector<int64_t>(expressions.symbols().size(), 1));
    for (const GraphValue& input : program().inputs) {
      Dims& d = dims.emplace_back();
      for (const uint32_t root : program().values[static_cast<size_t>(input.value)].dims) {
        Result<int64_t> dim = expressions.value_of(values, root);
        d.at[d.rank++] = check(dim);
      }
    }
    return bind_dims(dims);
  }

  RunOptions run_options(CancelToken* cancel) const {
    RunOptions options = session_->run_options();
    options.poll = check_signals;
    if (cancel != nullptr) options.cancel = &cancel->cancelled;
    return options;
  }

  void execute(BoundModel& bound, const std::vector<py::array>& inputs,
               const std::vector<py::array>& outputs, CancelToken* cancel, int64_t* step_ns,
               bool measure_again = false) const {
    std::vector<const void*> from(inputs.size());
    std::vector<void*> to(outputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) from[i] = inputs[i].data();
    for (size_t j = 0; j < outputs.size(); ++j) to[j] = const_cast<void*>(outputs[j].data());
    RunOptions options = run_options(cancel);
    options.step_ns = step_ns;
    options.measure_again = measure_again;
    run_released([&] { return bound.run(from.data(), to.data(), options); });
  }

  py::list describe(const py::object& shapes) const {
    return describe_binding(bind_shapes(shapes)->binding(), true);
  }

  py::dict memory(const py::object& shapes) const {
    const std::shared_ptr<BoundModel> bound = bind_shapes(shapes);
    const Binding& binding = bound->binding();
    py::dict result;
    result["arena_bytes"] = binding.arena_bytes;
    result["scratch_bytes"] = binding.scratch_bytes * static_cast<size_t>(binding.threads);
    result["packed_bytes"] = binding.packed_bytes;
    result["decoded_bytes"] = session_->model().decoded_bytes();
    return result;
  }

  std::vector<std::string> inexact(const py::object& shapes) const {
    std::vector<std::string> labels;
    for (const int step : bind_shapes(shapes)->binding().inexact_steps) {
      labels.push_back(program().steps[static_cast<size_t>(step)].label(static_cast<size_t>(step)));
    }
    return labels;
  }

  // Runs `repeats` times and returns the descriptions of the steps with "ns", the mean time of
  // each; `again`: RunOptions::measure_again.
  py::list profile(const py::object& feeds, int repeats, bool again) const {
    if (repeats < 1) raise(Status(Code::kArgument, "repeats must be at least 1"));
    const std::vector<py::array> inputs = take_inputs(feeds);
    const std::shared_ptr<BoundModel> bound = bind_for(inputs);
    const std::vector<py::array> outputs = take_outputs(bound->binding(), py::none());
    std::vector<int64_t> step_ns(bound->binding().steps.size(), 0);
    execute(*bound, inputs, outputs, nullptr, nullptr);  // warms caches and the pool
    for (int i = 0; i < repeats; ++i)
      execute(*bound, inputs, outputs, nullptr, step_ns.data(), again);
    py::list list = describe_binding(bound->binding(), false);
    for (size_t i = 0; i < step_ns.size(); ++i)
      list[i]["ns"] = static_cast<double>(step_ns[i]) / repeats;
    return list;
  }

  std::unique_ptr<Loop> loop(const py::object& feeds, const py::dict& feedback);

  int threads() const { return session_->bind_options().threads; }
  py::bytes program_text() const {
    const std::span<const std::byte> text = session_->model().program_text();
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }

 private:
  template <class Function>
  static Result<std::shared_ptr<Session>> load(Function function) {
    const py::gil_scoped_release release;
    return function();
  }

  std::string takes() const {
    std::string text = "the model takes";
    for (const GraphValue& input : program().inputs) text += " '" + input.name + "'";
    return text;
  }

  void refuse_extra(const py::object& feeds, bool by_name) const {
    std::string extra;
    if (by_name) {
      for (const auto& item : py::reinterpret_borrow<py::dict>(feeds)) {
        const py::handle key = item.first;
        const bool known = std::any_of(input_names_.begin(), input_names_.end(),
                                       [&](const py::str& n) { return n.equal(key); });
        if (!known) extra += " " + py::repr(key).cast<std::string>();
      }
    }
    raise(Status(Code::kArgument,
                 "feeds hold inputs that the model does not have:" + extra + "; " + takes()));
  }

  std::vector<py::array> take_outputs(const Binding& binding, const py::object& out) const {
    std::vector<py::array> arrays;
    arrays.reserve(binding.outputs.size());
    for (size_t j = 0; j < binding.outputs.size(); ++j) {
      const GraphTensor& output = binding.outputs[j];
      py::object given;
      if (PyDict_Check(out.ptr()) != 0) {
        given = py::reinterpret_borrow<py::object>(
            PyDict_GetItemWithError(out.ptr(), output_names_[j].ptr()));
      } else if (!out.is_none()) {
        if (py::len(out) != binding.outputs.size())
          raise(Status(Code::kArgument, "out must hold one array per output"));
        given = out[py::int_(j)];
      }
      arrays.push_back(given ? check_output(given, output) : new_array(output.dtype, output.dims));
    }
    return arrays;
  }

  static py::array check_output(const py::object& object, const GraphTensor& output) {
    const std::string what = "out '" + output.name + "'";
    if (!py::isinstance<py::array>(object))
      raise(Status(Code::kArgument, what + " is not a numpy array"));
    const auto array = py::reinterpret_borrow<py::array>(object);
    if (contiguous(array, output.dtype, what).ptr() != array.ptr() || !array.writeable()) {
      raise(Status(Code::kArgument, what + " must be writeable, C-contiguous and aligned"));
    }
    if (!(dims_of(array, what) == output.dims)) {
      raise(Status(Code::kShape, what + " has dims " + dims_text(dims_of(array, what)) +
                                     ", the output has " + dims_text(output.dims)));
    }
    return array;
  }

  py::object hand_back(const py::object& feeds, const std::vector<py::array>& outputs) const {
    if (PyDict_Check(feeds.ptr()) != 0) {
      py::dict result;
      for (size_t j = 0; j < outputs.size(); ++j) result[output_names_[j]] = outputs[j];
      return result;
    }
    py::list result;
    for (const py::array& output : outputs) result.append(output);
    return result;
  }

  // `shares`: "fast_share" and "break_even" too, which take a while: the weights are read once
  // more, rows are chosen for other densities.
  py::list describe_binding(const Binding& binding, bool shares) const {
    py::list list;
    for (size_t i = 0; i < binding.steps.size(); ++i) {
      py::dict entry = describe_step(binding.steps[i], shares);
      entry["packed_bytes"] = binding.step_packed_bytes[i];
      list.append(entry);
    }
    return list;
  }

  py::dict describe_step(const BoundStep& step, bool shares) const {
    const StepSpec* spec =
        step.step < 0 ? nullptr : &program().steps[static_cast<size_t>(step.step)];
    py::dict entry;
    entry["step"] = step.step;
    entry["name"] = spec == nullptr ? std::string() : spec->name;
    entry["family"] = spec == nullptr ? std::string(step.family->name) : spec->family_name;
    entry["operator"] = spec == nullptr ? std::string() : spec->host_operator;
    entry["row"] = step.row == nullptr ? std::string() : std::string(step.row->name);
    entry["exactness"] =
        step.row == nullptr ? "host" : std::string(1, "EDF"[static_cast<int>(step.row->exactness)]);
    entry["alias"] = step.row != nullptr && step.row->alias;
    entry["predicted_ns"] = step.cost_ns;
    entry["fast_share"] = py::none();
    if (shares && step.row != nullptr && step.row->fast_share != nullptr) {
      entry["fast_share"] = step.row->fast_share(*step.problem);
    }
    const WeightFacts* facts = step.problem->facts;
    entry["density"] = py::none();
    entry["break_even"] = py::none();
    if (facts != nullptr && facts->count > 0) {
      entry["density"] = static_cast<double>(facts->nonzeros) / static_cast<double>(facts->count);
    }
    if (shares && facts != nullptr && facts->nonzeros < facts->count) {
      const double density = break_even_of(step, session_->bind_options());
      if (density >= 0) entry["break_even"] = density;
    }
    const auto operands = [](const Operands& from) {
      py::list result;
      for (const Operand& operand : from) {
        if (!operand.present) {
          result.append(py::none());
          continue;
        }
        result.append(py::make_tuple(std::string(dtype_name(operand.dtype)), tuple_of(operand.dims),
                                     form_name(operand.form)));
      }
      return result;
    };
    entry["inputs"] = operands(step.problem->inputs);
    entry["outputs"] = operands(step.problem->outputs);
    py::list candidates;
    for (const Candidate& candidate : step.choice.candidates) {
      candidates.append(
          py::make_tuple(std::string(candidate.row->name), candidate.cost_ns, candidate.reason));
    }
    entry["candidates"] = candidates;
    return entry;
  }

  std::shared_ptr<Session> session_;
  py::object host_;                        // keeps the callback alive
  std::vector<std::string> input_labels_;  // for messages
  std::vector<py::str> input_names_;
  std::vector<py::str> output_names_;
};

// A session bound to fixed arrays: inputs are read where they are, outputs are written where they
// are, feedback copies an output to an input after each run.
class Loop {
 public:
  Loop(const PySession& session, const std::shared_ptr<BoundModel>& bound,
       std::vector<py::array> inputs)
      : bound_(bound), inputs_(std::move(inputs)), options_(session.run_options(nullptr)) {
    const Binding& binding = bound->binding();
    for (const GraphTensor& output : binding.outputs) {
      outputs_.push_back(new_array(output.dtype, output.dims));
      names_[py::str(output.name)] = outputs_.back();
    }
    for (const py::array& output : outputs_) to_.push_back(const_cast<void*>(output.data()));
    Result<std::unique_ptr<Context>> context = bound->take();
    context_ = std::move(check(context));
  }

  void add_feedback(const std::string& output, const std::string& input) {
    const Binding& binding = bound_->binding();
    const auto find = [](const std::vector<GraphTensor>& list, const std::string& name) {
      for (size_t i = 0; i < list.size(); ++i) {
        if (list[i].name == name) return i;
      }
      raise(Status(Code::kArgument, "feedback: the model has no such tensor '" + name + "'"));
    };
    const size_t j = find(binding.outputs, output);
    const size_t i = find(binding.inputs, input);
    if (!(binding.outputs[j].dims == binding.inputs[i].dims) ||
        binding.outputs[j].dtype != binding.inputs[i].dtype) {
      raise(Status(Code::kShape, "feedback: output '" + output + "' and input '" + input +
                                     "' differ in dtype or dims"));
    }
    // The state gets memory of its own: the caller's array keeps the first state.
    inputs_[i] = inputs_[i].attr("copy")();
    feedback_.push_back({to_[j], const_cast<void*>(inputs_[i].data()), binding.outputs[j].bytes()});
  }

  void freeze() {
    for (const py::array& input : inputs_) from_.push_back(input.data());
  }

  void run() {
    if (running_.test_and_set())
      raise(Status(Code::kArgument, "this loop is running in another thread; bind one for each"));
    const struct Clear {
      std::atomic_flag& flag;
      ~Clear() { flag.clear(); }
    } clear{running_};
    run_released([this] {
      const Status status = context_->run(from_.data(), to_.data(), options_);
      if (status.ok()) {
        for (const Feedback& f : feedback_) std::memcpy(f.to, f.from, f.bytes);
      }
      return status;
    });
  }

  py::dict outputs() const { return names_; }
  py::list inputs() const {
    py::list list;
    for (const py::array& input : inputs_) list.append(input);
    return list;
  }

 private:
  struct Feedback {
    const void* from;
    void* to;
    size_t bytes;
  };
  std::shared_ptr<BoundModel> bound_;
  std::unique_ptr<Context> context_;
  std::vector<py::array> inputs_;
  std::vector<py::array> outputs_;
  std::vector<const void*> from_;
  std::vector<void*> to_;
  std::vector<Feedback> feedback_;
  py::dict names_;
  RunOptions options_;
  std::atomic_flag running_;
};

std::unique_ptr<Loop> PySession::loop(const py::object& feeds, const py::dict& feedback) {
  std::vector<py::array> inputs = take_inputs(feeds, true);
  const std::shared_ptr<BoundModel> bound = bind_for(inputs);
  auto loop = std::make_unique<Loop>(*this, bound, std::move(inputs));
  for (const auto& [output, input] : feedback)
    loop->add_feedback(output.cast<std::string>(), input.cast<std::string>());
  loop->freeze();
  return loop;
}

}  // namespace

py::object wrap_session(std::shared_ptr<Session> session) {
  return py::cast(std::make_unique<PySession>(std::move(session), py::none()));
}

void bind_session(py::module_& module) {
  py::class_<CancelToken>(module, "CancelToken")
      .def(py::init<>())
      .def("cancel", [](CancelToken& token) { token.cancelled.store(true); })
      .def_property_readonly("cancelled",
                             [](const CancelToken& token) { return token.cancelled.load(); });

  py::class_<Loop>(module, "Loop")
      .def("run", &Loop::run)
      .def_property_readonly("outputs", &Loop::outputs)
      .def_property_readonly("inputs", &Loop::inputs);

  py::class_<PySession>(module, "Session")
      .def(py::init([](const py::object& source, int threads, std::string isa, bool verify,
                       bool mmap, size_t max_bytes, std::string row,
                       const std::vector<std::pair<std::string, double>>& costs, py::object host) {
             SessionOptions options;
             options.threads = threads;
             options.isa = std::move(isa);
             options.verify = verify;
             options.map = mmap;
             if (max_bytes != 0) options.max_bytes = max_bytes;
             options.row_filter = std::move(row);
             options.cost_factors = costs;
             return PySession::open(source, std::move(options), std::move(host));
           }),
           py::arg("source"), py::kw_only(), py::arg("threads") = 0, py::arg("isa") = "",
           py::arg("verify") = true, py::arg("mmap") = true, py::arg("max_bytes") = 0,
           py::arg("row") = "", py::arg("costs") = std::vector<std::pair<std::string, double>>(),
           py::arg("host") = py::none())
      .def("run", &PySession::run, py::arg("feeds"), py::arg("out") = py::none(),
           py::arg("cancel") = static_cast<CancelToken*>(nullptr))
      .def("bind", &PySession::loop, py::arg("feeds"), py::arg("feedback") = py::dict(),
           py::keep_alive<0, 1>())
      .def(
          "prepare", [](const PySession& s, const py::object& shapes) { s.bind_shapes(shapes); },
          py::arg("shapes") = py::none())
      .def("steps", &PySession::describe, py::arg("shapes") = py::none())
      .def("memory", &PySession::memory, py::arg("shapes") = py::none())
      .def("inexact", &PySession::inexact, py::arg("shapes") = py::none())
      .def("profile", &PySession::profile, py::arg("feeds"), py::arg("repeats") = 1,
           py::arg("again") = false)
      .def_property_readonly("inputs",
                             [](const PySession& s) { return s.tensors(s.program().inputs); })
      .def_property_readonly("outputs",
                             [](const PySession& s) { return s.tensors(s.program().outputs); })
      .def_property_readonly("threads", &PySession::threads)
      .def_property_readonly("program", &PySession::program_text);

  module.def("packed_bytes", &packed_bytes_alive);
}

}  // namespace pyrt::python
