"""What a server bounds, and by how much: strangers send what they like."""

from __future__ import annotations

from dataclasses import dataclass

NOTICE = "Research and teaching only. This is not a medical device."
MEGABYTE = 2**20


@dataclass(frozen=True)
class Settings:
    """Bounds of a server; sizes in bytes, times in seconds.

    `token` is what a client says as "Authorization: Bearer TOKEN"; None lets everybody ask.
    `hosts` are the names by which the server may be called ("*" for any), so that a page elsewhere
    cannot have a name of its own mean this server, and read its answers.
    """

    token: str | None = None
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    max_body: int = 64 * MEGABYTE  # of one request
    max_bodies: int = 512 * MEGABYTE  # of all requests at once
    max_files: int = 64  # in one request
    max_pixels: int = 32_000_000  # of one picture; the largest mammograms have about 20 million
    max_requests: int = 128  # being answered at once; one more is told to come again
    max_waiting: int = 512  # images that wait to be computed
    upload_seconds: float = 30.0
    answer_seconds: float = 30.0
    batch_size: int = 16
    decoders: int = 2  # pictures that are decoded at once, each of which may take its memory
