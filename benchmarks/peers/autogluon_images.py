"""AutoGluon's image classifier, as its documentation trains it, for `medmnist.py`.

Preset "medium_quality" (MobileNetV3-Large at 224 px), early stopping on the validation images by
AUC. Weights cannot be downloaded here and AutoGluon asks for them even with `pretrained=False`, so
the network starts from random ones. Runs in an environment of its own.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pandas as pd
from autogluon.multimodal import MultiModalPredictor
from autogluon.multimodal.models import timm_image
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from contest import Case, answer_cases

_create = timm_image.create_model
timm_image.create_model = lambda name, **options: _create(name, **{**options, "pretrained": False})


def answer(case: Case) -> dict[str, Any]:
    """Scores (n, K) of the test images, and the seconds that training took."""
    with tempfile.TemporaryDirectory() as folder:
        tables = {split: _files(case["archive"], split, Path(folder)) for split in _SPLITS}
        n_classes = tables["train"]["label"].nunique()
        started = time.monotonic()
        predictor = MultiModalPredictor(
            label="label",
            problem_type="binary" if n_classes == 2 else "multiclass",
            eval_metric="roc_auc" if n_classes == 2 else "roc_auc_ovr_macro",
            presets="medium_quality",
            pretrained=False,
            path=f"{folder}/model",
            verbosity=0,
        )
        predictor.fit(
            tables["train"],
            tuning_data=tables["val"],
            time_limit=case["seconds"],
            seed=case["seed"],
        )
        seconds = time.monotonic() - started
        scores = predictor.predict_proba(tables["test"].drop(columns="label"))
    return {"scores": np.asarray(scores).tolist(), "seconds": seconds}


_SPLITS = ("train", "val", "test")


def _files(archive: str, split: str, folder: Path) -> pd.DataFrame:
    """The images as files and their labels."""
    rows = []
    with np.load(archive, allow_pickle=False) as arrays:
        for number, pixels in enumerate(arrays[f"{split}_images"]):
            path = folder / f"{split}_{number}.png"
            Image.fromarray(pixels).convert("RGB").save(path)
            rows.append((str(path), int(arrays[f"{split}_labels"][number, 0])))
    return pd.DataFrame(rows, columns=["image", "label"])


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    answer_cases(answer)
