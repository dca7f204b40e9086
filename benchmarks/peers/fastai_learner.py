"""fastai's documented way: ImageDataLoaders.from_folder, aug_transforms, a Learner, fit_one_cycle.

With `fast` the callbacks are those of its `to_channelslast` and `to_bf16`; the second is written
out here, since fastai's own autocasts on a GPU only.
"""

from __future__ import annotations

from typing import Any

import torch
from fastai.vision.all import (
    Callback,
    ChannelsLast,
    CrossEntropyLossFlat,
    ImageDataLoaders,
    Learner,
    PILImageBW,
    aug_transforms,
)
from networks import build
from pace import BATCH, Pace, train_until_enough

from contest import answer_cases


class Counting(Callback):
    """Tell the pace of every training step."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace

    def after_batch(self) -> None:
        """Called by fastai, as all of these."""
        if self.training:
            self.pace.step()


class Bfloat16OnCPU(Callback):
    """fastai's MixedPrecision, with the processor's autocast."""

    order = 10

    def before_batch(self) -> None:
        """Start autocast."""
        self.autocast = torch.autocast("cpu", torch.bfloat16)
        self.autocast.__enter__()

    def after_pred(self) -> None:
        """The loss takes float32."""
        self.learn.pred = self.pred.float()

    def after_loss(self) -> None:
        """End autocast."""
        self.autocast.__exit__(None, None, None)


def measure(case: dict[str, Any]) -> float:
    loaders = ImageDataLoaders.from_folder(
        case["folder"],
        valid_pct=0.02,
        seed=0,
        img_cls=PILImageBW,
        batch_tfms=aug_transforms(do_flip=False, max_rotate=7.0, max_zoom=1.1, max_warp=0.0),
        bs=BATCH,
        num_workers=case["workers"],
        device=torch.device("cpu"),
    )
    callbacks = [ChannelsLast(), Bfloat16OnCPU()] if case["fast"] else []
    network = build(case["network"], case["size"])
    learner = Learner(loaders, network, loss_func=CrossEntropyLossFlat(), cbs=callbacks)

    def train(pace: Pace) -> None:
        learner.add_cb(Counting(pace))
        with learner.no_bar(), learner.no_logging():
            learner.fit_one_cycle(10_000, 1e-3)

    return train_until_enough(train, case)


if __name__ == "__main__":
    answer_cases(measure)
