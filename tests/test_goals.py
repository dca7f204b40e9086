"""Goals: which class, of which target, and which number of the output it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pellucid.bundle import Bundle
from pellucid.errors import UsageError
from pellucid.explanation.goals import (
    Goal,
    check_pixels,
    find_goal,
    find_target,
    goal_score,
    goal_scores,
    goals_of_each,
    predicted_goals,
)
from pellucid.images.preprocessing import Preprocessing
from pellucid.network.classifier import NetworkSpec, build_classifier
from pellucid.outputs import probabilities_from_logits
from pellucid.prediction import predict_logits
from pellucid.task import Target, Task

BINARY = Target(name="label", classes=("normal", "pneumonia"))
TWO = Target(name="view", classes=("ap", "pa"), n_logits=2)
FOUR = Target(name="kind", classes=("CNV", "DME", "DRUSEN", "NORMAL"))
TASK = Task(targets=(BINARY, TWO, FOUR))
LOGITS = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [-1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0]])


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        (Goal("label", "pneumonia"), [1.0, -1.0]),
        (Goal("label", "normal"), [-1.0, 1.0]),
        (Goal("view", "ap"), [2.0, 0.0]),
        (Goal("view", "pa"), [3.0, 0.0]),
        (Goal("kind", "CNV"), [4.0, 0.0]),
        (Goal("kind", "NORMAL"), [7.0, 9.0]),
    ],
)
def test_the_score_is_the_classes_own_logit(goal, expected):
    assert goal_score(LOGITS, TASK, goal).tolist() == expected


def test_the_positive_class_has_the_logit_whichever_it_is_by_name():
    task = Task(targets=(Target(name="label", classes=("a", "b"), positive="a"),))
    assert goal_score(torch.tensor([[2.0]]), task, Goal("label", "a")).item() == 2
    assert goal_score(torch.tensor([[2.0]]), task, Goal("label", "b")).item() == -2


def test_each_image_can_have_its_own_goal():
    goals = [Goal("kind", "DRUSEN"), Goal("label", "normal")]
    assert goal_scores(LOGITS, TASK, goals).tolist() == [6.0, 1.0]


def test_goals_by_name():
    assert find_goal(TASK, "kind", "DME") == Goal("kind", "DME")
    assert find_goal(TASK, "label") == Goal("label", "pneumonia")
    assert find_goal(Task(targets=(BINARY,))) == Goal("label", "pneumonia")
    assert find_target(Task(targets=(FOUR,))) is FOUR


@pytest.mark.parametrize(
    ("target", "label", "message"),
    [
        (None, None, r"one must be named, got none\. Known: label, view, kind"),
        ("labels", None, "Unknown target, got 'labels'. Did you mean \"label\""),
        ("kind", None, "4 classes: one must be named, got none. Known: CNV"),
        ("kind", "DRUSE", "Unknown class of target 'kind', got 'DRUSE'. Did you mean \"DRUSEN\""),
        ("label", "CNV", "Known: normal, pneumonia"),
    ],
)
def test_an_unknown_goal_is_answered_with_what_there_is(target, label, message):
    with pytest.raises(UsageError, match=message):
        find_goal(TASK, target, label)


def test_one_goal_for_all_or_one_each():
    goal = Goal("kind", "DME")
    assert goals_of_each(TASK, goal, 3) == (goal,) * 3
    assert goals_of_each(TASK, [goal, Goal("view", "ap")], 2) == (goal, Goal("view", "ap"))
    for goals in ([goal], [], [goal] * 4):
        with pytest.raises(UsageError, match=rf"one for each of 3, got {len(goals)}"):
            goals_of_each(TASK, goals, 3)
    with pytest.raises(UsageError, match="Unknown class"):
        goals_of_each(TASK, [goal, Goal("kind", "dme")], 2)
    with pytest.raises(UsageError, match=r"A goal is a Goal\(target, label\), got 'kind'"):
        goals_of_each(TASK, ["kind", "DME"], 2)  # type: ignore[list-item]


@pytest.mark.parametrize("target", TASK.names)
def test_the_predicted_class_is_the_likeliest_and_modes_stay(target):
    spec = NetworkSpec(name="plain", channels=1, image_size=16)
    classifier = build_classifier(spec, TASK, seed=3).train()
    bundle = Bundle(classifier, spec, TASK, Preprocessing(image_size=16, channels=1), {})
    pixels = np.random.default_rng(0).integers(0, 256, (8, 1, 16, 16), dtype=np.uint8)
    goals = predicted_goals(bundle, pixels, target)
    assert all(module.training for module in classifier.modules())
    logits = predict_logits(classifier, pixels, bundle.preprocessing)
    asked = find_target(TASK, target)
    p = probabilities_from_logits(logits[:, TASK.slices()[target]], asked)
    assert goals == [Goal(target, asked.classes[code]) for code in p.argmax(axis=1)]


def test_equally_likely_means_positive():
    task = Task(targets=(BINARY,))
    spec = NetworkSpec(name="plain", channels=1, image_size=16)
    classifier = build_classifier(spec, task)
    for parameter in classifier.heads.parameters():
        torch.nn.init.zeros_(parameter)
    bundle = Bundle(classifier, spec, task, Preprocessing(image_size=16, channels=1), {})
    goals = predicted_goals(bundle, np.zeros((1, 1, 16, 16), dtype=np.uint8))
    assert goals == [Goal("label", "pneumonia")]


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (np.zeros((2, 1, 16, 15), np.uint8), r"\(2, 1, 16, 15\)"),
        (np.zeros((2, 3, 16, 16), np.uint8), r"\(2, 3, 16, 16\)"),
        (np.zeros((1, 16, 16), np.uint8), r"\(1, 16, 16\)"),
        (np.zeros((2, 1, 16, 16), np.float32), "float32"),
        (np.zeros((0, 1, 16, 16), np.uint8), "no image"),
        ([[1, 2]], "list"),
    ],
)
def test_pixels_that_are_not_this_networks_are_refused(pixels, found):
    spec = NetworkSpec(name="plain", channels=1, image_size=16)
    with pytest.raises(UsageError, match=rf"uint8 \(n, 1, 16, 16\), got {found}"):
        check_pixels(pixels, spec)
