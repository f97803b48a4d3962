"""A progress bar on stderr, for what takes more than two seconds; silent where nobody looks."""

from __future__ import annotations

import sys
import time
from types import TracebackType

_WIDTH = 30
_DELAY_S = 0.5  # work that ends sooner needs no bar


class Progress:
    """Use as a context manager; `total` may be unknown (0)."""

    def __init__(self, label: str, total: int = 0) -> None:
        self._label, self._total = label, total
        self._start = time.monotonic()
        self._shown = False
        self._enabled = sys.stderr.isatty()

    def update(self, done: int) -> None:
        """Draws the state after `done` of `total` parts."""
        elapsed = time.monotonic() - self._start
        if not self._enabled or (elapsed < _DELAY_S and not self._shown):
            return
        self._shown = True
        if self._total:
            filled = min(_WIDTH, _WIDTH * done // self._total)
            bar = "#" * filled + "." * (_WIDTH - filled)
            text = f"\r{self._label} [{bar}] {done}/{self._total} {elapsed:.0f} s"
        else:
            text = f"\r{self._label} {done} {elapsed:.0f} s"
        sys.stderr.write(text)
        sys.stderr.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._shown:
            sys.stderr.write("\n")
