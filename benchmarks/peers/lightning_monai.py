"""MONAI's classification tutorial (MedNIST) with CacheDataset, in a Lightning Trainer.

What does not change is cached in memory: reading and scaling. With `fast` the Trainer's precision
is "bf16-mixed" and the network is in the channels-last layout.
"""

from __future__ import annotations

import logging
import math
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from monai.data import CacheDataset, DataLoader
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    RandAdjustContrastd,
    RandRotated,
    RandZoomd,
    ScaleIntensityd,
)
from networks import build, place
from pace import BATCH, Pace, train_until_enough
from torch.nn.functional import cross_entropy

from contest import answer_cases

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

TRANSFORM = Compose(
    [
        LoadImaged("image", image_only=True),
        EnsureChannelFirstd("image"),
        ScaleIntensityd("image"),
        RandRotated("image", range_x=math.radians(7), prob=0.5, keep_size=True),
        RandZoomd("image", min_zoom=0.9, max_zoom=1.1, prob=0.5),
        RandAdjustContrastd("image", prob=0.5, gamma=(0.8, 1.2)),
    ]
)
_cached: dict[str, CacheDataset] = {}


class Module(lightning.LightningModule):
    """The network with its loss and optimiser."""

    def __init__(self, network: torch.nn.Module, pace: Pace, fast: bool) -> None:
        super().__init__()
        self.network, self.pace, self.fast = network, pace, fast

    def training_step(self, batch: dict[str, Any], _: int) -> torch.Tensor:
        """The loss of a batch."""
        images = torch.as_tensor(batch["image"])
        if self.fast:
            images = images.contiguous(memory_format=torch.channels_last)
        return cross_entropy(self.network(images), batch["label"])

    def on_train_batch_end(self, *_: Any) -> None:
        """Lightning has made the step."""
        self.pace.step()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """As everywhere in this contest."""
        return torch.optim.AdamW(self.network.parameters(), lr=1e-3)


def cached(folder: str) -> CacheDataset:
    if folder not in _cached:
        classes = sorted(path for path in Path(folder).iterdir())
        files = [
            {"image": str(file), "label": number}
            for number, path in enumerate(classes)
            for file in sorted(path.iterdir())
        ]
        _cached.clear()
        _cached[folder] = CacheDataset(files, TRANSFORM, num_workers=2, progress=False)
    return _cached[folder]


def measure(case: dict[str, Any]) -> float:
    loader = DataLoader(
        cached(case["folder"]),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=case["workers"],
    )
    network = place(build(case["network"], case["size"]), case["fast"])

    def train(pace: Pace) -> None:
        trainer = lightning.Trainer(
            max_epochs=-1,
            accelerator="cpu",
            precision="bf16-mixed" if case["fast"] else "32-true",
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            logger=False,
        )
        trainer.fit(Module(network, pace, case["fast"]), loader)

    return train_until_enough(train, case)


if __name__ == "__main__":
    answer_cases(measure)
