"""What is said of one image: the class at an operating point, the classes in question, its map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from explained_model import BINARY, TWO_TARGETS, tiny_bundle
from pellucid.bundle import Bundle, save_bundle
from pellucid.errors import UsageError
from pellucid.evaluation.judged import Judged
from pellucid.evaluation.probabilities.prediction_sets import prediction_sets
from pellucid.explanation.attribution.grad_cam import grad_cam
from pellucid.explanation.goals import Goal
from pellucid.explanation.layers import stages
from pellucid.images.preprocessing import Preprocessing
from pellucid.network.classifier import build_classifier, join, normalise
from pellucid.network.spec import NetworkSpec
from pellucid.prediction.class_map import class_map, enlarge, head_weights
from pellucid.prediction.decisions import choose_point, classes_in_question, decide
from pellucid.prediction.engines import open_engine
from pellucid.task import Target, Task

TARGET = BINARY.targets[0]
THREE = Target(name="kind", classes=("a", "b", "c"))


def point(name: str, threshold: float) -> dict[str, object]:
    return {"name": name, "threshold": threshold, "wanted": None, "chosen_on": "validation"}


CARD = {
    "operating_points": {TARGET.name: [point("youden", 0.3), point("sensitivity", 0.1)]},
    "prediction_sets": {
        "kind": [{"promised": 0.9, "threshold": 0.3}, {"promised": 0.95, "threshold": 0.0}]
    },
}


def test_youdens_point_decides_unless_another_is_asked_for() -> None:
    assert decide(TARGET, np.array([0.7, 0.3]), choose_point(CARD, TARGET)) == (
        "ill",
        "youden",
        0.3,
    )
    assert decide(TARGET, np.array([0.71, 0.29]), choose_point(CARD, TARGET)).called == "well"
    asked = choose_point(CARD, TARGET, "sensitivity")
    assert decide(TARGET, np.array([0.9, 0.1]), asked).called == "ill"
    half = choose_point(CARD, TARGET, "default")
    assert decide(TARGET, np.array([0.6, 0.4]), half) == ("well", "default", 0.5)
    assert choose_point({}, TARGET)["threshold"] == 0.5
    with pytest.raises(UsageError, match='Did you mean "youden"'):
        choose_point(CARD, TARGET, "yuden")


def test_of_several_classes_the_likeliest_is_called() -> None:
    assert choose_point(CARD, THREE, "youden") is None
    assert decide(THREE, np.array([0.2, 0.5, 0.3]), None) == ("b", None, None)


def test_classes_in_question_are_those_of_the_evaluation() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(400, 3)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    codes = np.array([generator.choice(3, p=row) for row in probabilities])

    def judged(split: str, rows: slice) -> Judged:
        table = pd.DataFrame({"image_id": [str(i) for i in range(200)]})
        table["patient_id"] = table["image_id"]
        return Judged(THREE, split, probabilities[rows], codes[rows], table)

    test = judged("test", slice(200, 400))
    sets = prediction_sets(test, judged("validation", slice(0, 200)))
    assert isinstance(sets, list)
    card = {"prediction_sets": {"kind": sets}}
    sizes = [
        [len(one["classes"]) for one in classes_in_question(card, THREE, row)]
        for row in test.probabilities
    ]
    for number, one in enumerate(sets):
        assert np.mean([size[number] for size in sizes]) == pytest.approx(one["mean_size"]["value"])
    assert classes_in_question({}, THREE, probabilities[0]) == []


def bundle_of(name: str, task: Task, members: int = 1) -> Bundle:
    spec = NetworkSpec(name=name, channels=1, image_size=64)
    classifier = join([build_classifier(spec, task, seed=seed) for seed in range(members)])
    with torch.no_grad():  # so that maps are not all zero after few layers
        for parameter in classifier.heads.parameters():
            parameter.mul_(3)
    preprocessing = Preprocessing(image_size=64, channels=1)
    return Bundle(classifier.eval(), classifier.spec, task, preprocessing, {})


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("name", ["plain", "resnet18", "vgg11"])
@pytest.mark.parametrize(
    "task", [BINARY, TWO_TARGETS, Task(targets=(TARGET.model_copy(update={"n_logits": 2}),))]
)
def test_class_maps_are_grad_cam_of_the_last_layer(
    tmp_path: Path, name: str, task: Task, members: int
) -> None:
    bundle = bundle_of(name, task, members)
    model = save_bundle(tmp_path / "model", bundle)
    pixels = np.random.default_rng(2).integers(0, 256, (1, 1, 64, 64), dtype=np.uint8)
    x = normalise(
        torch.from_numpy(pixels), bundle.preprocessing.mean, bundle.preprocessing.std
    ).requires_grad_()
    opened = open_engine(model, "onnxruntime")
    _, maps = opened.engine.compute_maps(pixels)
    weights = head_weights(opened)
    layer = stages(bundle.classifier, bundle.spec)[-1]
    for target in task.targets:
        for of_class in target.classes:
            expected, _ = grad_cam(bundle.classifier, x, [Goal(target.name, of_class)], layer)
            found = enlarge(class_map(target, weights[target.name], maps[0], of_class), 64)
            scale = max(float(expected.max()), 1e-9)
            np.testing.assert_allclose(found / scale, expected[0].numpy() / scale, atol=2e-3)


def test_heads_are_the_same_from_files_and_from_memory(tmp_path: Path) -> None:
    task = Task(targets=tuple(Target(name=n, classes=("0", "1")) for n in ("type", "a.b", "x%")))
    bundle = tiny_bundle(task)
    kept = head_weights(open_engine(save_bundle(tmp_path / "model", bundle), "onnxruntime"))
    held = head_weights(open_engine(bundle))
    assert list(held) == ["type", "a.b", "x%"]
    for name, weights in held.items():
        np.testing.assert_array_equal(kept[name], weights)


def test_a_map_of_an_unknown_class_is_refused() -> None:
    with pytest.raises(UsageError, match='Did you mean "ill"'):
        class_map(TARGET, np.zeros((1, 4), np.float32), np.zeros((4, 2, 2), np.float32), "il")
