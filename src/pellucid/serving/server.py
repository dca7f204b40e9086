"""Listening until told to stop: answers what has come, takes nothing new, ends."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pellucid.errors import MissingPackage, UsageError
from pellucid.serving.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from pellucid.serving.desk import Desk

TOKEN = "PELLUCID_TOKEN"  # noqa: S105 - the name of an environment variable
_STOP_SECONDS = 30
_LEAST_TOKEN = 16  # characters


def read_token(path: Path | None) -> str | None:
    """The token of a file's first line, or of the environment; None where neither is given.

    Raises `UsageError` for one that is soon guessed.
    """
    if path is None:
        token = os.environ.get(TOKEN, "")
        if not token:
            return None
    else:
        try:
            token = path.read_text(encoding="utf-8").partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} cannot be read as a token") from error
    if len(token) < _LEAST_TOKEN or not token.isascii() or any(c.isspace() for c in token):
        rule = f"A token has at least {_LEAST_TOKEN} letters and no spaces"
        raise UsageError(rule, f"{len(token)} letters", "Make one: openssl rand -hex 32")
    return token


def serve(
    places: list[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    settings: Settings | None = None,
    engine: str = "auto",
    precision: str = "float32",
    operating_point: str | None = None,
    extend: Callable[[FastAPI, Desk], None] | None = None,
) -> None:
    """Serve models until the process is told to stop; `extend` adds routes, such as the page's.

    Raises what `open_models` raises, and `UsageError` for an address that is taken.
    """
    try:
        import uvicorn

        from pellucid.serving.api import build_api
        from pellucid.serving.connection import PatientConnection
        from pellucid.serving.meters import Meters
        from pellucid.serving.models import open_models
    except ModuleNotFoundError as error:
        remedy = 'Install it: pip install "pellucid[serve]"'
        raise MissingPackage(f"Serving needs the package {error.name}", "", remedy) from error
    settings, meters = settings or Settings(), Meters()
    listening = _listen(host, port)
    models = open_models(
        places, engine=engine, precision=precision, operating_point=operating_point
    )
    _log_to_standard_error()
    config = uvicorn.Config(
        build_api(models, settings, meters, extend),
        http=PatientConnection,
        access_log=False,  # it would write paths as clients send them
        log_config=None,
        server_header=False,
        limit_concurrency=8 * settings.max_requests,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=_STOP_SECONDS,
        h11_max_incomplete_event_size=16 * 1024,
    )
    names = ", ".join(f"{name} ({one.opened.name})" for name, one in models.items())
    place = f"[{host}]" if ":" in host else host
    print(f"Serving {names} at http://{place}:{port}", file=sys.stderr, flush=True)  # noqa: T201
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens; raises `UsageError` where that cannot be.

    It says that it is TCP, for only then does asyncio switch Nagle's algorithm off, which would
    hold the body of each answer back until its head is acknowledged: 40 ms.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
        return sock
    except OSError as error:
        sock.close()
        rule = f"The server cannot listen on {host}, port {port}"
        raise UsageError(rule, error.strerror or "", "Choose another --host or --port.") from error


def _log_to_standard_error() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("pellucid.serving")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
