"""`pellucid serve` as a process of its own, for tests: started, asked, stopped."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "pellucid")
START_S = 60


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def serving(
    *words: object, command: tuple[str, ...] = COMMAND, **environment: str
) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A server that answers, with its port; it is stopped at the end, and must not have failed."""
    port = free_port()
    process = subprocess.Popen(
        [*command, "serve", *map(str, words), "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        _wait(port, process)
        yield port, process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=40)
        except ValueError:  # read already
            process.wait(timeout=40)


def _wait(port: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise AssertionError(process.stderr.read() if process.stderr else "")
        try:
            if request(port, "GET", "/ready")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the server did not begin to answer")


def request(
    port: int, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, {key.replace("_", "-"): v for key, v in headers.items()})
    response = connection.getresponse()
    found = response.status, dict(response.getheaders()), response.read()
    connection.close()
    return found


def upload(*files: tuple[str, bytes]) -> tuple[bytes, str]:
    """A multipart body and its content type."""
    parts = [
        b"--boundary\r\nContent-Disposition: form-data; "
        b'name="files"; filename="' + name.encode() + b'"\r\n\r\n' + data + b"\r\n"
        for name, data in files
    ]
    return b"".join(parts) + b"--boundary--\r\n", "multipart/form-data; boundary=boundary"


def predict(port: int, *files: tuple[str, bytes]) -> list[dict[str, Any]]:
    """The results for files; the answer must be 200."""
    body, kind = upload(*files)
    status, _, answer = request(port, "POST", "/v1/predict", body, content_type=kind)
    assert status == 200, answer
    results: list[dict[str, Any]] = json.loads(answer)["results"]
    return results


def read(path: Path) -> tuple[str, bytes]:
    return path.name, path.read_bytes()
