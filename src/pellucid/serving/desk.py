"""What the routes share: models, threads that read pictures, and how many images are at work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from fastapi import HTTPException

from pellucid.errors import ReadError
from pellucid.serving.answers import Answer, answer, look_at, unreadable
from pellucid.serving.batching import Batcher
from pellucid.serving.gate import busy
from pellucid.serving.meters import Meters
from pellucid.serving.models import Served
from pellucid.serving.settings import Settings
from pellucid.serving.uploads import Upload

_T = TypeVar("_T")


class Desk:
    """The models that are served, and the work that is done for them."""

    def __init__(self, models: Mapping[str, Served], settings: Settings, meters: Meters) -> None:
        self.models, self.settings, self.meters = models, settings, meters
        self._batchers: dict[str, Batcher] = {}
        self._waiting = 0

    def open(self) -> None:
        """Begin the threads."""
        self._readers = ThreadPoolExecutor(self.settings.decoders, thread_name_prefix="decode")
        for name, served in self.models.items():
            told = self.meters.batches.labels(model=name).observe
            self._batchers[name] = Batcher(served.opened.compute, self.settings.batch_size, told)

    def close(self) -> None:
        """Answer what waits, and end the threads."""
        self._readers.shutdown(wait=True)
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
        """Whether the next image would be refused."""
        return self._waiting >= self.settings.max_waiting

    def admit(self, n: int) -> None:
        """Count images in; raises `HTTPException` 429 where they are too many."""
        if self._waiting and self._waiting + n > self.settings.max_waiting:
            raise busy("As many images wait as may.")
        self._waiting += n
        self.meters.waiting.set(self._waiting)

    def release(self, n: int) -> None:
        """Count images out."""
        self._waiting -= n
        self.meters.waiting.set(self._waiting)

    def read(self, work: Callable[..., _T], *arguments: Any) -> Future[_T]:
        """Do something that takes time on a reading thread."""
        return self._readers.submit(work, *arguments)

    async def predict(self, served: Served, upload: Upload, frame: int) -> Answer:
        """What is said of one file."""
        limit = self.settings.max_pixels
        try:
            looked = await asyncio.wrap_future(self.read(look_at, served, upload, frame, limit))
        except ReadError as error:
            said = unreadable(upload, error)
        else:
            batcher = self._batchers[served.name]
            logits = await asyncio.wrap_future(batcher.submit(looked.pixels))
            said = answer(served, upload, looked, logits)
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

    async def work(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Do something with one image on a reading thread, within bounds and in time."""
        self.admit(1)
        try:
            found: _T = await self.in_time(asyncio.wrap_future(self.read(work, *arguments)))
        finally:
            self.release(1)
        return found
