"""Where the arithmetic is done: processor, number format, memory layout, torch's random state.

It does not know what is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

from pellucid.errors import PlanError
from pellucid.training.hyperparameters import Plan


def choose_device(plan: Plan) -> torch.device:
    """The device of the plan; raises `PlanError` when a GPU is asked for and there is none."""
    gpu = torch.cuda.is_available()
    if plan.device == "cuda" and not gpu:
        raise PlanError("device=cuda needs a GPU that torch can use", "none", "Use device=auto.")
    return torch.device("cuda" if gpu and plan.device != "cpu" else "cpu")


def place(classifier: nn.Module, plan: Plan, device: torch.device) -> None:
    """Move the weights to the device, in the plan's memory layout."""
    layout = torch.channels_last if plan.channels_last else torch.contiguous_format
    classifier.to(device=device, memory_format=layout)  # type: ignore[call-overload]


def precision(plan: Plan, device: torch.device) -> AbstractContextManager[object]:
    """The number format of the forward pass: bfloat16 where asked for or, by "auto", where fast."""
    wanted = plan.precision == "bfloat16"
    if wanted or (plan.precision == "auto" and is_bfloat16_fast(device)):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def is_bfloat16_fast(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 itself; emulated it is some 20 times slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private, so they may go
    in_hardware = any(getattr(torch.cpu, name, lambda: False)() for name in names)
    return in_hardware and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def seed_randomness(seed: int, device: torch.device) -> None:
    """Seed torch's global random state of this device and of the processor.

    `torch.manual_seed` asks after every kind of device, which takes it longer than a small step of
    the optimiser.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Put torch's global random state back at the end."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
