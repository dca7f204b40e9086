"""The loop of PyTorch's and torchvision's own tutorials: ImageFolder, transforms v2, DataLoader.

"Training a classifier" and "Getting started with transforms v2"; with `fast` also the recipe
"Channels last memory format" and autocast to bfloat16.
"""

from __future__ import annotations

from typing import Any

import torch
from networks import build, place
from pace import BATCH, Pace, train_until_enough
from PIL import Image
from torch import nn
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from contest import answer_cases


def grey(path: str) -> Image.Image:
    return Image.open(path).convert("L")


TRANSFORM = v2.Compose(
    [
        v2.ToImage(),
        v2.RandomAffine(degrees=7, translate=(0.05, 0.05), scale=(0.9, 1.1)),
        v2.ColorJitter(brightness=0.2, contrast=0.2),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.5], [0.25]),
    ]
)


def measure(case: dict[str, Any]) -> float:
    loader = torch.utils.data.DataLoader(
        ImageFolder(case["folder"], transform=TRANSFORM, loader=grey),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=case["workers"],
        persistent_workers=case["workers"] > 0,
    )
    network = place(build(case["network"], case["size"]), case["fast"]).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    loss_of = nn.CrossEntropyLoss()

    def train(pace: Pace) -> None:
        while True:
            for images, labels in loader:
                if case["fast"]:
                    images = images.to(memory_format=torch.channels_last)
                optimiser.zero_grad()
                with torch.autocast("cpu", torch.bfloat16, enabled=case["fast"]):
                    loss = loss_of(network(images), labels)
                loss.backward()
                optimiser.step()
                loss.item()
                pace.step()

    return train_until_enough(train, case)


if __name__ == "__main__":
    answer_cases(measure)
