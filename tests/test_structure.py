"""The tree shows the architecture: layers, sizes, and what an object file may export."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import pyruntime

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pyruntime"
CSRC = ROOT / "csrc"

MAX_LINES = 600


def tracked(*suffixes: str) -> list[Path]:
    """Source files below the folders that hold code."""
    folders = [ROOT / name for name in ("pyruntime", "csrc", "tests", "benchmarks")]
    return sorted(p for f in folders for p in f.rglob("*") if p.suffix in suffixes)


# C++ includes: base <- kernels <- runtime <- {capi, python}. Skins see all but each other.
CPP_LAYERS = {
    "base": {"base"},
    "kernels": {"base", "kernels"},
    "runtime": {"base", "kernels", "runtime"},
    "capi": {"base", "kernels", "runtime", "capi"},
    "python": {"base", "kernels", "runtime", "python"},
    "include": set(),
    "cmake": {"supplement.h"},  # stand-ins for the compiler's headers, no layer
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
GENERATED = {"families.inc", "tables.inc"}


def include_errors(path: Path, text: str) -> list[str]:
    """The includes of one file of csrc (path relative to it) that break the layer order."""
    layer = path.parts[0]
    errors = []
    for include in INCLUDE.findall(text):
        if include in GENERATED or (include == "pyruntime.h" and layer == "capi"):
            continue
        if Path(include).parts[0] not in CPP_LAYERS[layer]:
            errors.append(f"csrc/{path} includes {include}: {layer} may not")
    return errors


def test_cpp_includes_never_point_right() -> None:
    files = [p for p in tracked(".h", ".cpp") if CSRC in p.parents]
    assert files
    errors = [e for p in files for e in include_errors(p.relative_to(CSRC), p.read_text())]
    assert not errors, "\n".join(errors)


def test_a_wrong_include_is_found() -> None:
    assert include_errors(Path("kernels/a.cpp"), '#include "runtime/bind.h"\n')
    assert include_errors(Path("capi/a.cpp"), '#include "python/module.h"\n')
    assert not include_errors(Path("runtime/a.cpp"), '#include "kernels/kernel.h"\n')


# Python imports: a module imports modules of smaller rank or of its own package.
PY_RANKS = {
    "errors": 0,
    "kernels": 1,  # the typed view of the native tables
    "graph": 1,
    "ops": 2,
    "onnx_import": 3,
    "onnx_export": 3,
    "passes": 3,
    "preprocess": 3,
    "compression": 4,  # works on the fused graph that passes make
    "plan": 4,
    "host": 4,
    "costs": 5,  # what tuning found, read by sessions
    "session": 6,
    "api": 7,  # compression calibrated by sessions
    "backend": 7,
    "tuning": 7,
    "": 8,  # the public names, loaded when first used
    "demo": 9,
    "cli": 10,
    "train": 10,  # may import anything, is imported by nothing: cli has the same rank
}
MAY_IMPORT_CORE = {"kernels", "session"}
OPS_MAY_IMPORT = {"errors", "graph", "ops"}


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield from runtime_nodes(node)


def imported_modules(text: str) -> set[str]:
    """What a source imports below `pyruntime`: `graph.types`, `_core`, ..; "" for the package.

    Imports for annotations only (`if TYPE_CHECKING:`) are no dependency at run time.
    """
    found: set[str] = set()
    for node in runtime_nodes(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "pyruntime":
            found |= {f"pyruntime.{a.name}" for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {
        m.removeprefix("pyruntime").lstrip(".") for m in found if m.split(".")[0] == "pyruntime"
    }


def import_errors(path: Path, text: str) -> list[str]:
    """The imports of one file of the package (path relative to it) that break the layer order."""
    own = path.parts[0].removesuffix(".py")
    errors = []
    for module in sorted(imported_modules(text)):
        part = "" if module == "__version__" else module.split(".")[0]
        if part == "_core":
            allowed = own in MAY_IMPORT_CORE and len(path.parts) == 1
        elif own == "ops":
            allowed = part in OPS_MAY_IMPORT
        elif part not in PY_RANKS:
            allowed = False
        else:
            allowed = part == own or PY_RANKS[part] < PY_RANKS[own]
        if not allowed:
            errors.append(f"pyruntime/{path} imports pyruntime.{module}: {own} may not")
    return errors


def test_python_imports_follow_the_layers() -> None:
    errors = []
    for path in PACKAGE.rglob("*.py"):
        relative = path.relative_to(PACKAGE)
        if relative == Path("__init__.py"):
            continue
        if relative.parts[0].removesuffix(".py") not in PY_RANKS:
            errors.append(f"pyruntime/{relative} belongs to no layer: name its rank in PY_RANKS")
            continue
        errors += import_errors(relative, path.read_text())
    assert not errors, "\n".join(errors)


def test_a_wrong_import_is_found() -> None:
    assert import_errors(Path("graph/a.py"), "from pyruntime.ops import conv")
    assert import_errors(Path("graph/a.py"), "import pyruntime.plan.file")
    assert import_errors(Path("graph/a.py"), "from pyruntime import session")
    assert import_errors(Path("plan/a.py"), "from pyruntime import _core")
    assert import_errors(Path("ops/a.py"), "from pyruntime import kernels")
    assert import_errors(Path("passes/a.py"), "from pyruntime.compression import prune")
    assert import_errors(Path("api.py"), "import pyruntime")
    typed = "if TYPE_CHECKING:\n    from pyruntime.ops import Operator"
    assert not import_errors(Path("graph/a.py"), typed)
    assert not import_errors(Path("session.py"), "from pyruntime._core import Session")
    assert not import_errors(Path("plan/a.py"), "from pyruntime.graph.types import DType")


def ops_outside_imports(text: str) -> set[str]:
    """The optional packages that a source imports."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names & {"onnx", "onnxruntime", "torch", "scipy", "ml_dtypes", "numba"}


def test_operators_need_only_numpy() -> None:
    assert ops_outside_imports("import onnx.helper") == {"onnx"}
    for path in (PACKAGE / "ops").glob("*.py"):
        assert not ops_outside_imports(path.read_text()), path


def test_files_are_short() -> None:
    lengths = {p: len(p.read_text().splitlines()) for p in tracked(".py", ".cpp", ".h", ".c")}
    assert len(lengths) > 10
    long = {str(p.relative_to(ROOT)): n for p, n in lengths.items() if n > MAX_LINES}
    assert not long, f"over {MAX_LINES} lines; split by idea: {long}"


def test_public_names_are_documented() -> None:
    public = set(pyruntime.__all__)
    assert public
    assert public == {n for n in public if hasattr(pyruntime, n)}
    undocumented = [
        name
        for name in public
        if callable(getattr(pyruntime, name)) and not inspect.getdoc(getattr(pyruntime, name))
    ]
    assert not undocumented
    extra = {
        name
        for name, value in vars(pyruntime).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    } - public
    assert extra <= {"annotations", "Any", "TYPE_CHECKING"}, (
        f"public but not in pyruntime.__all__: {extra}"
    )


# What the code of ISA objects may call: memory functions and exactly rounded operations.
MAY_CALL = {"memcpy", "memmove", "memset", "memcmp", "fma", "fmaf", "sqrt", "sqrtf"}
MAY_CALL |= {"_GLOBAL_OFFSET_TABLE_"}


def symbols(object_file: Path) -> list[tuple[str, str]]:
    """(kind, name) of each symbol, kind as `nm` prints it."""
    text = subprocess.run(["nm", object_file], check=True, capture_output=True, text=True).stdout
    return [(line.split()[-2], line.split()[-1]) for line in text.splitlines()]


def symbol_errors(object_file: Path, table: str) -> list[str]:
    """What an object exports or calls that it may not; it must export `table` alone."""
    errors = []
    exported = f"_ZN4pyrt{len(table)}{table}E"
    found = symbols(object_file)
    for kind, name in found:
        if kind in "WVwvu":
            errors.append(f"weak symbol {name}: the linker may keep it for callers on other CPUs")
        elif kind == "U" and name not in MAY_CALL:
            errors.append(f"calls {name}: a kernel neither allocates, throws, locks nor uses libm")
        elif kind.isupper() and kind != "U" and name != exported:
            errors.append(f"exports {name}: put it into an anonymous namespace")
        elif "_GLOBAL__sub_I" in name:
            errors.append("has a static constructor")
    if not any(kind.isupper() and name == exported for kind, name in found):
        errors.append(f"does not export {exported}")
    return errors


@pytest.mark.slow
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_isa_objects_export_only_their_table(
    level: str, kernel_commands: list[list[str]], tmp_path: Path
) -> None:
    errors = []
    running: list[tuple[str, Path, subprocess.Popen[bytes]]] = []

    def finish() -> None:
        table, output, process = running.pop(0)
        assert process.wait() == 0, f"{table} does not compile with {level}"
        errors.extend(f"{table} ({level}) {e}" for e in symbol_errors(output, table))

    for command in kernel_commands:
        table = Path(command[-1]).stem
        output = tmp_path / f"{table}.o"
        running.append((table, output, subprocess.Popen([*command, level, "-o", str(output)])))
        if len(running) == 2:
            finish()
    while running:
        finish()
    assert not errors, "\n".join(errors)


def test_a_wrong_symbol_is_found(tmp_path: Path) -> None:
    source = tmp_path / "a.cpp"
    source.write_text(
        "#include <cmath>\n#include <new>\ninline int weak(int x) { return x + 1; }\n"
        "int exported(int x) { return weak(x); }\nint* made = new int(3);\n"
        "float libm(float x) { return std::exp(x); }\n"
    )
    subprocess.run(["g++", "-O0", "-c", source, "-o", tmp_path / "a.o"], check=True)
    text = "\n".join(symbol_errors(tmp_path / "a.o", "gemm_avx2"))
    for expected in ("weak symbol _Z4weaki", "exports _Z8exportedi", "calls _Znwm", "calls expf"):
        assert expected in text
    assert "static constructor" in text
    assert "does not export _ZN4pyrt9gemm_avx2E" in text
