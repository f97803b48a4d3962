"""Inner loops that multiply keep their vectors in registers.

g++ 12 spills arrays of `__m256i` accumulators, and a kernel then runs at half its speed with right
results, so no other test sees it. Here every kernel file is compiled, disassembled, and searched.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

MULTIPLY = re.compile(r"({vex} )?(vpmaddwd|vpmaddubsw|vpdpbusd|vfn?m(add|sub)\d)")
VECTOR = re.compile(r"\b[xyz]mm\d")
STACK = re.compile(r"\[[^\]]*\brsp\b")
STACK_OR_FRAME = re.compile(r"\[[^\]]*\br[sb]p\b")
FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(.+?)\s*$")
ENDS = re.compile(r"(jmp|ret)\b")  # nothing follows
JUMP = re.compile(r"^j\w+\s+([0-9a-f]+)\b")


@dataclass(frozen=True, slots=True)
class Instruction:
    address: int
    text: str


def functions(object_file: Path) -> Iterator[tuple[str, list[Instruction]]]:
    """(name, instructions) of every function of an object file."""
    command = ["objdump", "--disassemble", "--demangle", "--no-show-raw-insn", "-Mintel"]
    text = subprocess.run(
        [*command, "--wide", object_file], check=True, capture_output=True, text=True
    ).stdout
    name, body = "", list[Instruction]()
    for line in text.splitlines():
        if start := FUNCTION.match(line):
            if body:
                yield name, body
            name, body = start[1], []
        elif found := INSTRUCTION.match(line):
            body.append(Instruction(int(found[1], 16), found[2]))
    if body:
        yield name, body


def successors(body: list[Instruction]) -> list[list[int]]:
    """Of each instruction, the indices of those that may follow it in the function."""
    index = {instruction.address: i for i, instruction in enumerate(body)}
    following = []
    for i, instruction in enumerate(body):
        jump = JUMP.match(instruction.text)
        after = [i + 1] if i + 1 < len(body) and not ENDS.match(instruction.text) else []
        target = index.get(int(jump[1], 16)) if jump else None
        following.append(after if target is None else [*after, target])
    return following


def reached(start: int, edges: dict[int, list[int]]) -> set[int]:
    found, waiting = {start}, [start]
    while waiting:
        for i in edges.get(waiting.pop(), ()):
            if i not in found:
                found.add(i)
                waiting.append(i)
    return found


def innermost_loops(body: list[Instruction]) -> list[list[Instruction]]:
    """Loops without another in them.

    A loop is what lies on a way from the target of a jump back to that jump. A jump back that
    cannot be reached from its target only joins two ways.
    """
    following = successors(body)
    loops: list[set[int]] = []
    for last, after in enumerate(following):
        for first in (i for i in after if i <= last):
            forward = {
                i: [k for k in following[i] if first <= k <= last] for i in range(first, last + 1)
            }
            backward: dict[int, list[int]] = {}
            for i, targets in forward.items():
                for k in targets:
                    backward.setdefault(k, []).append(i)
            ahead = reached(first, forward)
            if last in ahead:
                loops.append(ahead & reached(last, backward))
    inner = [loop for loop in loops if not any(other < loop for other in loops)]
    return [[body[i] for i in sorted(loop)] for loop in inner]


def spills(object_file: Path) -> tuple[int, list[str]]:
    """The number of innermost loops that multiply vectors, and their accesses to the stack."""
    count, errors = 0, []
    for name, body in functions(object_file):
        # Without a frame, rbp is a register like others.
        framed = any(re.match(r"(mov\s+rbp,rsp|lea\s+rbp,\[rsp)", i.text) for i in body)
        stack = STACK_OR_FRAME if framed else STACK
        for loop in innermost_loops(body):
            if not any(MULTIPLY.match(i.text) and VECTOR.search(i.text) for i in loop):
                continue
            count += 1
            found = [i for i in loop if VECTOR.search(i.text) and stack.search(i.text)]
            if found:
                shown = "; ".join(i.text for i in found[:3])
                errors.append(f"{name}: {len(found)} in a loop of {len(loop)}: {shown}")
    return count, errors


def compile_all(commands: list[list[str]], folder: Path) -> dict[str, Path]:
    """Object files by kernel file, two compilers at a time."""
    objects: dict[str, Path] = {}
    running: list[tuple[str, subprocess.Popen[bytes]]] = []
    failed = []
    for command in commands:
        name = Path(command[-1]).stem
        objects[name] = folder / f"{name}.o"
        running.append((name, subprocess.Popen([*command, "-o", str(objects[name])])))
        if len(running) == 2:
            failed += finish(*running.pop(0))
    for name, process in running:
        failed += finish(name, process)
    assert not failed, f"these do not compile: {failed}"
    return objects


def finish(name: str, process: subprocess.Popen[bytes]) -> list[str]:
    """Waits for a compiler; the name if it failed."""
    return [name] if process.wait() != 0 else []


@pytest.fixture(scope="session")
def normal_build(tests_build: Path) -> dict[str, Path]:
    """Objects of kernel files that multiply in inner loops, as built normally (g++ -O3)."""
    objects = (tests_build / "CMakeFiles/pyrt_kernels.dir/csrc/kernels").glob("*/*.cpp.o")
    found = {path.name.removesuffix(".cpp.o"): path for path in objects}
    return {name: path for name, path in found.items() if spills(path)[0]}


def check(objects: dict[str, Path]) -> None:
    loops, errors = 0, []
    for name, path in objects.items():
        count, found = spills(path)
        loops += count
        errors += [f"{name} {error}" for error in found]
    assert loops > 20, "the search finds hardly any loop: does it still read the disassembly?"
    assert not errors, "spills in inner loops:\n" + "\n".join(errors)


def test_inner_loops_leave_the_stack_alone(normal_build: dict[str, Path]) -> None:
    assert {"gemm_avx2", "gemm_avxvnni", "gemm_avx512vnni", "conv_avx2", "depthwise_avx2"} <= set(
        normal_build
    )
    check(normal_build)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiler", "level"), [("g++", "-O2"), ("clang++-14", "-O2"), ("clang++-14", "-O3")]
)
def test_other_compilers_leave_the_stack_alone(
    compiler: str,
    level: str,
    normal_build: dict[str, Path],
    kernel_commands: list[list[str]],
    tmp_path: Path,
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}: apt install {compiler.replace('++', '')}")
    options = [level, "-Wno-unknown-warning-option"] if "clang" in compiler else [level]
    commands = []
    for *words, source in kernel_commands:
        if Path(source).stem in normal_build:
            own = next(i for i, word in enumerate(words) if re.search(r"\+\+(-\d+)?$", word))
            commands.append([*words[:own], compiler, *words[own + 1 :], *options, source])
    check(compile_all(commands, tmp_path))


SPILLING = """
#include <immintrin.h>
// 20 accumulators for 16 registers.
void product(const short* a, const __m256i* w, long K, __m256i* out) {
  __m256i acc[20];
  for (auto& one : acc) one = _mm256_setzero_si256();
  for (long k = 0; k < K; ++k) {
#pragma GCC unroll 20
    for (int i = 0; i < 20; ++i) {
      acc[i] = _mm256_add_epi32(acc[i], _mm256_madd_epi16(_mm256_set1_epi32(a[k]), w[20 * k + i]));
    }
  }
  for (int i = 0; i < 20; ++i) out[i] = acc[i];
}
"""


@pytest.mark.parametrize("compiler", ["g++", "clang++-14"])
@pytest.mark.parametrize(("accumulators", "found"), [(20, True), (4, False)])
def test_a_spill_is_found(compiler: str, accumulators: int, found: bool, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}: apt install {compiler.replace('++', '')}")
    source, target = tmp_path / "a.cpp", tmp_path / "a.o"
    source.write_text(SPILLING.replace("20", str(accumulators)))
    subprocess.run([compiler, "-O3", "-mavx2", "-c", source, "-o", target], check=True)
    count, errors = spills(target)
    assert count > 0
    assert bool(errors) == found, errors
