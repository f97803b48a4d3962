// The extension module pyruntime._core.
#include "python/convert.h"

PYBIND11_MODULE(_core, module) {
  module.doc() =
      "The compiled core of pyruntime: sessions, kernel tables, the CPU. Private; see "
      "pyruntime/_core.pyi.";
  module.attr("__version__") = PYRT_VERSION;
  pyrt::python::bind_session(module);
  pyrt::python::bind_kernels(module);
}
