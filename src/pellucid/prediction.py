"""predict(bundle, images) → Predictions: from pixels or files to logits and probabilities.

Stands on the bundle alone; the training code is not needed. It does not judge: that is
`evaluation`, which needs only the table that this module writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from pellucid.bundle import Bundle, load_bundle
from pellucid.errors import ReadError, UsageError
from pellucid.evaluation.predictions import build_predictions
from pellucid.images.preprocessing import Preprocessing, preprocess
from pellucid.images.reading import read_image
from pellucid.network.classifier import Classifier, normalise
from pellucid.task import Task

BATCH_SIZE = 64
_MAX_LISTED_FILES = 1_000_000


@torch.inference_mode()
def predict_logits(
    classifier: Classifier,
    pixels: npt.NDArray[np.uint8],
    preprocessing: Preprocessing,
    progress: Callable[[int, int], None] | None = None,
) -> npt.NDArray[np.float32]:
    """Logits (n, task.n_logits) from preprocessed uint8 pixels (n, channel, row, column)."""
    classifier.eval()
    blocks = []
    for start in range(0, len(pixels), BATCH_SIZE):
        x = _batch(pixels, start, preprocessing)
        blocks.append(classifier(x).float().numpy())
        if progress:
            progress(min(start + BATCH_SIZE, len(pixels)), len(pixels))
    if not blocks:
        return np.zeros((0, classifier.task.n_logits), dtype=np.float32)
    return np.concatenate(blocks)


@torch.inference_mode()
def predict_pooled(
    classifier: Classifier, pixels: npt.NDArray[np.uint8], preprocessing: Preprocessing
) -> npt.NDArray[np.float32]:
    """What the head sees of each image (n, n_features): the globally pooled feature map."""
    classifier.eval()
    blocks = [
        classifier.pooling(classifier.features(_batch(pixels, start, preprocessing)))
        for start in range(0, len(pixels), BATCH_SIZE)
    ]
    if not blocks:
        return np.zeros((0, 0), dtype=np.float32)
    return np.asarray(torch.cat(blocks).float().numpy())


def _batch(pixels: npt.NDArray[np.uint8], start: int, preprocessing: Preprocessing) -> torch.Tensor:
    """The normalised images from `start` on."""
    batch = torch.from_numpy(np.array(pixels[start : start + BATCH_SIZE]))
    return normalise(batch, preprocessing.mean, preprocessing.std)


def predict(
    model: Bundle | str | os.PathLike[str],
    images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[pd.DataFrame, list[ReadError]]:
    """Predictions for image files or folders of them, and the files that could not be read.

    The table has a row an image and target, with `y_true` empty; `image_id` is the path as given.
    An unreadable file never stops the rest. Raises `UsageError` when there is no file at all.
    """
    bundle = model if isinstance(model, Bundle) else load_bundle(model)
    paths = list_image_files([images] if isinstance(images, str | os.PathLike) else images)
    names: list[str] = []
    logits: list[npt.NDArray[np.float32]] = []
    failures: list[ReadError] = []
    for start in range(0, len(paths), BATCH_SIZE):
        chunk, read = [], paths[start : start + BATCH_SIZE]
        for path in read:
            try:
                image = read_image(path, window=bundle.preprocessing.window)
                chunk.append(preprocess(image.pixels, bundle.preprocessing))
            except ReadError as error:
                failures.append(error)
            else:
                names.append(str(path))
        if chunk:
            logits.append(predict_logits(bundle.classifier, np.stack(chunk), bundle.preprocessing))
        if progress:
            progress(start + len(read), len(paths))
    n_logits = bundle.task.n_logits
    table = np.concatenate(logits) if logits else np.zeros((0, n_logits), dtype=np.float32)
    return tabulate_unlabelled(names, table, bundle.task), failures


def tabulate_unlabelled(
    image_ids: Sequence[str], logits: npt.NDArray[np.float32], task: Task
) -> pd.DataFrame:
    """The predictions table of images whose labels and patients nobody knows."""
    tables = [
        build_predictions(
            image_ids=list(image_ids),
            patient_ids=[""] * len(image_ids),
            split="",
            target=target,
            codes=np.full(len(image_ids), -1),
            logits=logits[:, task.slices()[target.name]],
            keep_unlabelled=True,
        )
        for target in task.targets
    ]
    return pd.concat(tables, ignore_index=True)


def list_image_files(images: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The files named, and for a folder every visible file in it, in sorted order."""
    paths: list[Path] = []
    for image in images:
        path = Path(image)
        if path.is_dir():
            inside = (p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
            paths.extend(sorted(inside))
        else:
            paths.append(path)
        if len(paths) > _MAX_LISTED_FILES:
            raise UsageError("One prediction takes at most 1,000,000 files", f"{len(paths):,}")
    if not paths:
        raise UsageError("There is no image to predict", remedy="Give image files or a folder.")
    return paths
