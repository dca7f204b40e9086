"""A classifier as an ONNX graph, from uint8 pixels to logits and the feature map before pooling.

The graph holds the normalisation, so an engine needs nothing else: no torch, no code of ours. What
an engine must answer for some images of noise stands in the bundle's card (`probe`), so that every
engine on every machine shows that it computes the same network before it is used. Knows no engine.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pellucid.errors import UsageError
from pellucid.images.preprocessing import Preprocessing

if TYPE_CHECKING:
    from pellucid.network.classifier import Classifier

PIXELS, LOGITS, MAPS = "pixels", "logits", "feature_map"  # the graph's input and its two outputs
PROBES = 3  # images


def to_graph(classifier: Classifier, preprocessing: Preprocessing) -> bytes:
    """The classifier with its normalisation as an ONNX graph for any number of images.

    By torch's exporter that traces: it takes under a second where the newer one, which analyses
    the program, takes seven for the same graph. Raises `UsageError` for a network it cannot trace.
    """
    import torch

    from pellucid.network.classifier import evaluating, normalise

    class FromPixels(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classifier = classifier

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            x = normalise(pixels, preprocessing.mean, preprocessing.std)
            maps = self.classifier.features(x)
            return self.classifier.judge(maps), maps

    side, channels = preprocessing.image_size, preprocessing.channels
    example = torch.zeros((2, channels, side, side), dtype=torch.uint8)
    file, rows = io.BytesIO(), {0: "n"}
    try:
        with warnings.catch_warnings(), evaluating(classifier):
            warnings.simplefilter("ignore")  # advice about the exporter, not about this network
            torch.onnx.export(
                FromPixels().eval(),
                (example,),
                file,  # type: ignore[arg-type]  # the tracing exporter also writes to memory
                dynamo=False,
                input_names=[PIXELS],
                output_names=[LOGITS, MAPS],
                dynamic_axes={PIXELS: rows, LOGITS: rows, MAPS: rows},
            )
    except Exception as error:  # the exporter raises whatever a network's own code does
        raise cannot_convert(classifier.spec.name, reason_of(error)) from error
    return file.getvalue()


def probe(classifier: Classifier, preprocessing: Preprocessing) -> dict[str, Any]:
    """What the classifier answers for the images of `probe_pixels`, for a card."""
    import torch

    from pellucid.network.classifier import evaluating, normalise

    pixels = torch.from_numpy(probe_pixels(preprocessing))
    with torch.inference_mode(), evaluating(classifier):
        logits = classifier(normalise(pixels, preprocessing.mean, preprocessing.std))
    return {"images": PROBES, "logits": [[float(z) for z in row] for row in logits]}


def probe_pixels(preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """Images of noise, the same on every machine: the bytes of MT19937 have not changed since 2004.

    A quarter of a picture's side is one block, so that deep layers see something too.
    """
    side, channels = preprocessing.image_size, preprocessing.channels
    noise = np.random.RandomState(0).bytes(PROBES * channels * 16)
    blocks = np.frombuffer(noise, np.uint8).reshape(PROBES, channels, 4, 4)
    places = np.arange(side) * 4 // side
    return np.ascontiguousarray(blocks[:, :, places][:, :, :, places])


def reason_of(error: Exception) -> str:
    """The first line of what an engine or exporter says, or the kind of its error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def cannot_convert(network: str, reason: str) -> UsageError:
    """The plain error for a network that only torch can compute."""
    rule = f"The network {network} cannot be computed by another engine than torch ({reason})"
    return UsageError(rule, remedy="Leave the engine out, or ask for torch.")
