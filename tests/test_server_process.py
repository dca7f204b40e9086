"""The server as a process: slow clients, a graceful stop, and what it writes down."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("onnxruntime")

from cli import pellucid
from fake_scans import scans
from pellucid.serving.server import _listen
from served import guarded_model, png
from server_process import COMMAND, free_port, predict, request, serving, upload

pytestmark = pytest.mark.slow
SCAN = ("Doe_Jane.png", png(scans(1, 7)[0]))
ENGINE = ("--engine", "onnxruntime")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return guarded_model(tmp_path_factory.mktemp("served") / "model")


def test_it_answers_logs_no_name_and_ends_in_peace(model: Path) -> None:
    with serving(f"chest={model}", *ENGINE) as (port, process):
        (result,) = predict(port, SCAN)
        assert result["status"] == "answered"
        status, headers, _ = request(port, "GET", "/patients/Doe_Jane")
        assert status == 404
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in {name.lower() for name in headers}
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=40)
    assert process.returncode in (0, -signal.SIGINT, 130)
    assert "Serving chest (onnxruntime) at http://127.0.0.1" in said
    assert "POST /v1/predict 200" in said
    assert "GET other 404" in said
    assert "Doe" not in said
    assert "Traceback" not in said


def test_what_is_being_answered_is_answered_before_the_end(model: Path) -> None:
    body, kind = upload(*[(f"{n}.png", png(scan)) for n, scan in enumerate(scans(60, 1))])
    found: list[int] = []

    def ask(port: int) -> None:
        found.append(request(port, "POST", "/v1/predict", body, content_type=kind)[0])

    with serving(model, *ENGINE) as (port, process):
        threads = [threading.Thread(target=ask, args=(port,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        while b'route="/v1/predict"' not in request(port, "GET", "/metrics")[2]:
            time.sleep(0.01)  # until the first is answered
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
    assert found == [200] * 6


def test_a_slow_upload_is_given_up_and_others_are_answered(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import sys; from pellucid.serving import settings; "
        "settings.Settings.__dataclass_fields__['upload_seconds'].default = 1.0; "
        "settings.Settings.__init__.__defaults__ = tuple("
        "1.0 if value == 30.0 else value for value in settings.Settings.__init__.__defaults__); "
        "sys.argv[0] = 'pellucid'; from pellucid.cli import main; main()"
    )
    command = (COMMAND[0], "-c", script)
    with serving(model, *ENGINE, command=command) as (port, _):
        slow = []
        for _number in range(8):
            sock = socket.create_connection(("127.0.0.1", port))
            sock.sendall(
                b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
                b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
            )
            slow.append(sock)
        assert predict(port, SCAN)[0]["status"] == "answered"
        for sock in slow:
            sock.settimeout(20)
            assert sock.recv(100).startswith(b"HTTP/1.1 408")
            sock.close()
        gone = socket.create_connection(("127.0.0.1", port))
        gone.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        )
        gone.close()
        assert predict(port, SCAN)[0]["status"] == "answered"
        assert b"pellucid_body_bytes 0.0" in request(port, "GET", "/metrics")[2]


def test_nonsense_on_the_line_is_survived(model: Path) -> None:
    with serving(model, *ENGINE) as (port, _):
        for nonsense in (b"\0\1\2\3", b"GET\r\n\r\n", b"A" * 100_000, b"POST / HTTP/9.9\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port)) as sock:
                sock.sendall(nonsense)
                sock.settimeout(10)
                try:
                    sock.recv(1000)
                except OSError:
                    continue
        assert predict(port, SCAN)[0]["status"] == "answered"


def test_answers_are_not_held_back_until_their_heads_are_acknowledged() -> None:
    async def accepted() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            sock = writer.get_extra_info("socket")
            found.set_result(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listening = _listen("127.0.0.1", 0)
        server = await asyncio.start_server(note, sock=listening)
        _, writer = await asyncio.open_connection(*listening.getsockname())
        nodelay = await found
        writer.close()
        server.close()
        return nodelay

    assert asyncio.run(accepted()) != 0


def test_a_port_that_is_taken_is_named(model: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        words = [*COMMAND, "serve", str(model), *ENGINE, "--port", str(port)]
        answer = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 2
    assert f"The server cannot listen on 127.0.0.1, port {port}" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_server_for_others_wants_a_token(model: Path) -> None:
    answer = pellucid("serve", model, "--host", "0.0.0.0", "--port", free_port())  # noqa: S104
    assert answer.code == 2
    assert "answers only who says a token" in answer.err
    with serving(model, *ENGINE, PELLUCID_TOKEN="0123456789abcdef") as (port, _):
        assert request(port, "GET", "/v1/model")[0] == 401
        said = request(port, "GET", "/v1/model", authorization="Bearer 0123456789abcdef")
        assert json.loads(said[2])["models"][0]["name"] == "model"
