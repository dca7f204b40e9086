"""The routes: what can be asked of a server, described in /openapi.json.

POST /v1/predict   files → what is said of each
POST /v1/explain   a file → where it speaks for a class
GET  /v1/model     the models, their thresholds, their judgement, their limits
GET  /health       whether the process lives
GET  /ready        whether models are loaded and nothing is full
GET  /metrics      counters and times for Prometheus
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.middleware.trustedhost import TrustedHostMiddleware

from pellucid import __version__
from pellucid.errors import PellucidError
from pellucid.serving import heat
from pellucid.serving.answers import Answers, Looked, look_at
from pellucid.serving.desk import Desk
from pellucid.serving.gate import Gate
from pellucid.serving.heat import Explanation
from pellucid.serving.meters import Meters
from pellucid.serving.models import Served
from pellucid.serving.settings import NOTICE, Settings
from pellucid.serving.uploads import describe_body, read_upload, read_uploads

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Refusal(BaseModel):
    """Why a request was not answered."""

    detail: str


class State(BaseModel):
    """How the server is."""

    status: str


class Models(BaseModel):
    """The models that are served; the first one answers where none is named."""

    models: list[dict[str, Any]]
    notice: str


_WORDS = {
    400: "The request is damaged.",
    401: "The token is missing or wrong.",
    404: "There is no such model.",
    408: "The request was sent too slowly.",
    413: "The request is too large.",
    415: "The body is not multipart/form-data.",
    422: "The request lacks something, or asks for something unknown.",
    429: "The server is full; the header Retry-After says when to come again.",
    503: "The answer took too long.",
}
ModelName = Annotated[
    str | None, Query(description="A model's name; the first one without it.", max_length=200)
]
Frame = Annotated[int, Query(ge=0, le=2**31, description="Frame of a file with several, from 0.")]


def build_api(
    models: Mapping[str, Served],
    settings: Settings,
    meters: Meters,
    extend: Callable[[FastAPI, Desk], None] | None = None,
) -> FastAPI:
    """The application; `extend` adds routes of its own, such as the page's."""
    desk = Desk(models, settings, meters)

    @asynccontextmanager
    async def living(_: FastAPI) -> AsyncIterator[None]:
        desk.open()
        try:
            yield
        finally:
            desk.close()

    api = FastAPI(
        title="Pellucid",
        version=__version__,
        description=f"Images in, calibrated probabilities out. {NOTICE}",
        lifespan=living,
        docs_url=None,  # their pages are loaded from elsewhere
        redoc_url=None,
    )
    _add_routes(api, desk)
    if extend is not None:
        extend(api, desk)
    routes = [getattr(route, "path", "") for route in api.routes]
    if "*" not in settings.hosts:
        api.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.hosts))
    api.add_middleware(Gate, settings=settings, meters=meters, routes=routes)
    return api


def _add_routes(api: FastAPI, desk: Desk) -> None:
    settings = desk.settings

    @api.exception_handler(PellucidError)
    async def refuse(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    @api.post(
        "/v1/predict",
        openapi_extra=describe_body(settings.max_files),
        responses=_refusals(400, 401, 404, 408, 413, 415, 422, 429, 503),
    )
    async def predict(request: Request, model: ModelName = None, frame: Frame = 0) -> Answers:
        """What the model says of each file.

        A file that is no readable picture, or is unlike the images of training, is answered too:
        `status` and `reasons` say what speaks against it, and there is no decision.
        """
        started = time.monotonic()
        served = desk.find(model)
        uploads = await read_uploads(request, settings)
        desk.admit(uploads)
        try:
            work = asyncio.gather(*(desk.predict(served, one, frame) for one in uploads))
            results = await desk.in_time(work)
        finally:
            desk.release(len(uploads))
        return Answers(
            model=served.name,
            digest=served.digest,
            seconds=round(time.monotonic() - started, 6),
            results=results,
            notice=NOTICE,
        )

    @api.post(
        "/v1/explain",
        openapi_extra=describe_body(1),
        response_model=Explanation,
        responses={
            200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
            **_refusals(400, 401, 404, 408, 413, 415, 422, 429, 503),
        },
    )
    async def explain(
        request: Request,
        model: ModelName = None,
        frame: Frame = 0,
        target: Annotated[
            str | None, Query(description="A target; the first one without it.", max_length=200)
        ] = None,
        of_class: Annotated[
            str | None, Query(description="A class; the likeliest without it.", max_length=200)
        ] = None,
    ) -> Any:
        """Where one image speaks for a class: Grad-CAM of the network's last layer.

        With `Accept: image/png` the picture alone.
        """
        served = desk.find(model)
        chosen = heat.find_target(served, target)
        upload, limit = await read_upload(request, settings), settings.max_pixels

        def work() -> tuple[heat.Heat, bytes]:
            looked: Looked = look_at(served, upload, frame, limit)
            found = heat.explain(served, looked, chosen, of_class)
            return found, heat.draw(served, looked, found)

        found, picture = await desk.work(work, upload)
        if "image/png" in request.headers.get("accept", ""):
            return Response(picture, media_type="image/png")
        return Explanation(
            model=served.name,
            digest=served.digest,
            name=upload.name,
            target=found.target.name,
            of_class=found.of_class,
            probability=found.probability,
            method="grad_cam",
            cell_rows=found.cells[0],
            cell_columns=found.cells[1],
            strongest=float(found.values.max()),
            overlay=base64.b64encode(picture).decode(),
            notice=NOTICE,
        )

    @api.get("/v1/model", responses=_refusals(401, 404, 422))
    async def describe(model: ModelName = None) -> Models:
        """What the models are, how good, at which thresholds they decide, and what limits them."""
        wanted = desk.models.values() if model is None else [desk.find(model)]
        return Models(models=[served.describe() for served in wanted], notice=NOTICE)

    @api.get("/health")
    async def health() -> State:
        """The process lives."""
        return State(status="alive")

    @api.get("/ready", responses={503: {"model": State, "description": "Nothing more fits in."}})
    async def ready() -> Any:
        """Models are loaded, and there is room for an image."""
        if desk.is_full:
            return JSONResponse({"status": "full"}, 503, {"Retry-After": "1"})
        return State(status="ready")

    @api.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **_refusals(401)},
    )
    async def metrics() -> Response:
        """Counters and times."""
        return Response(desk.meters.text(), media_type=_PROMETHEUS)


def _refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": Refusal, "description": _WORDS[code]} for code in codes}
