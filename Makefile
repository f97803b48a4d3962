# What people and CI do with a clone. Everything is kept in .venv, .venv-bench and build/, which `make clean` removes.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
# The peers that `make bench` measures against, apart from everything else.
BENCH_VENV := .venv-bench
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check
ARGS ?=
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell nproc)
ifneq ($(shell command -v ccache),)
  export CMAKE_CXX_COMPILER_LAUNCHER ?= ccache
  export CMAKE_C_COMPILER_LAUNCHER ?= ccache
endif

NATIVE := CMakeLists.txt pyproject.toml $(shell find csrc -type f)
# The requirements that pyproject.toml pins, so that they are written once: $(call pinned,['project']['dependencies'])
pinned = $$($(PY) -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))$(1))")
extra = $(call pinned,['project']['optional-dependencies']['$(1)'])

# Native builds beside the one in .venv: $(call native,<folder in build/>,<cmake options>,<options of cmake --build>)
native = cmake -G Ninja -B build/$(1) -DPython_EXECUTABLE=$(CURDIR)/$(PY) -DPYRT_BUILD_TESTS=ON $(2) >build/$(1).log && cmake --build build/$(1) $(3)

.PHONY: help build demo test bench bench-choice lint format wheel check-clang test-arm test-aarch64 test-armhf clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "make %-12s %s\n", $$1, $$2}'

build: $(VENV)/native.stamp  ## set up .venv and build the native core; `.venv/bin/pyruntime` then works

demo: $(VENV)/native.stamp  ## the whole of pyruntime on a small trained network, in seconds
	$(VENV)/bin/pyruntime demo $(ARGS)

test: $(VENV)/native.stamp $(VENV)/test.stamp  ## run the test suite; ARGS="-k conv" passes options to pytest
	$(PY) -m pytest -q $(ARGS)

# More than one, because something else may disturb a machine for seconds: the report takes the best median.
PASSES ?= 1 2

bench: $(VENV)/native.stamp $(BENCH_VENV)/bench.stamp  ## measure against the peers, kept in .venv-bench; ARGS="-k gemm" for some of it
	@mkdir -p build && rm -f build/bench*.json
	for pass in $(PASSES); do \
	  $(BENCH_VENV)/bin/python -m pytest -q -o python_files='bench_*.py' -o python_functions='bench_*' --benchmark-quiet --benchmark-json=build/bench-$$pass.json benchmarks $(ARGS); \
	done
	$(BENCH_VENV)/bin/python benchmarks/report.py build/bench-*.json

bench-choice: $(VENV)/native.stamp $(BENCH_VENV)/bench.stamp  ## check that no chosen kernel is slower than dense; takes minutes
	$(BENCH_VENV)/bin/python benchmarks/choice.py $(ARGS)

CXX_FILES = $(shell git ls-files '*.h' '*.c' '*.cpp')
lint: $(VENV)/test.stamp $(VENV)/lint.stamp  ## check style and types: ruff, mypy, clang-format
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(VENV)/bin/clang-format --dry-run --Werror $(CXX_FILES)

format: $(VENV)/lint.stamp  ## let ruff and clang-format rewrite the sources
	$(PY) -m ruff check --fix-only --quiet
	$(PY) -m ruff format --quiet
	$(VENV)/bin/clang-format -i $(CXX_FILES)

check-clang: $(VENV)/build.stamp  ## compile everything with clang 14 too
	@command -v clang++-14 >/dev/null || { echo "There is no clang++-14: apt install clang-14" >&2; exit 1; }
	@mkdir -p build
	$(call native,clang,-DCMAKE_C_COMPILER=clang-14 -DCMAKE_CXX_COMPILER=clang++-14)

test-arm: test-aarch64 test-armhf  ## replay results of this machine on 64- and 32-bit ARM, cross-built, under qemu

.PHONY: vectors
vectors: $(VENV)/native.stamp
	$(PY) -m tests.numerics.record build/vectors

test-aarch64: ARM_CXX := aarch64-linux-gnu-g++
test-aarch64: ARM_QEMU := qemu-aarch64-static
test-armhf: ARM_CXX := arm-linux-gnueabihf-g++
test-armhf: ARM_QEMU := qemu-arm-static
test-aarch64 test-armhf: test-%: vectors
	@command -v $(ARM_CXX) >/dev/null || { echo "There is no $(ARM_CXX): apt install g++-aarch64-linux-gnu g++-arm-linux-gnueabihf" >&2; exit 1; }
	@command -v $(ARM_QEMU) >/dev/null || { echo "There is no $(ARM_QEMU): apt install qemu-user-static" >&2; exit 1; }
	@mkdir -p build
	$(call native,$*,--toolchain csrc/cmake/$*.cmake -DPYRT_PYTHON=OFF,--target replay canonical_test)
	$(ARM_QEMU) build/$*/canonical_test
	$(ARM_QEMU) build/$*/replay build/vectors

wheel: $(VENV)/venv.stamp  ## build dist/pyruntime-*.whl
	$(PIP) wheel --no-deps --wheel-dir dist .
	@ls -l dist/*.whl

clean:  ## remove .venv and everything that was built
	rm -rf $(VENV) $(BENCH_VENV) build dist

# Set-up. One stamp a step: Python sources are used where they lie, so only native changes rebuild.

$(VENV)/venv.stamp:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON): apt install python3, or pass PYTHON=<path>." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "pyruntime needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) -V): pass PYTHON=<path>." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: apt install python3-venv" >&2; exit 1; }
	@command -v $${CXX:-g++} >/dev/null || { echo "There is no C++ compiler $${CXX:-g++}: apt install g++" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# What the build needs. scikit-build-core names cmake and ninja only where the machine has none that is new enough.
$(VENV)/build.stamp: $(VENV)/venv.stamp pyproject.toml
	$(PIP) install $(call pinned,['build-system']['requires']) $(call pinned,['project']['dependencies'])
	@missing=$$($(PY) -c "from scikit_build_core.builder.get_requires import GetRequires; r = GetRequires.from_config_settings(None); print(*r.cmake(), *r.ninja())"); \
	if [ -n "$$missing" ]; then $(PIP) install $$missing; fi
	@touch $@

$(VENV)/native.stamp: $(VENV)/build.stamp $(NATIVE)
	$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/test.stamp $(VENV)/lint.stamp: $(VENV)/%.stamp: $(VENV)/build.stamp
	$(PIP) install $(call extra,$*)
	@touch $@

# It sees what .venv holds too: pyruntime is built once.
$(BENCH_VENV)/bench.stamp: $(VENV)/build.stamp
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip --quiet --disable-pip-version-check install $(call extra,bench)
	folder=$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	echo "import site; site.addsitedir('$$folder')" >$$($(BENCH_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/pyruntime.pth
	@touch $@
