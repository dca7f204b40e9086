"""What the page asks of the server, beside the API: its own files, numbers for the viewer, insides.

Every question brings its image along, so that nothing is kept between two of them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request, Response

from pellucid.errors import PellucidError
from pellucid.page import inside, pixels, reading, runs
from pellucid.serving import heat
from pellucid.serving.answers import Looked, answer, look_at
from pellucid.serving.api import Frame
from pellucid.serving.desk import Desk
from pellucid.serving.models import Served
from pellucid.serving.uploads import read_upload

STATIC = Path(__file__).parent / "static"
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_OURS_ALONE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; frame-src 'self' blob:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_REPORT = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-downloads; "
    "frame-ancestors 'self'"
)
Text = Annotated[str, Query(max_length=200)]
_T = TypeVar("_T")
_MOST_LOGIT = 700  # beyond it odds are no numbers any more


def add_page(api: FastAPI, desk: Desk) -> None:
    """Give an application the page and what it asks for.

    Where there is torch, it is loaded meanwhile, so that the first heat map does not wait for it.
    """
    if inside.has_torch():
        threading.Thread(target=_load_all, args=(desk,), daemon=True).start()
    _add_files(api)
    _add_model(api, desk)
    _add_image(api, desk)


def _load_all(desk: Desk) -> None:
    for served in desk.models.values():
        with suppress(PellucidError):
            inside.load(served)


def _add_files(api: FastAPI) -> None:
    files = {path.name: path.read_bytes() for path in STATIC.iterdir() if path.suffix in _KINDS}

    def serve(name: str) -> Callable[[], Any]:
        async def file() -> Response:
            kind = f"{_KINDS[Path(name).suffix]}; charset=utf-8"
            headers = {"Content-Security-Policy": _OURS_ALONE}
            return Response(files[name], media_type=kind, headers=headers)

        return file

    api.add_api_route("/", serve("index.html"), include_in_schema=False)
    for name in files:
        api.add_api_route(f"/page/static/{name}", serve(name), include_in_schema=False)


def _add_model(api: FastAPI, desk: Desk) -> None:
    @api.get("/page/about", include_in_schema=False)
    async def about(model: Text | None = None) -> Any:
        """What the page can show of a model."""
        served = desk.find(model)
        is_run = runs.report_of(served.place) is not None
        return {
            **served.describe(),
            "models": list(desk.models),
            "has_report": is_run,
            "has_torch": inside.has_torch(),
            "methods": inside.methods(),
            "max_body": desk.settings.max_body,
        }

    @api.get("/page/report", include_in_schema=False)
    async def report(model: Text | None = None) -> Response:
        path = runs.report_of(desk.find(model).place)
        if path is None:
            raise HTTPException(404, "A report belongs to a run; a bundle is served.")
        headers = {"Content-Security-Policy": _REPORT}
        data = await desk.work(path.read_bytes)
        return Response(data, media_type="text/html", headers=headers)

    @api.get("/page/mistakes", include_in_schema=False)
    async def mistakes(target: Text, truth: Text, called: Text, model: Text | None = None) -> Any:
        place = desk.find(model).place
        found = await desk.work(lambda: runs.mistakes(place, target, truth, called))
        return {"images": found, "split": runs.SPLIT}

    @api.get("/page/mistake", include_in_schema=False)
    async def mistake(number: int, model: Text | None = None) -> Response:
        place = desk.find(model).place
        data = await desk.work(lambda: runs.image_of(place, number))
        return Response(data, media_type="image/png")

    @api.get("/page/anatomy", include_in_schema=False)
    async def anatomy(model: Text | None = None) -> Any:
        served = desk.find(model)
        return await desk.work(lambda: inside.anatomy(served))

    @api.get("/page/choices", include_in_schema=False)
    async def choices() -> Any:
        if not inside.has_torch():
            return {}
        from pellucid.page import play

        return await desk.work(play.choices)

    @api.get("/page/logits", include_in_schema=False)
    async def logits(values: Text) -> Any:
        from pellucid.page import play

        try:
            numbers = [float(part) for part in values.split(",")]
        except ValueError:
            raise HTTPException(422, "Logits are numbers with commas between.") from None
        if not all(abs(number) <= _MOST_LOGIT for number in numbers):
            raise HTTPException(422, f"Logits lie between -{_MOST_LOGIT} and {_MOST_LOGIT}.")
        return await desk.work(lambda: play.logits(numbers[:12]))


def _add_image(api: FastAPI, desk: Desk) -> None:
    async def ask(
        request: Request,
        served: Served,
        frame: int,
        work: Callable[[Looked], _T],
        *,
        at_length: bool = True,
    ) -> _T:
        """What is made of the one image of a request."""
        upload, limit = await read_upload(request, desk.settings), desk.settings.max_pixels

        def look_and_work() -> _T:
            return work(look_at(served, upload, frame, limit))

        return await desk.work(look_and_work, upload, at_length=at_length)

    @api.post("/page/pixels", include_in_schema=False)
    async def picture(request: Request, model: Text | None = None, frame: Frame = 0) -> Response:
        served = desk.find(model)
        return _numbers(await ask(request, served, frame, pixels.picture, at_length=False))

    @api.post("/page/heat", include_in_schema=False)
    async def heat_map(
        request: Request,
        target: Text,
        of_class: Text,
        method: Text = inside.LAST_LAYER,
        model: Text | None = None,
        frame: Frame = 0,
    ) -> Response:
        served = desk.find(model)
        chosen = heat.find_target(served, target)

        def work(looked: Looked) -> pixels.Shown:
            cells: int | None
            if method == inside.LAST_LAYER:
                found = heat.explain(served, looked, chosen, of_class)
                values, layer, cells = found.values, "the last layer", found.cells[0]
            else:
                values, layer = inside.attribute(served, looked, target, of_class, method)
                cells = inside.rows_of(served, layer)
            data, full = pixels.heat(values, looked, served.opened.preprocessing)
            rows, columns = pixels.shown_size(looked.image.pixels)
            signed = bool((np.asarray(values) < 0).any())
            facts = {"rows": rows, "columns": columns, "full_scale": full, "is_signed": signed}
            return pixels.Shown({**facts, "cells": cells, "layer": layer, "method": method}, data)

        return _numbers(await ask(request, served, frame, work))

    @api.post("/page/reading", include_in_schema=False)
    async def page(request: Request, model: Text | None = None, frame: Frame = 0) -> Response:
        served = desk.find(model)
        upload = await read_upload(request, desk.settings)

        def work() -> bytes:
            looked = look_at(served, upload, frame, desk.settings.max_pixels)
            logits = served.opened.compute(looked.pixels[np.newaxis])[0]
            said = answer(served, upload, looked, logits)
            first = said.targets[0]
            called = first.decision.called if first.decision else None
            found = heat.explain(served, looked, heat.find_target(served, None), called)
            if inside.has_torch():  # a finer map than the last layer's
                name, label = found.target.name, found.of_class
                values, layer = inside.attribute(served, looked, name, label, "grad_cam")
                found = found._replace(values=values, layer=layer)
            return reading.draw_reading(served, looked, said, found, frame)

        return Response(await desk.work(work, upload), media_type="application/pdf")

    @api.post("/page/maps", include_in_schema=False)
    async def maps(
        request: Request, layer: Text, model: Text | None = None, frame: Frame = 0
    ) -> Any:
        served = desk.find(model)
        return await ask(request, served, frame, lambda looked: inside.maps(served, looked, layer))

    @api.post("/page/walk", include_in_schema=False)
    async def walk(request: Request, model: Text | None = None, frame: Frame = 0) -> Any:
        served = desk.find(model)
        return await ask(request, served, frame, lambda looked: inside.walk(served, looked))

    @api.post("/page/play", include_in_schema=False)
    async def play_with(
        request: Request,
        play: Text,
        settings: Text = "{}",
        model: Text | None = None,
        frame: Frame = 0,
    ) -> Any:
        from pellucid.page import play as playground

        try:
            given = {str(key): str(value) for key, value in dict(json.loads(settings)).items()}
        except (ValueError, TypeError, RecursionError):
            raise HTTPException(422, "Settings are a JSON object.") from None
        served = desk.find(model)
        return await ask(
            request, served, frame, lambda looked: playground.play(play, looked, given)
        )


def _numbers(shown: pixels.Shown) -> Response:
    headers = {"X-Facts": json.dumps(shown.facts)}
    return Response(shown.data, media_type="application/octet-stream", headers=headers)
