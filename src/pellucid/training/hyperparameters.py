"""Every hyperparameter of a run, with its meaning, its bounds and a default.

It does not know the data: which value fits a dataset is the matter of `rules`, and how plans are
written and read that of `plan`. No torch is needed to hold a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pellucid.errors import PlanError, did_you_mean
from pellucid.images.windows import parse_window
from pellucid.network.spec import MEMBERS_BOUND, Block

Metric = Literal["auroc"]
Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]


class Plan(BaseModel):
    """One experiment: with the dataset, it decides every weight of the trained classifier.

    Raises `PlanError` for an unknown hyperparameter or a value out of its bounds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(0, ge=0, lt=2**63, description="every random draw follows from it")
    fractions: tuple[Fraction, Fraction, Fraction] = Field(
        (0.7, 0.15, 0.15), description="train, validation, test; used where no split is given"
    )

    image_size: int = Field(64, ge=4, le=4096, description="side of the square image, in pixels")
    channels: Literal[1, 3] = Field(1, description="1 for grey, 3 for colour")
    fit: Literal["pad", "stretch"] = Field(
        "pad", description="pad keeps the shape of the anatomy, stretch fills the square"
    )
    window: str | None = Field(
        None, description="grey window: lung, bone … or CENTER,WIDTH; null: the file's own"
    )
    mean: tuple[Unit, ...] = Field(
        (0.5,), min_length=1, description="subtracted from pixels in [0, 1]; one or one a channel"
    )
    std: tuple[Annotated[float, Field(gt=0.0, le=10.0)], ...] = Field(
        (0.25,), min_length=1, description="the pixels are then divided by it"
    )

    network: str = Field("resnet18", description="plain, vgg11 … 19, resnet18 … 152, timm:NAME")
    weights: str | None = Field(None, description="pretrained weights: a file, or imagenet")
    global_pooling: Literal["average", "max"] = Field(
        "average", description="how a feature map becomes one number"
    )
    small_stem: bool | None = Field(
        None, description="3 x 3 first convolution of a ResNet; null: up to 48 pixels"
    )
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="share of features dropped at the head")
    blocks: tuple[Block, ...] = Field((), description="the blocks of the network plain")

    candidates: int = Field(
        1, ge=1, le=16, description="plans that race on folds of the training images; 1: no race"
    )
    members: int = Field(
        1, ge=1, le=MEMBERS_BOUND, description="networks of the ensemble; their logits are averaged"
    )
    ensemble_of: Literal["seeds", "folds"] = Field(
        "seeds", description="folds: each network learns from train and validation but one fold"
    )
    distil: bool = Field(
        False, description="one more network learns to answer as the ensemble, and is kept alone"
    )

    optimiser: Literal["adamw", "sgd"] = Field("adamw", description="what turns gradients to steps")
    learning_rate: float = Field(1e-3, gt=0.0, le=10.0, description="the highest rate reached")
    first_layer_rate: float = Field(
        1.0, gt=0.0, le=1.0, description="rate of the first layer, as a share of the head's"
    )
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="of sgd; the first beta of adamw")
    nesterov: bool = Field(True, description="look-ahead momentum; sgd only")
    weight_decay: float = Field(0.05, ge=0.0, le=1.0, description="of kernels and matrices only")
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="how the rate falls from its highest value to 0 at the end"
    )
    warmup_epochs: float = Field(
        1.0, ge=0.0, le=100.0, description="the rate rises linearly over these epochs"
    )
    gradient_clip: float = Field(
        1.0, ge=0.0, description="largest norm of the whole gradient; 0 is off"
    )

    batch_size: int = Field(32, ge=1, le=65536, description="images a step, about")
    epochs: int = Field(30, ge=1, le=100_000, description="at most this often over the images")
    budget_seconds: float | None = Field(
        None, gt=0.0, description="wall time of all training with validation; null: no limit"
    )
    patience: int = Field(
        10, ge=1, le=100_000, description="epochs without a better validation metric until it stops"
    )
    metric: Metric = Field("auroc", description="what chooses the epoch, on validation images")

    augmentation: str = Field(
        "generic", description="policy: chest_xray, breast_ultrasound, retinal_oct, generic, none"
    )
    augmentation_strength: float = Field(
        1.0, ge=0.0, le=3.0, description="multiplies every range of the policy; 0 is off"
    )

    loss: Literal["cross_entropy", "focal"] = Field(
        "cross_entropy", description="focal gives easy images less weight"
    )
    focal_gamma: float = Field(2.0, ge=0.0, le=10.0, description="how much less; focal only")
    output: Literal[
        "auto", "logit", "probability", "logits", "log_probabilities", "probabilities"
    ] = Field("auto", description="what the loss is computed from; auto: logit or logits")
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: rare classes weigh more"
    )
    label_smoothing: float = Field(
        0.0, ge=0.0, lt=1.0, description="share of the label spread over all classes"
    )
    calibration: Literal["validation", "none"] = Field(
        "validation", description="logits are scaled in the end, as validation images ask for"
    )

    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the processor computes with it"
    )
    channels_last: bool = Field(True, description="memory layout; faster on most processors")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: the first GPU, else the CPU"
    )

    @model_validator(mode="wrap")
    @classmethod
    def _plain_errors(cls, values: Any, build: Callable[[Any], Any]) -> Any:
        try:
            if isinstance(values, Mapping):
                _check_keys(values)
            return build(values)
        except ValidationError as error:
            raise _plan_error(error) from error

    @model_validator(mode="after")
    def _check(self) -> Plan:
        if abs(sum(self.fractions) - 1.0) > 1e-6:
            found = " + ".join(f"{fraction:g}" for fraction in self.fractions)
            raise PlanError("fractions must add up to 1", f"{found} = {sum(self.fractions):g}")
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels):
                rule = f"{key} must hold one value or one for each of the {self.channels} channels"
                raise PlanError(rule, str(list(values)))
        parse_window(self.window)
        if self.blocks and self.network != "plain":
            found, remedy = f"network={self.network}", "Set network=plain, or blocks=[]."
            raise PlanError("blocks belong to the network plain only", found, remedy)
        if self.ensemble_of == "folds" and self.distil:
            rule = "An ensemble of folds leaves no image to choose a distilled network's epoch by"
            raise PlanError(rule, "distil=true", "Set ensemble_of=seeds.")
        if self.nesterov and self.optimiser == "sgd" and self.momentum == 0.0:
            remedy = "Set nesterov=false too."
            raise PlanError("nesterov needs a momentum above 0", "momentum=0", remedy)
        return self

    def network_spec(self) -> dict[str, Any]:
        """What the `NetworkSpec` of one member is built from."""
        keys = ("channels", "image_size", "global_pooling", "small_stem", "dropout", "blocks")
        return {"name": self.network, **{key: getattr(self, key) for key in keys}}

    def preprocessing(self) -> dict[str, Any]:
        """What `Preprocessing` is built from."""
        keys = ("image_size", "channels", "fit", "mean", "std", "window")
        return {key: getattr(self, key) for key in keys}


def check_known(key: str) -> None:
    """Raise `PlanError` when there is no such hyperparameter."""
    if key not in Plan.model_fields:
        rule = f"There is no hyperparameter {key!r}"
        raise PlanError(rule, remedy=did_you_mean(key, list(Plan.model_fields)))


def _check_keys(values: Mapping[Any, Any]) -> None:
    for key, value in values.items():
        check_known(str(key))
        annotation = str(Plan.model_fields[str(key)].annotation)
        # YAML reads "on" and "yes" as true, which pydantic would take for the number 1.
        if isinstance(value, bool) and "bool" not in annotation:
            raise PlanError(f"{key} is no switch", str(value).lower(), _meaning(str(key)))


def _plan_error(error: ValidationError) -> PlanError:
    first = error.errors()[0]
    if not first["loc"]:
        return PlanError("A plan is a list of KEY: VALUE", repr(first["input"])[:80])
    key, found = str(first["loc"][0]), repr(first["input"])[:80]
    message = first["msg"].removeprefix("Input ")
    choices = Plan.model_fields[key].annotation
    if first["type"] == "literal_error" and isinstance(first["input"], str):
        known = [str(word) for word in getattr(choices, "__args__", ())]
        return PlanError(f"{key} {message}", found, did_you_mean(first["input"], known))
    return PlanError(f"{key} {message}", found, _meaning(key))


def _meaning(key: str) -> str:
    return f"Its meaning: {Plan.model_fields[key].description}."
