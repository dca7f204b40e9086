"""The classifier with its preprocessing inside: pixels of any size in, probabilities out.

The steps are those of `images.preprocessing`, written as matrix products, so that a graph can hold
them for every size: resizing an axis is a matrix of weights, and padding is its empty rows. The
weights are Pillow's: its bilinear filter widened to the area that a new pixel covers, after whole
blocks are averaged where a picture shrinks more than sixfold (`reducing_gap`). Knows the network;
it does not know files.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pellucid.images.preprocessing import LUMA, REDUCING_GAP, Preprocessing
from pellucid.network.classifier import Classifier


class FromRawPixels(nn.Module):
    """Images float32 (n, 1 or 3, row, column) in [0, 1] → logits, and probabilities by target.

    All images of a batch have one size. The probabilities of a target are (n, n_classes).
    """

    def __init__(self, classifier: Classifier, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.classifier, self.settings = classifier, preprocessing
        self.register_buffer("luma", torch.tensor(LUMA).view(1, 3, 1, 1))
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Logits (n, n_logits), then each target's probabilities."""
        squares = self.preprocess(images)
        logits = self.classifier(
            (squares / 255.0 - self.get_buffer("mean")) / self.get_buffer("std")
        )
        return logits, *self._probabilities(logits)

    def preprocess(self, images: Tensor) -> Tensor:
        """What `images.preprocessing.preprocess` gives: whole numbers of 0 to 255, as floats."""
        luma = self.get_buffer("luma")
        if self.settings.channels == 1:
            first = images[:, :1]
            is_grey = (images == first).all(dim=1, keepdim=True)
            planes = torch.where(is_grey, first, (images * luma).sum(dim=1, keepdim=True))
        else:
            planes = images * torch.ones_like(luma)
        down = self._weights(planes[0, 0, :, 0], planes[0, 0, 0, :])
        across = self._weights(planes[0, 0, 0, :], planes[0, 0, :, 0])
        # as Pillow: columns first, sums in double, each result in single precision. A picture of
        # 8 bits that is halved has many pixels just between two values.
        narrowed = torch.matmul(planes.double(), across.transpose(0, 1)).float()
        resized = torch.matmul(down, narrowed.double()).float()
        return (resized * 255.0 + 0.5).floor().clamp(0.0, 255.0)

    def _weights(self, along: Tensor, other: Tensor) -> Tensor:
        """The matrix (S, pixels) that resizes the axis of `along`, padding included.

        Sizes are counted and not asked for, so that a traced graph holds for all of them.
        """
        side = self.settings.image_size
        places = torch.ones_like(along, dtype=torch.float64).cumsum(0) - 1
        # one number as a vector of one: torch's exporter computes numbers alone in single precision
        n = places[-1:] + 1
        m = torch.ones_like(other, dtype=torch.float64).sum(dim=0, keepdim=True)
        fitted = torch.full_like(n, float(side))
        if self.settings.fit == "pad":
            fitted = (n * side / torch.maximum(n, m)).round().clamp(min=1.0)
        top = ((side - fitted) / 2).floor()
        factor = (n / fitted / REDUCING_GAP).floor().clamp(min=1.0)
        block = (places / factor).floor()
        shared = torch.minimum(factor, n - block * factor)  # pixels that a block is the mean of
        scale = n / factor / fitted
        row = torch.arange(side, dtype=torch.float64) - top
        centre = (row + 0.5) * scale
        reach = scale.clamp(min=1.0)
        distance = (block[None, :] + 0.5 - centre[:, None]).abs() / reach
        weights = (1.0 - distance).clamp(min=0.0) / shared[None, :]
        weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-12)
        inside = (row >= 0) & (row < fitted)
        return weights * inside[:, None]

    def _probabilities(self, logits: Tensor) -> list[Tensor]:
        found = []
        for target in self.classifier.task.targets:
            part = logits[:, self.classifier.task.slices()[target.name]]
            if target.n_logits == 1:
                found.append(torch.cat([torch.sigmoid(-part), torch.sigmoid(part)], dim=1))
            else:
                found.append(torch.softmax(part, dim=1))
        return found
