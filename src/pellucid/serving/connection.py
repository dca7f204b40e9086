"""A connection that ends where a client dawdles, since each one takes a place from others.

A route bounds the time in which a body comes. What comes before it, a request's head, and what
comes after it, the taking of an answer, are bounded here, below any route.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # from the connection, or the last answer, to a whole head
TAKE_SECONDS = 30.0  # in which a client takes some of what was written


class PatientConnection(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with an end to patience."""

    _head: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Take what came, which may be less than a head."""
        super().data_received(data)
        self._watch_head()

    def on_response_complete(self) -> None:
        """Wait for the next head."""
        super().on_response_complete()
        self._watch_head()

    def pause_writing(self) -> None:
        """Begin to wait until the client takes what was written."""
        super().pause_writing()
        self._taking = self.loop.call_later(TAKE_SECONDS, self._end)

    def resume_writing(self) -> None:
        """The client took some."""
        super().resume_writing()
        self._taking = _cancelled(self._taking)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._head, self._taking = _cancelled(self._head), _cancelled(self._taking)
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        """Wait while no request is at work: also for what is left of one that is answered."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._head = _cancelled(self._head)
        elif self._head is None and not self.transport.is_closing():
            self._head = self.loop.call_later(HEAD_SECONDS, self._end)

    def _end(self) -> None:
        self.transport.abort()


def _cancelled(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """No timer, in place of one that runs."""
    if timer is not None:
        timer.cancel()
    return None
