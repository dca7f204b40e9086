"""Ensembles: the mean of their members' logits, looked at as any classifier is."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from attribution_cases import make_bundle
from cli import pellucid
from pellucid import pipeline
from pellucid.bundle import load_bundle, save_bundle
from pellucid.bundle.files import sign
from pellucid.data.index import read_dataset
from pellucid.errors import BundleError, UsageError
from pellucid.explanation.anatomy import anatomy
from pellucid.explanation.attribution.grad_cam import default_layer, grad_cam
from pellucid.explanation.faithfulness.randomisation import stage_tensors
from pellucid.explanation.filters import filters
from pellucid.explanation.goals import Goal, goal_scores
from pellucid.explanation.layers import (
    LOGITS,
    POOLED,
    capture,
    capture_members,
    find_modules,
    stages,
)
from pellucid.explanation.walk import walk
from pellucid.network.classifier import NetworkSpec, build_classifier, join
from pellucid.prediction import predict_logits
from pellucid.prediction.engines import open_engine
from pellucid.progress import Progress
from pellucid.training import loop
from pellucid.training.checkpoint import load_best
from pellucid.training.distillation import build_distance
from pellucid.training.hyperparameters import Plan
from pellucid.training.members import LEAST_SHARE, member_plan
from pictures import NETWORK_ALONE, PATTERN, QUICK, draw_folder

NETWORKS = ("plain", "vgg11", "resnet18", "timm:resnet10t")


def joined(name, size=32, n=3):
    """An ensemble of random networks and its members, as bundles of one task."""
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    bundle = make_bundle(name, size=size)
    members = [
        build_classifier(bundle.spec, bundle.task, seed=seed).eval() for seed in range(7, 7 + n)
    ]
    ensemble = join(members)
    return replace(bundle, classifier=ensemble, spec=ensemble.spec), members


def images(bundle, n=4):
    shape = (n, bundle.spec.channels, bundle.spec.image_size, bundle.spec.image_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NETWORKS)
def test_its_logits_are_the_mean_of_its_members(name):
    bundle, members = joined(name)
    x = images(bundle)
    with torch.no_grad():
        expected = torch.stack([member(x) for member in members]).mean(dim=0)
        assert torch.allclose(bundle.classifier(x), expected, atol=1e-5)
    assert bundle.spec.members == 3


def test_one_network_alone_is_no_ensemble():
    _, members = joined("plain")
    assert join(members[:1]) is members[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_layer_is_that_of_all_members_side_by_side(name):
    bundle, members = joined(name)
    x = images(bundle)
    names = stages(bundle.classifier, bundle.spec)
    assert names == stages(members[0], members[0].spec)
    together = capture(bundle.classifier, x, [*names, POOLED])
    alone = [capture(member, x, [*names, POOLED]) for member in members]
    for stage in (*names, POOLED):
        parts = torch.cat([outputs[stage] for outputs in alone], dim=1)
        assert torch.allclose(together[stage], parts, atol=1e-5)
    middle = names[1]
    one = capture(bundle.classifier, x, [f"members.2.{middle}"])[f"members.2.{middle}"]
    assert torch.allclose(one, alone[2][middle], atol=1e-5)
    with pytest.raises(UsageError, match="no such layer"):
        find_modules(bundle.classifier, "members.3.layer1")


def test_grad_cam_adds_the_members_maps():
    bundle, members = joined("resnet18", size=64)
    x, task = images(bundle), bundle.task
    goals = [Goal(task.targets[0].name, task.targets[0].classes[-1])] * len(x)
    layer = default_layer(bundle.classifier)
    whole, scores = grad_cam(bundle.classifier, x, goals, layer)
    outputs = [capture_members(m, x, [layer, LOGITS], gradients=True) for m in members]
    mean = torch.stack([each[LOGITS][0] for each in outputs]).mean(dim=0)
    maps = [each[layer][0] for each in outputs]
    gradients = torch.autograd.grad(goal_scores(mean, task, goals).sum(), maps)
    parts = [
        (gradient.mean(dim=(2, 3), keepdim=True) * own).sum(dim=1, keepdim=True)
        for gradient, own in zip(gradients, maps, strict=True)
    ]  # equations 1 and 2 of the paper, a member, without the ReLU
    coarse = torch.relu(sum(parts)).detach()
    fine = torch.nn.functional.interpolate(coarse, x.shape[2:], mode="bilinear")[:, 0]
    assert torch.allclose(whole, fine, atol=1e-5 * float(fine.max()))
    assert torch.allclose(scores, goal_scores(mean, task, goals).detach(), atol=1e-5)
    assert fine.max() > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_randomising_its_stages_reaches_every_weight_once(name):
    bundle, _ = joined(name)
    groups = stage_tensors(bundle.classifier)
    names = [name for group in groups.values() for name in group]
    assert sorted(names) == sorted(bundle.classifier.state_dict())
    last = next(name for name in groups if name != "head")
    assert {name.split(".")[2] for name in groups[last]} == {"0", "1", "2"}


def test_its_anatomy_is_one_members_with_a_row_for_the_others():
    bundle, members = joined("resnet18", size=64)
    whole, one = anatomy(bundle), anatomy(members[0])
    assert whole.parameters == sum(p.numel() for p in bundle.classifier.parameters())
    assert whole.multiply_adds == 3 * one.multiply_adds
    assert len(whole.rows) == len(one.rows) + 1
    text = whole.describe()
    assert "(3 × resnet18)" in text
    assert "2 more of these" in text


def test_its_walk_adds_up_to_its_logits():
    bundle, members = joined("plain")
    size = bundle.spec.image_size
    shape = (bundle.spec.channels, size, size)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    walked = walk(bundle, pixels)
    assert len(walked.pooled) == 3 * members[0].backbone.n_features
    for part in walked.logits:
        assert part.total == pytest.approx(part.logit, abs=1e-4)
    assert len(filters(bundle).weights) == 3 * len(members[0].backbone[0].conv.weight)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_kept_and_loaded_as_a_bundle(tmp_path, name):
    bundle, _ = joined(name)
    save_bundle(tmp_path / "model", bundle)
    loaded = load_bundle(tmp_path / "model")
    x = images(bundle)
    with torch.no_grad():
        assert torch.equal(loaded.classifier(x), bundle.classifier(x))
    assert loaded.spec.members == 3


def test_a_card_of_more_networks_than_there_are_weights_is_refused_at_once(tmp_path):
    bundle, _ = joined("resnet18")
    path = save_bundle(tmp_path / "model", bundle) / "card.json"
    card = json.loads(path.read_text())
    card["network"]["members"] = 64
    path.write_text(json.dumps(sign(card)))
    with pytest.raises(BundleError, match="too few for the network of the card"):
        load_bundle(tmp_path / "model")


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_it_is_computed_by_other_engines_like_any_network(tmp_path, engine):
    if find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")
    bundle, _ = joined("plain")
    shape = (4, bundle.spec.channels, bundle.spec.image_size, bundle.spec.image_size)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    found = open_engine(bundle, engine).compute(pixels)
    expected = predict_logits(bundle.classifier, pixels, bundle.preprocessing)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_each_member_has_its_own_seed_and_its_share_of_the_time():
    plan = Plan(members=3, budget_seconds=90, seed=5)
    first, second = member_plan(plan, 1), member_plan(plan, 2, spent=20)
    assert (first.seed, first.members, first.budget_seconds) == (5, 1, 30)
    assert second.budget_seconds == 35  # the first left ten seconds to the two
    assert len({member_plan(plan, number).seed for number in (1, 2, 3)}) == 3
    assert member_plan(plan, 3, spent=200).budget_seconds == LEAST_SHARE * 90
    assert member_plan(Plan(members=2), 2).budget_seconds is None


def test_a_spec_without_members_is_one_network():
    assert NetworkSpec(name="plain", channels=1, image_size=28).members == 1


def test_the_distance_is_the_mean_squared_difference_of_logits():
    _, members = joined("plain")
    plan = Plan(image_size=32, precision="float32", device="cpu")
    x = images(make_bundle("plain", size=32))
    distance = build_distance(members[0], plan, torch.device("cpu"))
    logits = members[1](x)
    expected = (logits - members[0](x)).square().mean()
    torch.testing.assert_close(distance(logits, x), expected)
    distance(logits, x).backward()
    assert all(weight.grad is None for weight in members[0].parameters())
    assert any(weight.grad is not None for weight in members[1].parameters())
    assert build_distance(None, plan, torch.device("cpu"))(logits, x) == 0.0


SEEDS = {"ensemble_of": "seeds"}  # those of folds have tests of their own


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = draw_folder(tmp_path_factory.mktemp("images"))
    return read_dataset(folder, patient_pattern=PATTERN)


def train(dataset, out, **settings):
    progress = Progress(quiet=True)
    return pipeline.train(
        dataset,
        out,
        settings={**QUICK, "calibration": "none", **SEEDS, **settings},
        progress=progress,
        **NETWORK_ALONE,
    )


def test_a_run_of_several_networks_keeps_each_and_joins_them(tmp_path, dataset):
    run = train(dataset, tmp_path / "run", members=3)
    bundle = load_bundle(run.folder)
    assert bundle.spec.members == 3
    assert run.history_path.read_text() == (run.member(1) / "history.csv").read_text()
    assert run.facts["training"]["members"] == 3
    spec = bundle.spec.model_copy(update={"members": 1})
    x, logits = images(bundle), []
    for number in (1, 2, 3):
        member = build_classifier(spec, bundle.task)
        load_best(member, run.member(number))
        with torch.no_grad():
            logits.append(member.eval()(x))
    assert not torch.allclose(logits[0], logits[1])
    with torch.no_grad():
        mean = torch.stack(logits).mean(dim=0)
        torch.testing.assert_close(bundle.classifier(x), mean, atol=1e-5, rtol=1e-4)
    first = train(dataset, tmp_path / "alone", members=1)
    with torch.no_grad():
        torch.testing.assert_close(load_bundle(first.folder).classifier(x), logits[0])
    text = run.report_path.read_text()
    assert "3 networks were trained in " in text
    assert "(3 × plain)" in text


def test_an_ensemble_interrupted_goes_on(tmp_path, dataset, monkeypatch):
    whole = train(dataset, tmp_path / "whole", members=3)
    real, calls = loop.train, []

    def interrupted(*args, **kwargs):
        calls.append(args[1].seed)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(loop, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "run", members=3)
    run = pipeline.train(
        dataset,
        tmp_path / "run",
        settings={**QUICK, "calibration": "none", **SEEDS, "members": 3},
        resume=True,
        progress=Progress(quiet=True),
        **NETWORK_ALONE,
    )
    assert run.predictions_path("test").read_bytes() == whole.predictions_path("test").read_bytes()


def test_a_distilled_run_keeps_one_network_that_answers_as_the_ensemble(tmp_path, dataset):
    run = train(dataset, tmp_path / "run", members=2, distil=True, epochs=30, patience=30)
    bundle = load_bundle(run.folder)
    assert bundle.spec.members == 1
    assert run.history_path.read_text() == (run.member(3) / "history.csv").read_text()
    members = [build_classifier(bundle.spec, bundle.task).eval() for _ in range(2)]
    for number, member in enumerate(members, start=1):
        load_best(member, run.member(number))
    x = images(bundle, n=16) * 0.3
    with torch.no_grad():
        student = bundle.classifier(x)
        teacher = join(members)(x)
        between = (members[0](x) - members[1](x)).square().mean()
        assert (student - teacher).square().mean() < between
    assert "one more that learned to answer as they do" in run.report_path.read_text()


def test_the_command_line_distils(tmp_path):
    folder = draw_folder(tmp_path / "images")
    shown = pellucid("plan", str(folder), "--patient-pattern", PATTERN, "--distil")
    assert "members: 3  # rule: an ensemble is to be distilled" in shown.out
    assert "distil: true  # yours: set by the user" in shown.out
