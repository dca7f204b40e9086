"""A server in this process for tests: a tiny guarded model, and requests to it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from explained_model import BINARY, tiny_bundle
from fake_scans import scan_guard
from pellucid.bundle import Bundle, save_bundle
from pellucid.serving.api import build_api
from pellucid.serving.meters import Meters
from pellucid.serving.models import open_models
from pellucid.serving.settings import Settings
from pellucid.task import Task

HOSTS = ("testserver", "127.0.0.1", "localhost")


def guarded_model(folder: Path, task: Task = BINARY, **card: Any) -> Path:
    """A bundle of the tiny network with a guard."""
    bundle = tiny_bundle(task)
    parts = bundle.classifier, bundle.spec, task, bundle.preprocessing, card
    return save_bundle(folder, Bundle(*parts, scan_guard()))


def build(models: Mapping[str, Path], **bounds: Any) -> Any:
    """The application, answering for these models."""
    settings = Settings(**{"hosts": HOSTS, **bounds})
    meters = Meters()
    places = [f"{name}={path}" for name, path in models.items()]
    return build_api(open_models(places, engine="onnxruntime"), settings, meters)


def png(pixels: np.ndarray) -> bytes:
    """Pixels as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def files(*contents: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes, str]]]:
    """The multipart field `files`, repeated."""
    return [("files", (name, data, "application/octet-stream")) for name, data in contents]
