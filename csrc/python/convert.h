// Between C++ and Python: dtypes, dims, errors. Shared by the files of the module.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "base/dtype.h"
#include "base/status.h"
#include "kernels/kernel.h"
#include "runtime/program.h"
#include "runtime/session.h"

namespace pyrt::python {

namespace py = pybind11;

// Raises the exception of pyruntime.errors that belongs to the code.
[[noreturn]] void raise(const Status& status);
inline void check(const Status& status) {
  if (!status.ok()) raise(status);
}
template <class T>
T& check(Result<T>& result) {
  if (!result.ok()) raise(result.status());
  return result.value();
}

// numpy's dtype for the elements of a value: bf16 is uint16, 4-bit types are int8 and uint8.
const py::dtype& numpy_dtype(DType dtype);
// Whether `dtype` has the elements of `wanted`, in native byte order.
bool matches(const py::dtype& dtype, DType wanted);
// The dtype whose elements an array has. DTypeError when there is none.
DType dtype_of(const py::array& array);

Dims dims_of(const py::array& array, const std::string& what);
py::tuple tuple_of(const Dims& dims);
py::array new_array(DType dtype, const Dims& dims);
// An array over memory that the caller keeps alive.
py::array view(void* data, DType dtype, const Dims& dims, py::handle owner, bool writeable);

// An array with the wanted elements, C-contiguous and aligned: the object itself where it is that
// already, else a copy. DTypeError names `what`; nothing is cast silently.
// With `in_place` a copy is an ArgumentError instead.
py::array contiguous(py::handle object, DType wanted, const std::string& what,
                     bool in_place = false);

void bind_session(py::module_& module);
void bind_kernels(py::module_& module);
// Makes the module's Session class from a C++ session without a host callback.
py::object wrap_session(std::shared_ptr<Session> session);

}  // namespace pyrt::python
