"""The plan: its rules with reasons, its YAML, and what is said about a mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pellucid.errors import PlanError, UsageError
from pellucid.images.preprocessing import Preprocessing
from pellucid.network.backbones import build_backbone
from pellucid.network.spec import NetworkSpec
from pellucid.training.fingerprint import Fingerprint
from pellucid.training.plan import (
    Plan,
    apply_settings,
    build_plan,
    load_plan,
    make_plan,
    parse_budget,
    parse_overrides,
    save_plan,
)
from pellucid.training.rules import steps_per_epoch


def fingerprint(**changes: Any) -> Fingerprint:
    pictures: dict[str, Any] = {"n_looked_at": 48, "median_height": 224, "median_width": 200}
    values: dict[str, Any] = {
        "n_images": 1000,
        "n_train": 700,
        "n_patients": 300,
        "class_counts": {"label": {"well": 300, "ill": 400}},
        "machine": {"gpu": "a GPU" if changes.pop("gpu", False) else None},
    }
    for key in ("median_height", "median_width", "channels", "modality"):
        if key in changes:
            pictures[key] = changes.pop(key)
    return Fingerprint(**{**values, "pictures": pictures, **changes})


def counts(*images: int) -> dict[str, int]:
    return {f"class {number}": n for number, n in enumerate(images)}


def planned(key: str, settings: dict[str, Any] | None = None, **changes: Any) -> Any:
    plan, reasons = build_plan(fingerprint(**changes), settings)
    assert reasons[key]
    return getattr(plan, key)


def test_every_hyperparameter_is_described() -> None:
    assert [key for key, f in Plan.model_fields.items() if not f.description] == []


@pytest.mark.parametrize(
    ("side", "gpu", "size"),
    [
        (28, False, 28),
        (30, False, 32),
        (5, False, 8),
        (48, False, 48),
        (64, True, 64),
        (224, False, 64),
        (224, True, 224),
        (2000, True, 224),
        (2000, False, 64),
    ],
)
def test_image_size_follows_the_images_and_the_machine(side: int, gpu: bool, size: int) -> None:
    assert planned("image_size", median_height=side, median_width=side - 1, gpu=gpu) == size


@pytest.mark.parametrize(
    ("side", "gpu", "settings", "network"),
    [
        (28, False, {}, "plain"),
        (28, True, {}, "resnet18"),
        (48, False, {}, "plain"),
        (64, False, {}, "resnet18"),
        (28, False, {"weights": "imagenet"}, "resnet18"),
        (28, False, {"network": "resnet34"}, "resnet34"),
    ],
)
def test_the_network_follows_size_and_machine(
    side: int, gpu: bool, settings: dict[str, Any], network: str
) -> None:
    sides = {"median_height": side, "median_width": side}
    assert planned("network", settings, gpu=gpu, **sides) == network


@pytest.mark.parametrize(
    ("settings", "machine", "size", "network"),
    [
        ({}, {}, 48, "plain"),
        ({"network": "resnet34"}, {}, 64, "resnet34"),
        ({"network": "resnet18"}, {}, 64, "resnet18"),
        ({"network": "plain"}, {"pretrained": ("resnet18",)}, 48, "plain"),
        ({"weights": "mine.pth"}, {}, 64, "resnet18"),
        ({"weights": "mine.pth", "image_size": 28}, {}, 28, "resnet18"),
        ({"image_size": 64}, {}, 64, "resnet18"),
        ({}, {"pretrained": ("resnet18",)}, 64, "resnet18"),
        ({"weights": None}, {"pretrained": ("resnet18",)}, 48, "plain"),
        ({}, {"gpu": "a GPU"}, 224, "resnet18"),
    ],
)
def test_where_time_is_counted_a_cpu_learns_from_small_images(
    settings: dict[str, Any], machine: dict[str, Any], size: int, network: str
) -> None:
    large = {"median_height": 300, "median_width": 300}
    plan, reasons = build_plan(fingerprint(machine=machine, **large), settings, budget=60)
    assert (plan.image_size, plan.network) == (size, network)
    assert ("while a budget runs" in reasons["image_size"]) == (size == 48)


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("budget", [None, 60.0])
def test_what_only_one_network_has_asks_for_it(gpu: bool, budget: float | None) -> None:
    small = {"median_height": 28, "median_width": 28, "gpu": gpu}
    plan, _ = build_plan(fingerprint(**small), {"small_stem": True}, budget)
    assert (plan.network, plan.small_stem) == ("resnet18", True)
    plan, reasons = build_plan(fingerprint(**small), {"blocks": [{"channels": 4}]}, budget)
    assert (plan.network, plan.blocks[0].channels) == ("plain", 4)
    assert reasons["network"] == "rule: the only one that has what the user has set"


def test_settings_are_judged_beside_what_is_known_of_the_data() -> None:
    assert planned("mean", {"mean": [0.4, 0.5, 0.6]}, channels=3) == (0.4, 0.5, 0.6)
    with pytest.raises(PlanError, match="one for each of the 1 channels"):
        build_plan(fingerprint(), {"mean": [0.4, 0.5, 0.6]})


def test_many_images_bear_a_deeper_plain_network(tmp_path: Path) -> None:
    small = {"median_height": 28, "median_width": 28}
    assert planned("blocks", n_train=1999, **small) == ()
    assert planned("blocks", n_train=2000) == ()  # a ResNet
    assert planned("blocks", {"blocks": []}, n_train=2000, **small) == ()
    plan, reasons = build_plan(fingerprint(n_train=2000, **small))
    deep, shallow = (
        build_backbone(NetworkSpec(**own.network_spec()))
        for own in (plan, apply_settings(plan, {"blocks": []}))
    )
    image = torch.zeros(1, 1, 28, 28)
    assert deep(image).shape[-2:] == shallow(image).shape[-2:] == (3, 3)
    path = save_plan(plan, tmp_path / "plan.yaml", reasons)
    line = (
        "blocks: [{channels: 32, pooling: none}, {channels: 32}, {channels: 64, pooling: none}, "
        "{channels: 64}, {channels: 128, pooling: none}, {channels: 128}]"
        "  # rule: 2,000 training images: two convolutions a size"
    )
    assert line in path.read_text(encoding="utf-8").splitlines()
    assert load_plan(path) == plan
    with pytest.raises(PlanError, match="Set network=plain, or blocks="):
        make_plan(fingerprint(), path=path, settings={"network": "resnet18"})


def test_pretrained_weights_get_the_stem_they_were_trained_with() -> None:
    assert planned("small_stem") is None
    assert planned("small_stem", {"weights": "imagenet"}) is False


def test_a_plan_for_the_cpu_is_small_even_where_there_is_a_gpu() -> None:
    assert planned("image_size", {"device": "cpu"}, gpu=True) == 64


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("chest_xray", "chest_xray"),
        ("PneumoniaMNIST", "chest_xray"),
        ("BUSI", "breast_ultrasound"),
        ("phantom:oct", "retinal_oct"),
        ("my pictures", "generic"),
        ("", "generic"),
    ],
)
def test_the_policy_follows_the_name(name: str, policy: str) -> None:
    assert planned("augmentation", name=name) == policy


def test_the_policy_follows_a_modality_that_leaves_no_choice() -> None:
    assert planned("augmentation", name="chest", modality="OPT") == "retinal_oct"
    assert planned("augmentation", name="chest", modality="DX") == "chest_xray"


def test_rates_follow_optimiser_and_network() -> None:
    assert planned("learning_rate") == 1e-3
    assert planned("learning_rate", {"network": "vgg11"}) == 1e-4
    assert planned("learning_rate", {"network": "vgg11_bn"}) == 1e-3
    assert planned("learning_rate", {"optimiser": "sgd"}) == 0.05
    assert planned("learning_rate", {"optimiser": "sgd", "network": "vgg16"}) == 0.01
    assert planned("learning_rate", {"weights": "imagenet"}) == 2e-4
    no_norm = {"network": "plain", "blocks": [{"channels": 8, "norm": "none"}]}
    assert planned("learning_rate", no_norm) == 1e-4
    assert planned("learning_rate", {"network": "plain"}) == 1e-3


def test_small_data_means_more_steps_and_a_bounded_number_of_epochs() -> None:
    assert planned("batch_size", n_train=100) == 16
    assert planned("batch_size", n_train=5000) == 32
    assert planned("epochs", n_train=50) == 100
    assert planned("epochs", n_train=10**6) == 10
    assert 20 <= planned("epochs", n_train=3200) <= 40


def test_the_user_wins_and_the_rules_reckon_with_it() -> None:
    plan, reasons = build_plan(fingerprint(), {"epochs": 5, "batch_size": "8"}, 60.0)
    assert (plan.epochs, plan.batch_size, plan.budget_seconds) == (5, 8, 60.0)
    assert plan.warmup_epochs == 0.5
    assert reasons["epochs"] == reasons["budget_seconds"] == "yours: set by the user"
    assert "87" not in reasons["epochs"]


def test_the_plan_makes_a_network_and_a_preprocessing() -> None:
    settings = {"network": "plain", "blocks": [{"channels": 4}], "mean": [0.1], "dropout": 0.2}
    plan, _ = build_plan(fingerprint(channels=3), settings)
    spec = NetworkSpec(**plan.network_spec())
    assert (spec.name, spec.channels, spec.image_size, spec.dropout) == ("plain", 3, 64, 0.2)
    assert spec.blocks[0].channels == 4
    preprocessing = Preprocessing(**plan.preprocessing())
    assert (preprocessing.image_size, preprocessing.mean) == (64, (0.1,))


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    settings = {
        "network": "plain",
        "blocks": [{"channels": 4, "padding": 0}],
        "learning_rate": 1e-5,
    }
    plan, reasons = build_plan(fingerprint(name="a: b # c"), settings, 600.0)
    path = save_plan(plan, tmp_path / "plan.yaml", reasons)
    assert load_plan(path) == plan
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    assert len(lines) == len(Plan.model_fields)
    assert all("  # " in line for line in lines)
    rule = "# rule: the images have 224 pixels; 48 is what a CPU learns most from"
    assert f"image_size: 48  {rule} while a budget runs" in lines
    assert "seed: 0  # fixed: every random draw follows from it" in lines
    kinds = {line.split("  # ")[1].split(":")[0] for line in lines}
    assert kinds == {"fixed", "rule", "yours"}


def test_a_plan_file_may_be_partial(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("network: resnet34\nbudget_seconds: 10m\nepochs: 7\n", encoding="utf-8")
    plan, reasons = make_plan(fingerprint(), path=path, settings={"epochs": 3})
    assert (plan.network, plan.budget_seconds, plan.epochs) == ("resnet34", 600.0, 3)
    assert plan.image_size == 64
    assert reasons["network"] == "yours: from the plan file"
    assert reasons["epochs"] == "yours: set by the user"


def test_a_whole_plan_file_repeats_the_plan_on_other_data(tmp_path: Path) -> None:
    plan, reasons = build_plan(fingerprint(name="oct"))
    path = save_plan(plan, tmp_path / "plan.yaml", reasons)
    assert make_plan(fingerprint(n_train=10, channels=3), path=path)[0] == plan


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"netwrok": "resnet18"}, "no hyperparameter 'netwrok'. Did you mean \"network\"?"),
        ({"epochs": 0}, "epochs should be greater than or equal to 1, got 0"),
        ({"epochs": "many"}, "epochs should be a valid integer.*'many'"),
        ({"epochs": True}, "epochs is no switch, got true"),
        ({"optimiser": "adam"}, 'optimiser should be .*Did you mean "adamw"'),
        ({"dropout": 1.0}, "dropout should be less than 1"),
        ({"learning_rate": float("nan")}, "learning_rate should be"),
        ({"fractions": [0.5, 0.1, 0.1]}, "fractions must add up to 1, got 0.5"),
        ({"fractions": [0.5, 0.5]}, "fractions"),
        ({"mean": [0.1, 0.2], "channels": 3}, "mean must hold one value or one for each of the 3"),
        (
            {"network": "vgg11", "blocks": [{"channels": 4}]},
            "blocks belong to the network plain only.*blocks=\\[]",
        ),
        ({"network": "plain", "blocks": [{"chanels": 4}]}, 'Did you mean "channels"'),
        ({"optimiser": "sgd", "momentum": 0.0}, "nesterov needs a momentum"),
    ],
)
def test_mistakes_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message.replace("?", r"\?")):
        build_plan(fingerprint(), settings)


def test_apply_settings_checks_the_whole() -> None:
    plan = Plan()
    assert apply_settings(plan, {}) == plan
    assert apply_settings(plan, {"budget_seconds": "2m"}).budget_seconds == 120.0
    with pytest.raises(PlanError, match="seeed"):
        apply_settings(plan, {"seeed": 1})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"netwrok: resnet18\n", "Did you mean"),
        (b"- a\n- b\n", "must hold lines of KEY: VALUE, got list"),
        (b"", "must hold lines of KEY: VALUE"),
        (b"a: [1,\n", "is not YAML"),
        (b"\xff\xfe\x00\x01", "is not"),
        (b"seed: !!python/object/apply:os.system ['true']\n", "is not YAML"),
        (b"# " + b"x" * 2**20, "larger than a plan can be"),
    ],
)
def test_a_bad_plan_file_is_one_plain_message(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_bytes(content)
    with pytest.raises(PlanError, match=message):
        load_plan(path)


def test_no_such_plan_file(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="cannot be read, got No such file"):
        load_plan(tmp_path / "nothing.yaml")


def test_settings_are_yaml() -> None:
    texts = ["learning_rate=1e-3", "nesterov=false", "fractions=[0.6, 0.2, 0.2]", "weights=null"]
    plan, _ = build_plan(fingerprint(), parse_overrides(texts))
    assert (plan.learning_rate, plan.nesterov, plan.weights) == (1e-3, False, None)
    assert plan.fractions == (0.6, 0.2, 0.2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs", "KEY=VALUE"),
        ("=3", "KEY=VALUE"),
        ("epocs=3", "Did you mean"),
        ("mean=[1", "YAML"),
    ],
)
def test_bad_settings(text: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        parse_overrides([text])


@given(st.integers(1, 10**5))
def test_budgets_round_trip(seconds: int) -> None:
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    assert parse_budget(f"{hours}h{minutes}m{rest}s") == parse_budget(str(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5", "10x", "ten", "0m", "1m2h"])
def test_bad_budgets(text: str) -> None:
    with pytest.raises(UsageError, match="A budget is a time above 0"):
        parse_budget(text)


def test_no_batch_of_one_image() -> None:
    for n in range(2, 200):
        for batch_size in (2, 3, 16, 32):
            assert n // steps_per_epoch(n, batch_size) >= 2
    assert steps_per_epoch(5, 1) == 5


def test_the_comment_never_breaks_the_yaml(tmp_path: Path) -> None:
    path = save_plan(Plan(weights="a: #b.pth"), tmp_path / "plan.yaml", {"seed": "x: y # z"})
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["weights"] == "a: #b.pth"


def affordable(images_per_second: float, budget: float, n_train: int = 700) -> tuple[int, int]:
    """Candidates and members of a plan on a machine of this speed."""
    machine = {"images_per_second": images_per_second}
    plan, reasons = build_plan(fingerprint(machine=machine, n_train=n_train), {}, budget)
    assert "measured" in reasons["members"]
    return plan.candidates, plan.members


def test_more_time_becomes_more_networks_and_of_many_images_a_race() -> None:
    # 22 steps of 32 images an epoch: a training of enough steps takes 600 steps, 19,200 images
    assert affordable(100, 60) == (1, 1)
    assert affordable(100, 192 * 3.5) == (1, 3)
    assert affordable(100, 192 * 8) == (1, 5)
    assert affordable(100, 192 * 1000) == (1, 5)
    assert affordable(1000, 19.2 * 3.5) == (1, 3)
    # 75 steps of 32 of 2,400 images: 8 epochs, as many images
    assert affordable(100, 192 * 39, n_train=2400) == (1, 5)
    assert affordable(100, 192 * 41, n_train=2400) == (4, 5)
    assert affordable(100, 192 * 81, n_train=2400) == (6, 5)
    assert affordable(1000, 192 * 30, n_train=2400) == (6, 5)
    # 8 epochs of 70,000 images are more than 600 steps
    assert affordable(1000, 8 * 70 * 3.5, n_train=70_000) == (1, 3)


def test_without_a_budget_one_network_is_trained() -> None:
    assert planned("members") == 1
    assert planned("candidates") == 1
    assert planned("members", {"members": 4}) == 4


def test_five_networks_share_out_train_and_validation() -> None:
    many = {"fewest_patients": 30}
    assert planned("ensemble_of", {"members": 5}, **many) == "folds"
    assert planned("ensemble_of", {"members": 4}, **many) == "seeds"
    assert planned("ensemble_of", {"members": 5, "distil": True}, **many) == "seeds"
    assert planned("ensemble_of", {"members": 5}, validation_given=True, **many) == "seeds"
    assert planned("ensemble_of", {"members": 5}, fewest_patients=9) == "seeds"
    assert planned("ensemble_of", {"members": 1}, **many) == "seeds"
    assert planned("members", {"ensemble_of": "folds"}, **many) == 5
    assert planned("members", {"ensemble_of": "folds"}, fewest_patients=4) == 4
    assert planned("ensemble_of", {"members": 5}, fewest_patients=10) == "folds"
    assert planned("members", {"ensemble_of": "folds"}) == 5
    with pytest.raises(PlanError, match=r"distil=true.*ensemble_of=seeds"):
        build_plan(fingerprint(), {"ensemble_of": "folds", "members": 3, "distil": True})


def test_pretrained_weights_are_preferred_where_they_lie_here() -> None:
    here = {"machine": {"pretrained": ("resnet18",)}}
    plan, reasons = build_plan(fingerprint(**here))
    assert (plan.network, plan.weights, plan.small_stem) == ("resnet18", "imagenet", False)
    assert plan.first_layer_rate == 1.0
    assert "lie on this machine" in reasons["weights"]
    plan, reasons = build_plan(fingerprint())
    assert plan.weights is None
    assert "--weights" in reasons["weights"]
    assert planned("weights", {"network": "plain"}, **here) is None
    assert planned("weights", {"network": "resnet34"}, **here) is None
    assert planned("weights", {"weights": None}, **here) is None
    assert planned("weights", median_height=28, median_width=28, **here) is None
    _, reasons = build_plan(fingerprint(**here), {"network": "plain"})
    assert "network=resnet18 has some" in reasons["weights"]


def test_augmentation_is_as_strong_as_images_are_seen_often() -> None:
    assert planned("augmentation_strength", n_train=700) == 1.0
    assert planned("augmentation_strength", {"epochs": 15}, n_train=700) == 0.5
    assert planned("augmentation_strength", {"epochs": 2}, n_train=700) == 0.25
    machine = {"machine": {"images_per_second": 100.0}}
    assert planned("augmentation_strength", {"budget_seconds": 105.0}, **machine) == 0.5
    shared = {"budget_seconds": 420.0, "members": 4, "candidates": 1}
    assert planned("augmentation_strength", shared, **machine) == 0.5
    assert planned("augmentation_strength", {"augmentation_strength": 2.0}) == 2.0
