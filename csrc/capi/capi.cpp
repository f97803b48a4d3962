// The C interface: opaque handles, Status to code and message. Nothing escapes: each entry catches
// what is thrown.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>

#include "pyruntime.h"
#include "runtime/session.h"

struct pyrt_session {
  std::shared_ptr<pyrt::Session> session;
};

namespace {

using pyrt::Code;
using pyrt::Dims;
using pyrt::DType;
using pyrt::Result;
using pyrt::Status;

static_assert(PYRT_MAX_RANK == pyrt::kMaxRank);
static_assert(PYRT_S4 == static_cast<int>(DType::kS4) && PYRT_F32 == static_cast<int>(DType::kF32));
static_assert(PYRT_ERROR_ARGUMENT == static_cast<int>(Code::kArgument));

int32_t report(const Status& status, pyrt_error* error) {
  constexpr size_t kOffset = offsetof(pyrt_error, message);
  if (error != nullptr && error->size > kOffset) {
    const size_t room = std::min(error->size - kOffset, sizeof(error->message));
    const size_t length = std::min(status.message().size(), room - 1);
    std::memcpy(error->message, status.message().data(), length);
    error->message[length] = '\0';
  }
  return static_cast<int32_t>(status.code());
}

template <class Function>
int32_t guarded(pyrt_error* error, Function function) noexcept {
  try {
    return report(function(), error);
  } catch (const std::bad_alloc&) {
    return report(Status(Code::kResource, "out of memory"), error);
  } catch (...) {
    return report(Status(Code::kResource, "unexpected failure inside pyruntime"), error);
  }
}

// Arrays of tensors, whose stride is the size that the caller's version of the header gives them.
template <class Tensor>
class Tensors {
 public:
  Tensors(Tensor* first, int32_t count) : first_(first), count_(count) {}

  Status check(const char* what, size_t expected) const {
    if (count_ < 0 || static_cast<size_t>(count_) != expected) {
      return Status(Code::kArgument, std::to_string(count_) + " " + what +
                                         "s given, the model has " + std::to_string(expected));
    }
    if (count_ > 0 && (first_ == nullptr || first_->size < sizeof(pyrt_tensor))) {
      return Status(Code::kArgument,
                    std::string(what) + "s: the field 'size' must be sizeof(pyrt_tensor)");
    }
    return {};
  }
  Tensor& operator[](size_t i) const {
    using Byte = std::conditional_t<std::is_const_v<Tensor>, const char, char>;
    return *reinterpret_cast<Tensor*>(reinterpret_cast<Byte*>(first_) + i * first_->size);
  }
  size_t size() const { return static_cast<size_t>(count_); }

 private:
  Tensor* first_;
  int32_t count_;
};

// Up to this many inputs and outputs a run allocates nothing.
constexpr size_t kInline = 16;

template <class T>
class Few {
 public:
  explicit Few(size_t count) : count_(count) {
    if (count > kInline) more_ = std::make_unique<T[]>(count);
  }
  T* data() { return more_ != nullptr ? more_.get() : few_; }
  T& operator[](size_t i) { return data()[i]; }
  std::span<const T> span() { return {data(), count_}; }

 private:
  size_t count_;
  T few_[kInline] = {};
  std::unique_ptr<T[]> more_;
};

Result<pyrt::SessionOptions> options_of(const pyrt_options* options) {
  pyrt::SessionOptions result;
  if (options == nullptr) return result;
  if (options->size < sizeof(pyrt_options)) {
    return Status(Code::kArgument, "options: the field 'size' must be sizeof(pyrt_options)");
  }
  result.threads = options->threads;
  result.verify = options->no_verify == 0;
  result.map = options->no_map == 0;
  if (options->isa != nullptr) result.isa = options->isa;
  if (options->max_bytes != 0) result.max_bytes = static_cast<size_t>(options->max_bytes);
  return result;
}

Status own(Result<std::shared_ptr<pyrt::Session>> session, pyrt_session** out) {
  if (!session.ok()) return session.status();
  *out = new pyrt_session{std::move(session.value())};
  return {};
}

void describe(const pyrt::GraphTensor& from, pyrt_tensor* to) {
  to->dtype = static_cast<int32_t>(from.dtype);
  to->rank = from.dims.rank;
  std::copy_n(from.dims.at, pyrt::kMaxRank, to->dims);
}

Status declared(const pyrt_session* session, const std::vector<pyrt::GraphValue>& list,
                int32_t index, const char** name, pyrt_tensor* tensor) {
  if (index < 0 || static_cast<size_t>(index) >= list.size()) {
    return Status(Code::kArgument, "index " + std::to_string(index) + " is not below " +
                                       std::to_string(list.size()));
  }
  const pyrt::Program& program = session->session->model().program();
  const pyrt::GraphValue& item = list[static_cast<size_t>(index)];
  if (name != nullptr) *name = item.name.c_str();
  if (tensor == nullptr) return {};
  if (tensor->size < sizeof(pyrt_tensor)) {
    return Status(Code::kArgument, "tensor: the field 'size' must be sizeof(pyrt_tensor)");
  }
  const pyrt::ValueSpec& value = program.values[static_cast<size_t>(item.value)];
  tensor->dtype = static_cast<int32_t>(value.dtype);
  tensor->rank = static_cast<int32_t>(value.dims.size());
  for (size_t i = 0; i < value.dims.size(); ++i) {
    const bool known = program.expressions.is_constant(value.dims[i]);
    tensor->dims[i] = known ? program.expressions.constant_value(value.dims[i]) : -1;
  }
  return {};
}

Status dims_of(const pyrt_tensor& tensor, size_t index, Dims* dims) {
  if (tensor.rank < 0 || tensor.rank > PYRT_MAX_RANK) {
    return Status(Code::kArgument,
                  "input " + std::to_string(index) + ": rank " + std::to_string(tensor.rank));
  }
  dims->rank = tensor.rank;
  std::copy_n(tensor.dims, tensor.rank, dims->at);
  return {};
}

Result<std::shared_ptr<pyrt::BoundModel>> bind_inputs(pyrt::Session& session,
                                                      const Tensors<const pyrt_tensor>& inputs) {
  const pyrt::Program& program = session.model().program();
  PYRT_RETURN_IF_ERROR(inputs.check("input", program.inputs.size()));
  Few<Dims> dims(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    PYRT_RETURN_IF_ERROR(dims_of(inputs[i], i, &dims[i]));
    const DType dtype = program.values[static_cast<size_t>(program.inputs[i].value)].dtype;
    if (inputs[i].dtype != static_cast<int32_t>(dtype)) {
      return Status(Code::kDType, "input '" + program.inputs[i].name + "' must be " +
                                      std::string(pyrt::dtype_name(dtype)));
    }
  }
  return session.bind(dims.span());
}

Status run(pyrt::Session& session, const Tensors<const pyrt_tensor>& inputs,
           const Tensors<pyrt_tensor>& outputs) {
  Result<std::shared_ptr<pyrt::BoundModel>> bound = bind_inputs(session, inputs);
  if (!bound.ok()) return bound.status();
  const pyrt::Binding& binding = bound.value()->binding();
  PYRT_RETURN_IF_ERROR(outputs.check("output", binding.outputs.size()));
  Few<const void*> from(inputs.size());
  Few<void*> to(outputs.size());
  for (size_t j = 0; j < outputs.size(); ++j) describe(binding.outputs[j], &outputs[j]);
  for (size_t j = 0; j < outputs.size(); ++j) {
    const size_t bytes = binding.outputs[j].bytes();
    if (outputs[j].bytes < bytes || (bytes > 0 && outputs[j].data == nullptr)) {
      return Status(Code::kResource, "output '" + binding.outputs[j].name + "' needs " +
                                         std::to_string(bytes) + " bytes, has " +
                                         std::to_string(outputs[j].bytes));
    }
    to[j] = outputs[j].data;
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const size_t bytes = binding.inputs[i].bytes();
    if (inputs[i].bytes < bytes || (bytes > 0 && inputs[i].data == nullptr)) {
      return Status(Code::kArgument, "input '" + binding.inputs[i].name + "' has " +
                                         std::to_string(inputs[i].bytes) +
                                         " bytes, its dims need " + std::to_string(bytes));
    }
    from[i] = inputs[i].data;
  }
  return bound.value()->run(from.data(), to.data(), session.run_options());
}

}  // namespace

extern "C" {

const char* pyrt_version(void) { return PYRT_VERSION; }

int32_t pyrt_load_file(const char* path, const pyrt_options* options, pyrt_session** session,
                       pyrt_error* error) {
  return guarded(error, [&]() -> Status {
    if (path == nullptr || session == nullptr)
      return Status(Code::kArgument, "path and session must not be null");
    Result<pyrt::SessionOptions> parsed = options_of(options);
    if (!parsed.ok()) return parsed.status();
    return own(pyrt::Session::open(path, parsed.value()), session);
  });
}

int32_t pyrt_load_memory(const void* data, size_t bytes, const pyrt_options* options,
                         pyrt_session** session, pyrt_error* error) {
  return guarded(error, [&]() -> Status {
    if (data == nullptr || session == nullptr)
      return Status(Code::kArgument, "data and session must not be null");
    Result<pyrt::SessionOptions> parsed = options_of(options);
    if (!parsed.ok()) return parsed.status();
    return own(
        pyrt::Session::from_bytes({static_cast<const std::byte*>(data), bytes}, parsed.value()),
        session);
  });
}

void pyrt_free(pyrt_session* session) { delete session; }

int32_t pyrt_input_count(const pyrt_session* session) {
  return static_cast<int32_t>(session->session->model().program().inputs.size());
}

int32_t pyrt_output_count(const pyrt_session* session) {
  return static_cast<int32_t>(session->session->model().program().outputs.size());
}

int32_t pyrt_input(const pyrt_session* session, int32_t index, const char** name,
                   pyrt_tensor* tensor, pyrt_error* error) {
  return guarded(error, [&] {
    return declared(session, session->session->model().program().inputs, index, name, tensor);
  });
}

int32_t pyrt_output(const pyrt_session* session, int32_t index, const char** name,
                    pyrt_tensor* tensor, pyrt_error* error) {
  return guarded(error, [&] {
    return declared(session, session->session->model().program().outputs, index, name, tensor);
  });
}

int32_t pyrt_bind(pyrt_session* session, const pyrt_tensor* inputs, int32_t input_count,
                  pyrt_tensor* outputs, int32_t output_count, pyrt_error* error) {
  return guarded(error, [&]() -> Status {
    Result<std::shared_ptr<pyrt::BoundModel>> bound =
        bind_inputs(*session->session, Tensors<const pyrt_tensor>(inputs, input_count));
    if (!bound.ok()) return bound.status();
    const pyrt::Binding& binding = bound.value()->binding();
    const Tensors<pyrt_tensor> results(outputs, output_count);
    PYRT_RETURN_IF_ERROR(results.check("output", binding.outputs.size()));
    for (size_t j = 0; j < results.size(); ++j) {
      describe(binding.outputs[j], &results[j]);
      results[j].bytes = binding.outputs[j].bytes();
    }
    return {};
  });
}

int32_t pyrt_run(pyrt_session* session, const pyrt_tensor* inputs, int32_t input_count,
                 pyrt_tensor* outputs, int32_t output_count, pyrt_error* error) {
  return guarded(error, [&] {
    return run(*session->session, Tensors<const pyrt_tensor>(inputs, input_count),
               Tensors<pyrt_tensor>(outputs, output_count));
  });
}

}  // extern "C"
