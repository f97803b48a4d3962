"""Reports the steps of each model behind the test summary."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

_LINES = pytest.StashKey[dict[str, str]]()


@pytest.fixture
def record_steps(request: pytest.FixtureRequest) -> Callable[[str, Sequence[Any]], None]:
    """Notes how many steps of a model are native and which operators run on the host."""
    lines = request.config.stash.setdefault(_LINES, {})

    def note(name: str, steps: Sequence[Any]) -> None:
        host = Counter(step.operator for step in steps if step.host)
        names = ", ".join(f"{operator} x {count}" for operator, count in host.most_common())
        total = sum(host.values())
        lines[name] = f"{name}: {len(steps) - total} native, {total} host" + (
            f" ({names})" if names else ""
        )

    return note


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    lines = config.stash.get(_LINES, {})
    if lines:
        terminalreporter.section("steps per model")
        for line in lines.values():
            terminalreporter.write_line(line)
