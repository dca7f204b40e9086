"""What the routes share: models, readers of pictures, and how many images are at work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from fastapi import HTTPException

from pellucid.errors import ReadError
from pellucid.serving.answers import Answer, answer, failed, look_briefly, unreadable
from pellucid.serving.batching import Batcher
from pellucid.serving.gate import busy, log_mistake
from pellucid.serving.meters import Meters
from pellucid.serving.models import Served
from pellucid.serving.readers import Readers
from pellucid.serving.settings import Settings
from pellucid.serving.uploads import Upload

_T = TypeVar("_T")
_NOTHING = Upload("", b"")


class Desk:
    """The models that are served, and the work that is done for them."""

    def __init__(self, models: Mapping[str, Served], settings: Settings, meters: Meters) -> None:
        self.models, self.settings, self.meters = models, settings, meters
        self._batchers: dict[str, Batcher] = {}
        self._waiting = 0

    def open(self) -> None:
        """Begin the threads."""
        self._readers = Readers(self.settings.decoders, self.settings.answer_seconds)
        self._lookers = Readers(1, self.settings.answer_seconds)
        for name, served in self.models.items():
            told = self.meters.batches.labels(model=name).observe
            self._batchers[name] = Batcher(served.opened.compute, self.settings.batch_size, told)

    def close(self) -> None:
        """Compute what waits, and end the threads."""
        self._readers.close()
        self._lookers.close()
        for batcher in self._batchers.values():
            batcher.close()

    def find(self, name: str | None) -> Served:
        """The model of that name, or the first; raises `HTTPException`."""
        if name is None:
            return next(iter(self.models.values()))
        if name not in self.models:
            raise HTTPException(404, f"The models are {', '.join(self.models)}.")
        return self.models[name]

    @property
    def is_full(self) -> bool:
        """Whether the next image would be refused, or would wait for readers that are stuck."""
        return self._readers.are_stuck or not self._has_room(1, 1)

    def admit(self, uploads: Sequence[Upload]) -> None:
        """Count images in; raises `HTTPException` 429 where they are too many."""
        n, size = len(uploads), sum(len(upload.data) for upload in uploads)
        if not self._has_room(n, size):
            raise busy("As many images wait as may.")
        self._waiting += n
        self.meters.waiting.set(self._waiting)

    def _has_room(self, n: int, size: int) -> bool:
        """Whether so many images of so many bytes may wait too; one request always may alone."""
        threads = (self._readers, self._lookers)
        at_work = max(self._waiting, sum(one.images for one in threads))
        held = sum(one.bytes for one in threads)
        if not at_work:
            return True
        bounds = self.settings
        return at_work + n <= bounds.max_waiting and held + size <= bounds.max_bodies

    def release(self, n: int) -> None:
        """Count images out."""
        self._waiting -= n
        self.meters.waiting.set(self._waiting)

    async def predict(self, served: Served, upload: Upload, frame: int) -> Answer:
        """What is said of one file; whatever happens to one is no matter of the others."""
        limit = self.settings.max_pixels
        try:
            reading = self._readers.submit(
                len(upload.data), lambda: look_briefly(served, upload, frame, limit)
            )
            looked = await asyncio.wrap_future(reading)
            batcher = self._batchers[served.name]
            logits = await asyncio.wrap_future(batcher.submit(looked.pixels))
            said = answer(served, upload, looked, logits)
        except ReadError as error:
            said = unreadable(upload, error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours
            log_mistake(error)
            said = failed(upload)
        self.meters.images.labels(model=served.name, said=said.status).inc()
        return said

    async def in_time(self, work: Any) -> Any:
        """The result of work, within the time that an answer may take."""
        try:
            async with asyncio.timeout(self.settings.answer_seconds):
                return await work
        except TimeoutError:
            said = f"The answer took longer than {self.settings.answer_seconds:g} s."
            raise HTTPException(503, said, {"Retry-After": "5"}) from None

    async def work(
        self, work: Callable[[], _T], upload: Upload = _NOTHING, *, at_length: bool = True
    ) -> _T:
        """Do something with one image, or none, within bounds and in time.

        What takes long is done one after the other on a thread of its own, so that it keeps no
        reader from reading.
        """
        self.admit([upload])
        try:
            threads = self._lookers if at_length else self._readers
            working = asyncio.wrap_future(threads.submit(len(upload.data), work))
            found: _T = await self.in_time(working)
        finally:
            self.release(1)
        return found
