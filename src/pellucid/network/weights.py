"""Pretrained weights for a backbone: a local file, or the published ImageNet ones.

A file is never executed: `.safetensors`, or `.pth`/`.pt` read with `weights_only=True`. The file's
own classifier is left out. This module knows tensors by name; it does not know tasks or training.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import BundleError, PellucidError, UsageError
from pellucid.network.spec import NETWORKS, TIMM

MAX_BYTES = 4 * 2**30
CONNECT_SECONDS = 6.0
_GRACE_SECONDS = 1.0
_LEAST_MATCH = 0.9
_CLASSIFIER = ("fc.", "classifier.", "head.", "heads.", "pre_logits.")
_WRAPPERS = ("module.", "backbone.")
_SUFFIXES = (".safetensors", ".pth", ".pt")
_TIMM_HOST = "https://huggingface.co"


@dataclass(frozen=True)
class LoadedWeights:
    """What was taken over from a weights file. The tuples hold tensor names.

    `fresh`: tensors of the backbone that the file lacks or holds in another shape, so they keep
    their random start. `unused`: tensors of the file that the backbone has no place for.
    `adapted`: the first convolution, when it was summed to fit the image's channels.
    """

    source: str
    n_loaded: int
    fresh: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    adapted: str = ""

    def describe(self) -> str:
        """One plain sentence a fact."""
        parts = [f"{self.n_loaded} tensors from {self.source}."]
        if self.adapted:
            parts.append(f"{self.adapted} was summed to the image's channels.")
        if self.fresh:
            parts.append(f"Not in the file, so from a random start: {_first(self.fresh)}.")
        if self.unused:
            parts.append(f"In the file but not in the network: {_first(self.unused)}.")
        return " ".join(parts)


def load_weights(backbone: nn.Module, weights: str, name: str) -> LoadedWeights:
    """Fill the backbone of the network `name` from a file, or from "imagenet".

    Raises `UsageError` when there is no such file or "imagenet" cannot be had, and `BundleError`
    when the file is damaged or fits less than nine tenths of the backbone's tensors.
    """
    state = imagenet_weights(name) if weights == "imagenet" else read_weights(weights)
    return _fill(backbone, state, f"{name} ImageNet" if weights == "imagenet" else weights)


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a `.safetensors`, `.pth` or `.pt` file by name, without its classifier."""
    file = Path(path)
    _check_file(file)
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file can raise anything
        raise BundleError(
            f"{file} is not a readable weights file ({type(error).__name__})",
            remedy="It must hold tensors only, as safetensors or torch.save(model.state_dict()).",
        ) from error
    return _tensors(content, file)


def _check_file(file: Path) -> None:
    if file.suffix not in _SUFFIXES:
        raise UsageError(
            "A weights file ends in .safetensors, .pth or .pt",
            repr(str(file)),
            'Or use "imagenet" for the published weights.',
        )
    if not file.is_file():
        raise UsageError(f"There is no weights file {file}")
    if file.stat().st_size > MAX_BYTES:
        raise BundleError(
            f"A weights file has at most {MAX_BYTES // 2**30} GiB",
            f"{file.stat().st_size / 2**30:.1f} GiB",
        )


def _tensors(content: Any, file: Path) -> dict[str, Tensor]:
    """The state dict inside the usual wrappings, without the classifier's tensors."""
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    state: dict[str, Tensor] = {}
    for key, value in content.items() if isinstance(content, dict) else ():
        if isinstance(key, str) and isinstance(value, Tensor):
            for wrapper in _WRAPPERS:
                key = key.removeprefix(wrapper)
            if not key.startswith(_CLASSIFIER):
                state[key] = value
    if not state:
        raise BundleError(f"{file} holds no tensors by name", remedy="Save model.state_dict().")
    return state


def _fill(backbone: nn.Module, state: dict[str, Tensor], source: str) -> LoadedWeights:
    own = backbone.state_dict()
    fitted, adapted = _adapt_first_convolution(backbone, own, state)
    wanted = [key for key in own if not key.endswith("num_batches_tracked")]
    found = {k: v for k, v in fitted.items() if k in own and v.shape == own[k].shape}
    fresh = tuple(key for key in wanted if key not in found)
    if len(wanted) - len(fresh) < _LEAST_MATCH * len(wanted):
        misses = "; ".join(_mismatch(key, own, state) for key in fresh[:3])
        raise BundleError(
            f"{source} fits {len(wanted) - len(fresh)} of the backbone's {len(wanted)} tensors",
            remedy="Is it of the same network (of plain: with the same blocks)? First mismatches: "
            f"{misses}.",
        )
    broken = [k for k, v in found.items() if v.is_floating_point() and not v.isfinite().all()]
    if broken:
        raise BundleError(f"{source} holds values that are not finite in {_first(tuple(broken))}")
    backbone.load_state_dict(found, strict=False)
    unused = tuple(key for key in state if key not in own)
    return LoadedWeights(source, len(wanted) - len(fresh), fresh, unused, adapted)


def _adapt_first_convolution(
    backbone: nn.Module, own: dict[str, Tensor], state: dict[str, Tensor]
) -> tuple[dict[str, Tensor], str]:
    """Fit the file's first convolution to the image's channels.

    One channel gets the sum over the file's channels, n channels each the sum divided by n: an
    image with n equal channels gives the same features as the equal image in the file's channels.
    """
    first = next((n for n, m in backbone.named_modules() if isinstance(m, nn.Conv2d)), "")
    key = f"{first}.weight"
    given, target = state.get(key), own.get(key)
    if given is None or target is None or given.ndim != 4 or given.shape[1] == target.shape[1]:
        return state, ""
    if given.shape[0] != target.shape[0] or given.shape[2:] != target.shape[2:]:
        return state, ""
    n = target.shape[1]
    return {**state, key: given.sum(dim=1, keepdim=True).repeat(1, n, 1, 1) / n}, first


def imagenet_weights(name: str) -> dict[str, Tensor]:
    """The published ImageNet weights of a torchvision or timm network, cached or downloaded.

    Without a connection this ends within seconds with a `UsageError` that says what to give.
    """
    if name.startswith(TIMM):
        return _timm_weights(name)
    if name == "plain" or name not in NETWORKS:
        raise UsageError(
            f"There are no published ImageNet weights for {name!r}",
            remedy="Leave the weights out, or choose a network such as resnet18.",
        )
    url, file = _published(name)
    if not file.is_file():
        _download(url, file, name)
    return read_weights(file)


def networks_with_weights() -> tuple[str, ...]:
    """The networks whose ImageNet weights lie in torch's cache on this machine."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    if not folder.is_dir() or not any(folder.iterdir()):
        return ()
    return tuple(name for name in NETWORKS if name != "plain" and _published(name)[1].is_file())


def _published(name: str) -> tuple[str, Path]:
    """Where the weights of a torchvision network come from, and where they lie once fetched."""
    from torchvision.models import get_model_weights

    url = str(get_model_weights(name)["IMAGENET1K_V1"].url)
    return url, Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]


def _download(url: str, file: Path, name: str) -> None:
    """Fetch `url` to `file`, complete and with the digest its name promises, or not at all."""
    part = file.with_suffix(f".{os.getpid()}.part")
    digest = hashlib.sha256()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _open_url(url) as response, part.open("wb") as output:
            while block := response.read(2**20):
                digest.update(block)
                output.write(block)
        promised = re.search(r"-([0-9a-f]{8,})\.", file.name)
        if promised and not digest.hexdigest().startswith(promised[1]):
            raise OSError("the download is damaged")
        part.replace(file)
    except OSError as error:
        raise _not_here(name, str(error), url, str(file)) from error
    finally:
        part.unlink(missing_ok=True)


def _open_url(url: str) -> Any:
    """`urlopen` that answers within `CONNECT_SECONDS`: a name look-up alone can hang for longer."""
    answer: list[Any] = []

    def connect() -> None:
        try:
            answer.append(urllib.request.urlopen(url, timeout=CONNECT_SECONDS))  # noqa: S310 - https only
        except OSError as error:
            answer.append(error)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS + _GRACE_SECONDS)
    if not answer:
        raise urllib.error.URLError("no answer")
    if isinstance(answer[0], Exception):
        raise answer[0]
    return answer[0]


def _timm_weights(name: str) -> dict[str, Tensor]:
    from pellucid.network.backbones import create_timm

    create_timm(name)  # an unknown name or a missing package says so before any connection
    try:
        _open_url(_TIMM_HOST).close()
    except OSError as error:
        raise _not_here(name, str(error), f"{_TIMM_HOST}/timm", "") from error
    try:
        model = create_timm(name, pretrained=True)
    except PellucidError:
        raise
    except Exception as error:  # the hub's client raises classes of its own
        raise _not_here(name, str(error), f"{_TIMM_HOST}/timm", "") from error
    return {f"model.{key}": value for key, value in model.state_dict().items()}


def _not_here(name: str, reason: str, url: str, file: str) -> UsageError:
    reason = (reason.strip().splitlines() or ["no reason given"])[0][:120]
    place = f" or put it at {file}" if file else ""
    return UsageError(
        f"The ImageNet weights of {name} are not here and cannot be downloaded ({reason})",
        remedy=f"Fetch them elsewhere from {url} and give the file with --weights FILE{place}.",
    )


def _mismatch(key: str, own: dict[str, Tensor], state: dict[str, Tensor]) -> str:
    if key not in state:
        return f"{key} is missing"
    return f"{key} has the shape {tuple(state[key].shape)}, not {tuple(own[key].shape)}"


def _first(names: tuple[str, ...], n: int = 5) -> str:
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(names[:n]) + more
