"""Connections of clients that dawdle end, and those of others do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("uvicorn")

import uvicorn
from uvicorn.server import ServerState

from pellucid.serving import connection
from pellucid.serving.connection import PatientConnection

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = 40_000_000  # more than the buffers of both sides hold


async def answer(_scope: Any, _receive: Any, send: Any) -> None:
    """Says 40 MB of nothing."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(40):
        body = bytes(LARGE // 40)
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def answer_shortly(_scope: Any, _receive: Any, send: Any) -> None:
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[tuple[Any, set[Any]]]:
    """A way to connect, and the server's connections."""
    config, state = uvicorn.Config(app, timeout_keep_alive=5), ServerState()
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: PatientConnection(config, state, {}), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    yield (lambda: asyncio.open_connection("127.0.0.1", port, limit=2**16)), state.connections
    server.close()


async def drip(writer: asyncio.StreamWriter) -> None:
    """A byte now and then, for five seconds."""
    for _ in range(100):
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.05)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within_time() -> None:
        await asyncio.wait_for(test(), 20)

    asyncio.run(within_time())


@pytest.mark.parametrize("said", [b"", b"G", GET[:-2]])
def test_a_head_that_does_not_come_ends_a_connection(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)

    async def test() -> None:
        async with listening(answer_shortly) as (connect, connections):
            reader, writer = await connect()
            writer.write(said)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            assert not connections
            writer.close()

    run(test)


def test_a_head_sent_byte_by_byte_has_no_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)

    async def test() -> None:
        async with listening(answer_shortly) as (connect, _):
            _, writer = await connect()
            writer.write(b"GET / HTTP/1.1\r\nX-")
            with pytest.raises(ConnectionError):
                await drip(writer)
            writer.close()

    run(test)


def test_what_is_left_of_an_answered_request_has_no_more_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)

    async def test() -> None:
        async with listening(answer_shortly) as (connect, connections):
            reader, writer = await connect()
            writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            with pytest.raises(ConnectionError):
                await drip(writer)
            assert not connections

    run(test)


def test_quick_clients_keep_their_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.6)

    async def test() -> None:
        async with listening(answer_shortly) as (connect, _):
            reader, writer = await connect()
            for _ in range(4):  # together longer than one head may take
                await asyncio.sleep(0.25)
                writer.write(GET)
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                assert await reader.readexactly(2) == b"ok"
            writer.close()

    run(test)


def test_an_answer_that_nobody_takes_ends_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TAKE_SECONDS", 0.3)

    async def test() -> None:
        async with listening(answer) as (connect, connections):
            _, writer = await connect()
            writer.write(GET)
            while not connections:
                await asyncio.sleep(0.01)
            while connections:
                await asyncio.sleep(0.05)
            writer.close()

    run(test)


def test_an_answer_whose_sending_is_done_is_still_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has written all of it long before the client has taken it."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connection, "TAKE_SECONDS", 0.6)

    async def answer_at_once(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(LARGE)})

    async def test() -> None:
        async with listening(answer_at_once) as (connect, _):
            reader, writer = await connect()
            writer.write(GET)
            size = 0
            while size < LARGE:
                part = await reader.read(2**20)
                assert part, size
                size += len(part)
                await asyncio.sleep(0.05)
            writer.close()

    run(test)


def test_an_answer_taken_slowly_is_taken_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TAKE_SECONDS", 0.5)

    async def test() -> None:
        async with listening(answer) as (connect, _):
            reader, writer = await connect()
            writer.write(GET)
            size = 0
            while size < LARGE:
                size += len(await reader.read(2**20))
                await asyncio.sleep(0.001)
            writer.close()

    run(test)
