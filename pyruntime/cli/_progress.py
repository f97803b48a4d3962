"""A progress bar on stderr, for what takes more than two seconds; silent where nobody looks."""

from __future__ import annotations

import sys
import time
from types import TracebackType

_WIDTH = 30
_DELAY_S = 0.5  # work that ends sooner needs no bar
_EVERY_S = 0.1  # drawing more often would cost time and show nothing


class Progress:
    """Use as a context manager; `total` may be unknown (0)."""

    def __init__(self, label: str, total: int = 0) -> None:
        self._label, self._total = label, total
        self._start = self._drawn = time.monotonic()
        self._columns = 0  # of the last line drawn, to be overwritten
        self._enabled = sys.stderr.isatty()

    def update(self, done: int, label: str = "") -> None:
        """Draws the state after `done` of `total` parts; `label` replaces the first one."""
        now = time.monotonic()
        changed = label not in ("", self._label)
        self._label = label or self._label
        if not self._enabled or now - self._start < _DELAY_S:
            return
        if not changed and now - self._drawn < _EVERY_S and done < self._total:
            return
        self._drawn = now
        elapsed = f"{now - self._start:.0f} s"
        if self._total:
            filled = min(_WIDTH, _WIDTH * done // self._total)
            bar = "#" * filled + "." * (_WIDTH - filled)
            text = f"{self._label} [{bar}] {100 * done // self._total} % {elapsed}"
        else:
            text = f"{self._label}: {done} done, {elapsed}"
        sys.stderr.write("\r" + text.ljust(self._columns))
        sys.stderr.flush()
        self._columns = len(text)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._columns:  # results or the error follow: they get a clean line
            sys.stderr.write("\r" + " " * self._columns + "\r")
            sys.stderr.flush()
