"""What a network is, as data: a name, the image it takes and, for `plain`, its blocks.

A spec is written to the bundle, so everything that decides the shape of the weights is in it, and
whatever the user left open is filled in when the spec is made. It knows no torch and no task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pellucid.errors import PlanError, did_you_mean
from pellucid.network.formulas import output_size

VGGS = tuple(f"vgg{depth}{norm}" for norm in ("", "_bn") for depth in (11, 13, 16, 19))
RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
NETWORKS = ("plain", *VGGS, *RESNETS)
TIMM = "timm:"

# At 64 pixels the small stem leaves layer4 a 4×4 map where the standard one leaves 2×2, at about
# three times its cost; without the max pooling it would cost three to four times more again.
# Up to this image size a ResNet gets the 3×3 stride-1 stem when none is asked: above, the stem
# costs two and a half times the training time, which buys more as further epochs.
SMALL_STEM_UP_TO = 48
STEM_POOLING_FROM = 33  # the small stem keeps the max pooling from this image size on
_LARGEST = 4096
MEMBERS_BOUND = 64


class _Strict(BaseModel):
    """Frozen, and a mistake in a field is a `PlanError` in one plain sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _plain_errors(cls, values: Any, build: Callable[[Any], Any]) -> Any:
        try:
            return build(values)
        except ValidationError as error:
            raise _plan_error(cls, error) from error


class Block(_Strict):
    """One block of the plain network: convolution, then norm, activation and pooling.

    `padding` is a number of pixels or "same" (keeps the size at stride 1; odd kernels only).
    `padding_mode`: "zero", "mirror" (reflect without repeating the border) or "wrap" (circular).
    """

    channels: Annotated[int, Field(ge=1, le=8192)]
    kernel: Annotated[int, Field(ge=1, le=31)] = 3
    stride: Annotated[int, Field(ge=1, le=16)] = 1
    padding: Annotated[int, Field(ge=0, le=31)] | Literal["same"] = "same"
    padding_mode: Literal["zero", "mirror", "wrap"] = "zero"
    activation: Literal[
        "relu",
        "sigmoid",
        "leaky_relu",
        "rrelu",
        "prelu",
        "gelu",
        "celu",
        "selu",
        "silu",
        "identity",
    ] = "relu"
    pooling: Literal["max", "average", "none"] = "max"
    norm: Literal["batch", "instance", "group", "none"] = "batch"

    @model_validator(mode="after")
    def _check(self) -> Block:
        if self.padding == "same" and self.kernel % 2 == 0:
            raise PlanError(
                'Padding "same" needs an odd kernel',
                str(self.kernel),
                "Give the padding in pixels.",
            )
        return self

    @property
    def padding_pixels(self) -> int:
        """Pixels added on each side."""
        return self.kernel // 2 if self.padding == "same" else self.padding


DEFAULT_BLOCKS = (
    Block(channels=32),
    Block(channels=64),
    Block(channels=128),
    Block(channels=256, pooling="none"),
)
# Two convolutions before each pooling, as VGG has them.
DEEP_BLOCKS = tuple(
    Block(channels=channels, pooling=pooling)
    for channels in (32, 64, 128)
    for pooling in ("none", "max")
)


class NetworkSpec(_Strict):
    """The network by name, with the image it takes.

    `name`: "plain", "vgg11" … "vgg19" (the lecture's, without norm), "vgg11_bn" … "vgg19_bn",
    "resnet18" … "resnet152", or "timm:NAME". `small_stem` (ResNets): a 3×3 stride-1 first
    convolution instead of 7×7 stride 2; the max pooling after it stays above 32 pixels. None means
    small up to 48 pixels, and is replaced by the answer. `blocks` belong to "plain". `members` is
    how many such networks stand side by side (`ensemble`).
    """

    name: str
    channels: Annotated[int, Field(ge=1, le=1024)]
    image_size: Annotated[int, Field(ge=1, le=_LARGEST)]
    global_pooling: Literal["average", "max"] = "average"
    small_stem: bool | None = None
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    blocks: tuple[Block, ...] = ()
    members: Annotated[int, Field(ge=1, le=MEMBERS_BOUND)] = 1

    @property
    def called(self) -> str:
        """What to call it: its name, with the number of networks where there are several."""
        return self.name if self.members == 1 else f"{self.members} × {self.name}"

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = dict(values)
        name, size = values.get("name"), values.get("image_size")
        if name in RESNETS and values.get("small_stem") is None and isinstance(size, int):
            values["small_stem"] = size <= SMALL_STEM_UP_TO
        if name == "plain" and not values.get("blocks"):
            values["blocks"] = DEFAULT_BLOCKS
        return values

    @model_validator(mode="after")
    def _check(self) -> NetworkSpec:
        if self.name not in NETWORKS and not self.name.startswith(TIMM):
            known = [*NETWORKS, "timm:NAME"]
            raise PlanError(
                "The network must be one Pellucid knows",
                repr(self.name),
                did_you_mean(self.name, known),
            )
        if self.blocks and self.name != "plain":
            raise PlanError('Only the network "plain" is made of blocks', repr(self.name))
        if self.small_stem and self.name not in RESNETS:
            raise PlanError("Only a ResNet has a small stem", repr(self.name))
        return self


def target_name(head: str) -> str:
    """The target's name behind a key of `Classifier.heads`.

    >>> target_name("finding%2E2"), target_name("%74ype")
    ('finding.2', 'type')
    """
    return "" if head == "%" else unquote(head)


def minimum_image_size(spec: NetworkSpec) -> int:
    """Side in pixels of the smallest image from which the network makes a feature map.

    VGG halves the image five times, a ResNet divides it by 32, or by 16 or 8 with the small stem.
    For timm networks 32 is the custom; `build_classifier` tries the real one out.
    Raises `PlanError` when the blocks fit no image at all.
    """
    if spec.name in RESNETS and spec.small_stem:
        return 16 if spec.image_size >= STEM_POOLING_FROM else 8
    if spec.name != "plain":
        return 32
    for size in range(1, _LARGEST + 1):
        if _blocks_fit(size, spec.blocks):
            return size
    raise PlanError(f"The blocks of the plain network fit no image up to {_LARGEST} pixels")


def check_image_size(spec: NetworkSpec) -> None:
    """Raise `PlanError` when the spec's image is smaller than its network needs."""
    least = minimum_image_size(spec)
    if spec.image_size >= least:
        return
    remedy = f"Use --set image_size={least}"
    if spec.name not in RESNETS and spec.image_size >= 8:
        remedy += " or --set network=resnet18"
    rule = f"{spec.name} needs images of at least {least}×{least} pixels"
    raise PlanError(rule, str(spec.image_size), remedy)


def _blocks_fit(size: int, blocks: tuple[Block, ...]) -> bool:
    for block in blocks:
        padding = block.padding_pixels
        # A border can be mirrored only once, and not its last pixel; wrapping may use all of it.
        if padding > {"zero": size + padding, "mirror": size - 1, "wrap": size}[block.padding_mode]:
            return False
        size = output_size(size, block.kernel, block.stride, padding)
        if size < (2 if block.norm == "instance" else 1):
            return False
        if block.pooling != "none":
            size //= 2
        if size < 1:
            return False
    return True


def _plan_error(model: type[BaseModel], error: ValidationError) -> PlanError:
    """The first mistake that pydantic found, as rule, value and remedy."""
    # A misspelt field is also a missing one; the misspelling is the one to name.
    first = min(error.errors(), key=lambda mistake: mistake["type"] != "extra_forbidden")
    field = str(first["loc"][0]) if first["loc"] else model.__name__
    if first["type"] == "extra_forbidden":
        known = list(model.model_fields)
        return PlanError(f"{model.__name__} has no field {field!r}", "", did_you_mean(field, known))
    if first["type"] == "missing":
        return PlanError(f"{model.__name__} needs {field!r}")
    return PlanError(f"{field}: {first['msg']}", repr(first["input"]))
