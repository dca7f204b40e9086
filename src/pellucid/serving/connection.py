"""A connection that ends where a client dawdles, since each one takes a place from others.

A route bounds the time in which a body comes. What comes before it, a request's head, and what
comes after it, the taking of an answer, are bounded here, below any route.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # from the connection, or the last answer, to a whole head
TAKE_SECONDS = 30.0  # in which a client takes something of what was written
_LOOKS = 10  # in the shorter of the two


class PatientConnection(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with an end to patience."""

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._left = 0
        self._since = self.loop.time()  # for how long the client has done nothing
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next head."""
        super().on_response_complete()
        self._since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._timer.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Whom we wait for, and how long; also for what is left of a request that is answered."""
        now, left = self.loop.time(), self.transport.get_write_buffer_size()
        is_at_work = self.cycle is not None and not self.cycle.response_complete
        if left != self._left or (is_at_work and not left):
            self._left, self._since = left, now
        if now - self._since > (TAKE_SECONDS if left else HEAD_SECONDS):
            self.transport.abort()
            return
        seconds = min(HEAD_SECONDS, TAKE_SECONDS) / _LOOKS
        self._timer: asyncio.TimerHandle = self.loop.call_later(seconds, self._look)
