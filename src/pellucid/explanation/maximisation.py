"""Activation maximisation: a picture made so that a channel or a class answers as much as possible.

Gradient ascent from noise on the picture's Fourier coefficients, low frequencies moving most, while
the picture trembles a little, so that no single pixel can carry the answer. Olah, Mordvintsev and
Schubert 2017, "Feature visualization". It shows what the network responds to; it is no picture of a
disease, and whatever it reaches stands beside what real images reach.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pellucid.bundle import Bundle
from pellucid.errors import UsageError
from pellucid.explanation.exciting_patches import check_channels
from pellucid.explanation.feature_maps import Pixels, to_input
from pellucid.explanation.goals import Goal, goal_score
from pellucid.explanation.layers import LOGITS, capture
from pellucid.network.classifier import evaluating, normalise

STEPS = 128
_RATE = 0.05  # of Adam, as in Olah et al.
_FIRST_NOISE = 0.1  # deviation of the first coefficients, small beside what 128 steps change
_JITTER = 16  # the picture trembles by up to a sixteenth of its side
_BATCH = 32

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Objective:
    """What shall be large: the mean of a channel over its map, or the logit of a class.

    Exactly one of `channel` (of `layer`) and `goal` is given. `name` is said to people.
    """

    name: str
    layer: str = LOGITS
    channel: int | None = None
    goal: Goal | None = None


@dataclass(frozen=True)
class Maximised:
    """The picture (C, S, S), uint8, and the objective's value for it, for the noise, on the way.

    `reached` is measured on the finished picture, standing still and rounded to bytes.
    """

    objective: Objective
    pixels: Pixels
    reached: float
    noise: float
    seed: int
    history: npt.NDArray[np.float64] = field(repr=False)


def channel_objective(layer: str, channel: int) -> Objective:
    """The mean of a channel over its map."""
    return Objective(f"channel {channel} of {layer}", layer=layer, channel=channel)


def class_objective(goal: Goal) -> Objective:
    """The logit of a class; of a one-logit target's other class, the negative of the logit."""
    return Objective(f"logit of {goal.label}", goal=goal)


def maximise(
    bundle: Bundle,
    objective: Objective,
    *,
    steps: int = STEPS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Maximised:
    """The picture that gradient ascent reaches in `steps` from the noise of `seed`.

    The same seed gives the same picture on the same machine. Raises `UsageError` for a channel that
    the layer has not, and for fewer than one step.
    """
    if steps < 1:
        raise UsageError("A picture is maximised in at least one step", str(steps))
    generator = torch.Generator().manual_seed(seed)
    size, channels = bundle.spec.image_size, bundle.spec.channels
    device = next(bundle.classifier.parameters()).device
    shape = (1, channels, size, size // 2 + 1, 2)
    spectrum = (_FIRST_NOISE * torch.randn(shape, generator=generator)).to(device)
    spectrum.requires_grad_()
    first = _to_bytes(_picture(spectrum, bundle))
    noise = objective_values(bundle, first, objective)[0]
    optimiser = torch.optim.Adam([spectrum], lr=_RATE)
    history = []
    with evaluating(bundle.classifier):
        for step in range(steps):
            shown = _trembling(_picture(spectrum, bundle), generator)
            x = normalise(255 * shown, bundle.preprocessing.mean, bundle.preprocessing.std)
            value = _score(bundle, x, objective).sum()
            (slope,) = torch.autograd.grad(-value, [spectrum])
            spectrum.grad = slope
            optimiser.step()
            history.append(float(value.detach()))
            if progress:
                progress(step + 1, steps)
    pixels = _to_bytes(_picture(spectrum, bundle))
    reached = objective_values(bundle, pixels, objective)[0]
    return Maximised(objective, pixels[0], float(reached), float(noise), seed, np.array(history))


def objective_values(
    bundle: Bundle,
    pixels: Pixels,
    objective: Objective,
    *,
    rows: Sequence[int] | npt.NDArray[np.int64] | None = None,
    progress: Progress | None = None,
) -> npt.NDArray[np.float64]:
    """The objective's value for each image (n, C, S, S), or each of its `rows`, in batches: (n,).

    `pixels` may be a memory map.
    """
    chosen = np.arange(len(pixels)) if rows is None else np.asarray(rows, dtype=np.int64)
    values = [np.zeros(0)]
    for start in range(0, len(chosen), _BATCH):
        batch = chosen[start : start + _BATCH]
        score = _score(bundle, to_input(bundle, pixels[batch]), objective, gradients=False)
        values.append(score.double().cpu().numpy())
        if progress:
            progress(start + len(batch), len(chosen))
    return np.concatenate(values)


def _score(bundle: Bundle, x: Tensor, objective: Objective, *, gradients: bool = True) -> Tensor:
    """The objective's value for each normalised image: (n,)."""
    output = capture(bundle.classifier, x, [objective.layer], gradients=gradients)[objective.layer]
    if objective.goal is not None:
        return goal_score(output, bundle.task, objective.goal)
    channel = objective.channel or 0
    check_channels([channel], output.shape[1], objective.layer)
    return output[:, channel].flatten(1).mean(dim=1)


def _picture(spectrum: Tensor, bundle: Bundle) -> Tensor:
    """Coefficients (1, C, S, S // 2 + 1, 2) → the picture (1, C, S, S) in [0, 1].

    Each is divided by its frequency, as natural images have it. The picture gets the mean and the
    contrast of the images that the network was made for; without that it would win by contrast.
    """
    size, settings = bundle.spec.image_size, bundle.preprocessing
    rows = torch.fft.fftfreq(size, device=spectrum.device)[:, None]
    columns = torch.fft.rfftfreq(size, device=spectrum.device)[None, :]
    frequency = torch.sqrt(rows**2 + columns**2).clamp(min=1 / size)
    plane = torch.fft.irfft2(torch.view_as_complex(spectrum) / frequency, s=(size, size))
    plane = (plane - plane.mean()) / plane.std().clamp(min=1e-12)
    mean, std = (
        torch.tensor(values, device=spectrum.device).view(1, -1, 1, 1)
        for values in (settings.mean, settings.std)
    )
    picture: Tensor = (mean + std * plane).clamp(0, 1)
    return picture


def _trembling(picture: Tensor, generator: torch.Generator) -> Tensor:
    """The picture moved by whole pixels at random; what comes in at the border is mirrored.

    Whole pixels only: between them a picture would be blurred, and what it hides in the finest
    grain would come out when it stands still.
    """
    reach = max(1, picture.shape[-1] // _JITTER)
    down, right = torch.randint(0, 2 * reach + 1, (2,), generator=generator).tolist()
    wide = torch.nn.functional.pad(picture, [reach] * 4, mode="reflect")
    size = picture.shape[-1]
    moved: Tensor = wide[:, :, down : down + size, right : right + size]
    return moved


def _to_bytes(picture: Tensor) -> Pixels:
    levels = torch.round(picture.detach() * 255).clamp(0, 255)
    return np.asarray(levels.to(torch.uint8).cpu().numpy())
