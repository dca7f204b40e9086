"""Who may ask, how much may be sent, and what is written down of it.

Before any route: the token, the bounds on one body and on all of them, the number of requests
answered at once. Around every route: one line of log and two meters, with the route's own name
and never what a client wrote, since a path or a file's name may be a patient's.
"""

from __future__ import annotations

import hmac
import logging
import time
import traceback
from collections.abc import Iterable
from typing import Any

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pellucid.serving.meters import Meters
from pellucid.serving.settings import Settings

OPEN = ("/health", "/ready")  # asked by who starts and watches servers, who have no token
PAGE = "/page/static/"  # what the page is made of holds no secret, and asks for the token
OTHER = "other"
_SAFE = {
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"x-frame-options": b"SAMEORIGIN",
}
_ELSEWHERE = ("cross-site", "same-site")  # a browser's word on whose page asks
_LOG = logging.getLogger("pellucid.serving")


class Gate:
    """An application inside bounds."""

    def __init__(
        self, app: ASGIApp, settings: Settings, meters: Meters, routes: Iterable[str]
    ) -> None:
        self._app, self._settings, self._meters = app, settings, meters
        self._routes = frozenset(routes)
        self._answering = 0
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = scope["path"] if scope["path"] in self._routes else OTHER
        started, status, held = time.monotonic(), 0, 0

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                kept = [pair for pair in message["headers"] if pair[0].lower() not in _SAFE]
                message = {**message, "headers": [*kept, *_SAFE.items()]}
            await send(message)

        async def receive_within_bounds() -> Message:
            nonlocal held
            message = await receive()
            size = len(message.get("body", b""))
            held += size
            self._hold(size)
            if held > self._settings.max_body:
                raise _too_large(self._settings)
            if self._held > self._settings.max_bodies:
                raise busy("The server holds as many uploads as it may.")
            return message

        self._answering += 1
        try:
            refusal = self._refuse(scope)
            if refusal is not None:
                await _respond(refusal)(scope, receive, send_safely)
            else:
                await self._app(scope, receive_within_bounds, send_safely)
        except Exception as error:  # noqa: BLE001 - a mistake of ours
            log_mistake(error)
            if not status:
                wrong = HTTPException(500, "The server made a mistake; its log says where.")
                await _respond(wrong)(scope, receive, send_safely)
        finally:
            self._answering -= 1
            self._hold(-held)
            seconds = time.monotonic() - started
            self._meters.requests.labels(route=route, status=str(status)).inc()
            self._meters.seconds.labels(route=route).observe(seconds)
            _LOG.info("%s %s %d %.0f ms", _method(scope), route, status, 1000 * seconds)

    def _hold(self, size: int) -> None:
        self._held += size
        self._meters.bodies.set(self._held)

    def _refuse(self, scope: Scope) -> HTTPException | None:
        """Why a request is not looked at, if so."""
        headers = Headers(scope=scope)
        path = scope["path"]
        if path in OPEN or path == "/" or path.startswith(PAGE):
            return None
        if headers.get("sec-fetch-site", "") in _ELSEWHERE:
            return HTTPException(403, "Pages of other places may not ask.")
        if not self._may_ask(headers.get("authorization", "")):
            said = "Say who you are: Authorization: Bearer TOKEN."
            return HTTPException(401, said, {"WWW-Authenticate": "Bearer"})
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            return HTTPException(400, "Content-Length is a number of bytes.")
        if int(length[:20]) > self._settings.max_body:
            return _too_large(self._settings)
        if scope["method"] == "POST" and self._answering > self._settings.max_requests:
            return busy("The server answers as many requests as it may.")
        return None

    def _may_ask(self, authorization: str) -> bool:
        if self._settings.token is None:
            return True
        kind, _, given = authorization.partition(" ")
        asked = given.strip().encode("utf-8", "replace")
        return kind.lower() == "bearer" and hmac.compare_digest(
            asked, self._settings.token.encode()
        )


def busy(said: str) -> HTTPException:
    """429, with when to come again."""
    return HTTPException(429, f"{said} Come again in a second.", {"Retry-After": "1"})


def log_mistake(error: Exception) -> None:
    """Which mistake was made, and where; its words may hold a name, and are left out."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    _LOG.error("%s in %s, line %s", type(error).__name__, where.filename, where.lineno)


def _too_large(settings: Settings) -> HTTPException:
    said = f"A request is at most {settings.max_body // 2**20:,} MiB."
    return HTTPException(413, said, {"Connection": "close"})


def _respond(error: HTTPException) -> JSONResponse:
    headers: Any = error.headers
    return JSONResponse({"detail": error.detail}, error.status_code, headers)


def _method(scope: Scope) -> str:
    """The method, if it is a usual one: a client may write anything there."""
    method = str(scope["method"])
    return method if method in ("GET", "HEAD", "POST", "OPTIONS") else "?"
