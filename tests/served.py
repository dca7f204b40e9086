"""A server in this process for tests: a tiny guarded model, and requests to it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from explained_model import BINARY, tiny_bundle
from fake_scans import scan_guard, scans
from pellucid.bundle import Bundle, save_bundle
from pellucid.bundle.card import judgement
from pellucid.bundle.files import sign
from pellucid.evaluation.block import Asked
from pellucid.evaluation.decisions.threshold_costs import threshold_costs
from pellucid.evaluation.document import evaluate_predictions
from pellucid.evaluation.predictions import build_predictions
from pellucid.images.preprocessing import preprocess
from pellucid.prediction import predict_logits
from pellucid.serving.api import build_api
from pellucid.serving.meters import Meters
from pellucid.serving.models import open_models
from pellucid.serving.settings import Settings
from pellucid.task import Task

YOUDEN = {"name": "youden", "wanted": None, "chosen_on": "validation", "reason": ""}
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


def served_run(folder: Path) -> Path:
    """A run folder: a bundle with its judgement, predictions with two mistakes, a report."""
    model = guarded_model(folder / "bundle")
    images = folder / "images"
    images.mkdir()
    rows = []
    for number, scan in enumerate(scans(8, 3)):
        (images / f"Doe_{number}.png").write_bytes(png(scan))
        rows.append({"image_id": f"Doe_{number}", "image_path": images / f"Doe_{number}.png"})
    index = pd.DataFrame(rows).assign(frame=0, patient_id="p", split="validation")
    index.loc[7, "split"] = "test"
    index.to_csv(folder / "index.csv", index=False)
    (target,) = BINARY.targets
    logits = np.array([[-2.0], [-1], [2.0], [3], [-2], [1], [2]], np.float32)
    table = build_predictions(
        [f"Doe_{n}" for n in range(7)],
        [f"p{n}" for n in range(7)],
        "validation",
        target,
        np.array([0, 0, 0, 0, 1, 1, 1]),
        logits,
    )
    (folder / "predictions").mkdir()
    table.to_csv(folder / "predictions" / "validation.csv", index=False)
    (folder / "report.html").write_text("<!doctype html><title>The report</title>The report")
    card = json.loads((model / "card.json").read_text())
    judged = judgement(evaluate_predictions(table, asked=Asked(n_resamples=100)))
    judged["operating_points"] = {"label": [{**YOUDEN, "threshold": 0.3127}]}
    curve = threshold_costs(table, BINARY, {"label": [0.3127]})
    card = sign({**card, **judged, "thresholds": curve})
    (model / "card.json").write_text(json.dumps(card))
    return folder


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
