"""Prints what ONNX's own tests covered, and why others were left out."""

from __future__ import annotations

from collections import Counter

import pytest


class Coverage:
    """What became of ONNX's tests. Test modules reach it as the fixture of the plugin manager."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.excluded: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and "::test_onnx_suite[" in report.nodeid:
            self.outcomes[report.outcome] += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.outcomes:
            return
        terminalreporter.section("ONNX test suite")
        terminalreporter.write_line(
            f"run {sum(self.outcomes.values())}, passed {self.outcomes['passed']}, "
            f"excluded {sum(self.excluded.values())}:"
        )
        for reason, count in self.excluded.most_common():
            terminalreporter.write_line(f"  {count:4d}  {reason}")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Coverage(), "onnx-coverage")
