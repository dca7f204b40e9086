"""A server in this process for tests: a tiny guarded model, and requests to it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from explained_model import BINARY, tiny_bundle
from pellucid.bundle import Bundle, save_bundle
from pellucid.bundle.guard import fit_guard
from pellucid.serving.api import build_api
from pellucid.serving.meters import Meters
from pellucid.serving.models import open_models
from pellucid.serving.settings import Settings
from pellucid.task import Task

HOSTS = ("testserver", "127.0.0.1", "localhost")


def scans(n: int, seed: int) -> np.ndarray:
    """Bright discs on a shade, uint8 (n, 128, 128): what the tiny model was trained on."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:128, :128]
    found = np.zeros((n, 128, 128), np.uint8)
    for view in found:
        y, x, r = generator.uniform((40, 40, 15), (88, 88, 30))
        shade = 60 + 0.3 * rows + generator.normal(0, 6, (128, 128))
        view[:] = np.clip(shade + 110.0 * (np.hypot(rows - y, columns - x) < r), 0, 255)
    return found


def scan_guard(n: int = 200, **changes: Any) -> Any:
    """The guard of those scans."""
    row = {"width": 128, "height": 128, "colourfulness": 0.0, "pixel_digest": "x", **changes}
    groups = np.array([f"p{number // 2}" for number in range(n)], dtype=object)
    return fit_guard(scans(n, 1), np.arange(n), pd.DataFrame([row] * n), groups)


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
