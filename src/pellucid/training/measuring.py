"""Measuring what the plan's rules want to know: of the pictures, of the patients, of the machine.

How pictures look is taken from a sample of them, since most datasets are of one kind; labels and
patients come from the table. The rules themselves stand in `rules`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from pellucid.data.folds import fewest_patients
from pellucid.data.index import Dataset
from pellucid.data.mapped_rows import memory_bytes
from pellucid.data.split import FRACTIONS, shares_of_train
from pellucid.errors import DataError, ReadError
from pellucid.images.image import Image
from pellucid.images.reading import read_image
from pellucid.task import Task
from pellucid.training.fingerprint import Fingerprint, Machine, Pictures
from pellucid.training.hyperparameters import Plan

SAMPLE = 48
WARM_UP, SPEED_SECONDS = 2, 1.0
GREY_TOLERANCE = 8 / 255  # JPEG turns a grey picture's channels apart by a few levels


def measure_fingerprint(
    dataset: Dataset,
    machine: Machine | None = None,
    fractions: Sequence[float] = FRACTIONS,
) -> Fingerprint:
    """What is known of the dataset, and of the machine unless it is given.

    `fractions` are the shares that a dataset without a split will be dealt into. Raises
    `DataError` when no picture of the sample can be read.
    """
    table = dataset.table
    counts = {
        target.name: {name: int((codes == code).sum()) for code, name in enumerate(target.classes)}
        for target, codes in zip(dataset.task.targets, dataset.codes().T, strict=True)
    }
    each = table["patient_id"].value_counts()
    split = table["split"] if "split" in table else pd.Series(None, index=table.index, dtype=object)
    outside = replace(dataset, table=table[~split.isin(["test", "external_test"])])
    looked_at = outside if len(outside.table) else dataset
    dealt = not (split == "test").any()
    left = fractions[0] + fractions[1] if dealt else 1.0  # of the patients
    return Fingerprint(
        name=dataset.name,
        n_images=len(table),
        n_train=_n_train(split, fractions),
        n_patients=len(each),
        patients_known=dataset.patients_known,
        images_a_patient=(float(each.median()), int(each.max())),
        class_counts=counts,
        fewest_patients=round(left * fewest_patients(outside)),
        validation_given=bool((split == "validation").any()),
        pictures=_look_at(looked_at.table),
        machine=machine or measure_machine(),
    )


def _n_train(split: pd.Series[str], fractions: Sequence[float]) -> int:
    """How many images train will have when what is missing has been set apart from it."""
    train, free = int((split == "train").sum()), int(split.isna().sum())
    if free:
        return max(1, round(fractions[0] * free) + train)
    return max(1, round(shares_of_train(set(split), fractions)[0] * train))


def _look_at(table: pd.DataFrame) -> Pictures:
    seen = pd.DataFrame([_describe(image) for image in _sample(table)])
    modalities = seen["modality"].unique()
    return Pictures(
        n_looked_at=len(seen),
        median_height=float(seen["height"].median()),
        median_width=float(seen["width"].median()),
        smallest_side=int(seen[["height", "width"]].min().min()),
        largest_side=int(seen[["height", "width"]].max().max()),
        channels=3 if seen["coloured"].any() else 1,
        bit_depths=tuple(sorted(map(int, seen["bit_depth"].unique()))),
        formats=tuple(sorted(seen["format"].unique())),
        mean_grey=round(float(seen["mean_grey"].mean()), 4),
        std_grey=round(float(seen["std_grey"].mean()), 4),
        modality=modalities[0] or None if len(modalities) == 1 else None,
    )


def _describe(image: Image) -> dict[str, Any]:
    pixels, facts = image.pixels, image.facts
    spread = float(np.ptp(pixels, axis=0).max()) if len(pixels) == 3 else 0.0
    return {
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "coloured": spread > GREY_TOLERANCE,
        "bit_depth": facts["bit_depth"],
        "format": facts["format"],
        "mean_grey": pixels.mean(),
        "std_grey": pixels.std(),
        "modality": str(facts.get("modality", "")),
    }


def _sample(table: pd.DataFrame) -> Iterator[Image]:
    """Readable pictures spread evenly over the table."""
    step, failure, read = max(1, len(table) // SAMPLE), None, 0
    for path, frame in zip(table["image_path"][::step], table["frame"][::step], strict=True):
        try:
            image = read_image(path, int(frame))
        except ReadError as error:
            failure = error
            continue
        read += 1
        yield image
    if not read:
        raise DataError(
            "None of the images looked at could be read", f"for example: {failure}"
        ) from failure


def measure_machine() -> Machine:
    """The processors and memory that this process may use, and the GPU, as torch sees it."""
    import torch

    from pellucid.network.weights import networks_with_weights
    from pellucid.training.device import is_bfloat16_fast

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Machine(
        cores=_cores(),
        memory_gib=round(memory_bytes() / 2**30, 1) if hasattr(os, "sysconf") else None,
        bfloat16=is_bfloat16_fast(device),
        gpu=torch.cuda.get_device_name() if device.type == "cuda" else None,
        pretrained=networks_with_weights(),
    )


def measure_speed(plan: Plan, task: Task) -> float:
    """Images a second that the plan's network trains on here, by some steps on noise.

    Takes about a second, and is that of the median step: the first ones, in which libraries set up,
    and those in which the machine was busy with something else do not count.
    """
    import torch

    from pellucid.network.classifier import NetworkSpec, build_classifier
    from pellucid.network.matrix_convolution import as_matrix_products
    from pellucid.training.device import choose_device, place, precision

    device = choose_device(plan)
    classifier = build_classifier(NetworkSpec(**plan.network_spec()), task)
    place(classifier, plan, device)
    shape = (plan.batch_size, plan.channels, plan.image_size, plan.image_size)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)
    images = images.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        with precision(plan, device):
            logits = classifier(images)
        logits.float().square().mean().backward()
        classifier.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()

    with as_matrix_products(classifier):
        for _ in range(WARM_UP):
            step()
        took: list[float] = []
        while len(took) < 2 or sum(took) < SPEED_SECONDS:
            began = time.monotonic()
            step()
            took.append(time.monotonic() - began)
    return float(f"{plan.batch_size / median(took):.3g}")


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
