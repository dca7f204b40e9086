"""timm's training script: ImageDataset, create_loader, create_optimizer_v2 and its step.

With `fast` as its options `--amp --amp-dtype bfloat16 --channels-last`.
"""

from __future__ import annotations

from typing import Any

import torch
from networks import build, place
from pace import BATCH, Pace, train_until_enough
from timm.data import ImageDataset, create_loader
from timm.optim import create_optimizer_v2
from torch import nn

from contest import answer_cases


def measure(case: dict[str, Any]) -> float:
    loader = create_loader(
        ImageDataset(case["folder"], input_img_mode="L"),
        input_size=(1, case["size"], case["size"]),
        batch_size=BATCH,
        is_training=True,
        hflip=0.0,
        scale=(0.8, 1.0),
        color_jitter=0.2,
        mean=(0.5,),
        std=(0.25,),
        num_workers=case["workers"],
        use_prefetcher=False,
        persistent_workers=case["workers"] > 0,
        device=torch.device("cpu"),
    )
    network = place(build(case["network"], case["size"]), case["fast"]).train()
    optimiser = create_optimizer_v2(network, opt="adamw", lr=1e-3, weight_decay=0.05)
    loss_of = nn.CrossEntropyLoss()

    def train(pace: Pace) -> None:
        while True:
            for images, labels in loader:
                if case["fast"]:
                    images = images.contiguous(memory_format=torch.channels_last)
                with torch.autocast("cpu", torch.bfloat16, enabled=case["fast"]):
                    loss = loss_of(network(images), labels)
                loss.backward()
                optimiser.step()
                optimiser.zero_grad()
                loss.item()
                pace.step()

    return train_until_enough(train, case)


if __name__ == "__main__":
    answer_cases(measure)
