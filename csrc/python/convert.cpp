#include "python/convert.h"

namespace pyrt::python {
namespace {

constexpr const char* kErrorNames[] = {"PyruntimeError", "FormatError",  "UnsupportedError",
                                       "ShapeError",     "DTypeError",   "ResourceError",
                                       "Cancelled",      "ArgumentError"};

constexpr const char* kNumpyNames[kDTypeCount] = {
    "bool",  "uint8",   "int8",   "uint16",  "int16",   "uint32", "int32", "uint64",
    "int64", "float16", "uint16", "float32", "float64", "uint8",  "int8"};

constexpr int kAligned = 0x0100;  // NPY_ARRAY_ALIGNED

char kind_of(DType dtype) {
  switch (dtype) {
    case DType::kBool:
      return 'b';
    case DType::kF16:
    case DType::kF32:
    case DType::kF64:
      return 'f';
    case DType::kS8:
    case DType::kS16:
    case DType::kS32:
    case DType::kS64:
    case DType::kS4:
      return 'i';
    default:
      return 'u';
  }
}

}  // namespace

void raise(const Status& status) {
  const py::object errors = py::module_::import("pyruntime.errors");
  const py::object type = errors.attr(kErrorNames[static_cast<int>(status.code())]);
  // Names in a hostile file may be cut inside a character or be no UTF-8 at all.
  const auto size = static_cast<py::ssize_t>(status.message().size());
  const auto message = py::reinterpret_steal<py::object>(
      PyUnicode_DecodeUTF8(status.message().data(), size, "replace"));
  PyErr_SetObject(type.ptr(), message.ptr());
  throw py::error_already_set();
}

const py::dtype& numpy_dtype(DType dtype) {
  // Never freed: they must not be released after the interpreter is gone.
  static const auto* const dtypes = [] {
    auto* list = new std::vector<py::dtype>;
    for (const char* name : kNumpyNames) list->push_back(py::dtype(std::string(name)));
    return list;
  }();
  return (*dtypes)[static_cast<size_t>(dtype)];
}

bool matches(const py::dtype& dtype, DType wanted) {
  if (dtype.ptr() == numpy_dtype(wanted).ptr()) return true;  // numpy shares its built-in dtypes
  const char order = dtype.byteorder();
  const bool native = order == '=' || order == '|';
  return native && dtype.kind() == kind_of(wanted) &&
         dtype.itemsize() == static_cast<py::ssize_t>(dtype_bytes(wanted));
}

DType dtype_of(const py::array& array) {
  for (int i = 0; i < kDTypeCount; ++i) {
    if (matches(array.dtype(), static_cast<DType>(i))) return static_cast<DType>(i);
  }
  raise(Status(Code::kDType,
               "arrays of " + py::str(array.dtype()).cast<std::string>() + " are not supported"));
}

Dims dims_of(const py::array& array, const std::string& what) {
  if (array.ndim() > kMaxRank) {
    raise(Status(Code::kShape,
                 what + " has rank " + std::to_string(array.ndim()) + ", at most 8 is supported"));
  }
  Dims dims;
  dims.rank = static_cast<int>(array.ndim());
  for (int i = 0; i < dims.rank; ++i) dims.at[i] = array.shape(i);
  return dims;
}

py::tuple tuple_of(const Dims& dims) {
  py::tuple tuple(static_cast<size_t>(dims.rank));
  for (int i = 0; i < dims.rank; ++i) tuple[static_cast<size_t>(i)] = dims[i];
  return tuple;
}

namespace {

py::array::ShapeContainer shape_of(const Dims& dims) { return {dims.at, dims.at + dims.rank}; }

}  // namespace

py::array new_array(DType dtype, const Dims& dims) {
  return py::array(numpy_dtype(dtype), shape_of(dims));
}

py::array view(void* data, DType dtype, const Dims& dims, py::handle owner, bool writeable) {
  py::array array(numpy_dtype(dtype), shape_of(dims), data, owner);
  if (!writeable)
    py::detail::array_proxy(array.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return array;
}

py::array contiguous(py::handle object, DType wanted, const std::string& what, bool in_place) {
  py::array array;
  if (py::isinstance<py::array>(object)) {
    array = py::reinterpret_borrow<py::array>(object);
  } else {
    // Tensors of other libraries come without a copy where they live on the CPU.
    const py::module_ numpy = py::module_::import("numpy");
    array = numpy.attr(py::hasattr(object, "__dlpack__") ? "from_dlpack" : "asarray")(object);
  }
  if (!matches(array.dtype(), wanted)) {
    const std::string name = py::str(array.dtype()).cast<std::string>();
    raise(Status(Code::kDType, what + " has elements of " + name + ", the model takes " +
                                   std::string(dtype_name(wanted)) +
                                   "; convert it with astype(numpy." +
                                   kNumpyNames[static_cast<size_t>(wanted)] + ")"));
  }
  const int needed = py::array::c_style | kAligned;
  if ((array.flags() & needed) == needed) return array;
  if (in_place) {
    raise(Status(Code::kArgument,
                 what + " must be C-contiguous and aligned: a loop reads it where it is"));
  }
  return py::module_::import("numpy").attr("require")(array, py::none(), "CA");
}

}  // namespace pyrt::python
