"""Telling a person how far long work has come, on standard error, and nothing else.

Standard output belongs to results. `Progress(quiet=True)` says nothing at all. A terminal gets a
moving bar; a log file gets a line now and then. This module knows no stage and no file.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

_BAR = 24
_TERMINAL_EVERY_S = 0.1
_LOG_EVERY_S = 10.0
_SILENCE_S = 30.0


class Progress:
    """Where the stages say what they do: `say` a line, `counter` for many small steps."""

    def __init__(self, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._quiet = quiet
        self._stream = stream or sys.stderr
        self._moving = self._stream.isatty()
        self._open_line = False
        self._last_line = time.monotonic()

    def say(self, text: str) -> None:
        """Print lines that stay."""
        if self._quiet:
            return
        self._end_line()
        self._last_line = time.monotonic()
        print(text, file=self._stream, flush=True)

    def now(self, text: str) -> None:
        """Show a line that the next one replaces; a log gets one when it has been silent long."""
        if self._quiet:
            return
        if not self._moving:
            if time.monotonic() - self._last_line > _SILENCE_S:
                self.say(text)
            return
        print(f"\r\033[K{text}", end="", file=self._stream, flush=True)
        self._open_line = True

    def counter(self, what: str, unit: str = "images") -> Callable[[int, int], None]:
        """A function of (done, total) that shows a bar, the rate and the time left."""
        started = time.monotonic()
        shown = started if not self._moving else 0.0

        def count(done: int, total: int) -> None:
            nonlocal shown
            clock = time.monotonic()
            finished = done >= total
            every = _TERMINAL_EVERY_S if self._moving else _LOG_EVERY_S
            if not finished and clock - shown < every:
                return
            shown = clock
            line = _bar_line(what, unit, (done, total), clock - started)
            self.say(line) if finished or not self._moving else self.now(line)

        return count

    def _end_line(self) -> None:
        if self._open_line:
            print("\r\033[K", end="", file=self._stream)
            self._open_line = False


def _bar_line(what: str, unit: str, counts: tuple[int, int], seconds: float) -> str:
    done, total = counts
    filled = _BAR * done // max(total, 1)
    rate = done / seconds if seconds > 0 else 0.0
    left = f", {duration((total - done) / rate)} left" if 0 < done < total and rate else ""
    bar = "█" * filled + "░" * (_BAR - filled)
    return f"{what:<22} {bar} {done:,} of {total:,} {unit}, {rate:,.0f}/s{left}"


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(5), duration(75), duration(7260)
    ('5 s', '1 min 15 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
