"""A server in this process for tests: a tiny guarded model, and requests to it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from explained_model import BINARY, tiny_bundle
from fake_scans import scan_guard, scans
from pellucid.bundle import Bundle, save_bundle
from pellucid.images.preprocessing import preprocess
from pellucid.prediction import predict_logits
from pellucid.serving.api import build_api
from pellucid.serving.meters import Meters
from pellucid.serving.models import open_models
from pellucid.serving.settings import Settings
from pellucid.task import Task

HOSTS = ("testserver", "127.0.0.1", "localhost")


def sharp_bundle() -> Bundle:
    """The tiny network with a head that tells scans apart, as a trained one does."""
    bundle = tiny_bundle()
    views = [preprocess(s[np.newaxis] / np.float32(255), bundle.preprocessing) for s in scans(8, 7)]
    head = bundle.classifier.heads["label"]
    with torch.no_grad():
        head.weight.mul_(100)  # type: ignore[union-attr, operator]
        logits = predict_logits(bundle.classifier, np.stack(views), bundle.preprocessing)
        head.bias.sub_(float(logits.mean()))  # type: ignore[union-attr, operator]
    return bundle


def guarded_model(
    folder: Path, task: Task = BINARY, bundle: Bundle | None = None, **card: Any
) -> Path:
    """A bundle of the tiny network, or of another, with a guard."""
    bundle = bundle or tiny_bundle(task)
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
