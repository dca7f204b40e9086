"""The task, the output layers in NumPy, and the messages of errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid import errors
from pellucid.errors import CheckFailed, DataError, PellucidError, UsageError, did_you_mean
from pellucid.outputs import probabilities_from_logits
from pellucid.task import Target, Task, parse_merge

BINARY = Target(name="label", classes=("well", "ill"))
THREE = Target(name="grade", classes=("none", "mild", "severe"))


def test_two_classes_have_one_logit_or_two() -> None:
    assert BINARY.n_logits == 1
    assert Target(name="label", classes=("well", "ill"), n_logits=2).n_logits == 2
    assert THREE.n_logits == 3
    with pytest.raises(UsageError, match="cannot have 1 logits"):
        Target(name="grade", classes=("none", "mild", "severe"), n_logits=1)


def test_the_positive_class_stands_last() -> None:
    assert (BINARY.positive, BINARY.positive_source) == ("ill", "default")
    turned = Target(name="label", classes=("ill", "well"), positive="ill", positive_source="user")
    assert turned.classes == ("well", "ill")
    assert THREE.positive is None


def test_wrong_targets() -> None:
    with pytest.raises(DataError, match="at least two classes, got only 'ill'"):
        Target(name="label", classes=("ill",))
    with pytest.raises(DataError, match="at least two classes, got none"):
        Target(name="label", classes=())
    with pytest.raises(DataError, match="must differ"):
        Target(name="label", classes=("ill", "ill", "well"))
    with pytest.raises(UsageError, match=r"got 'il'\. Did you mean .ill."):
        Target(name="label", classes=("well", "ill"), positive="il")
    with pytest.raises(UsageError, match="Only a target of two classes has a positive class"):
        Target(name="grade", classes=THREE.classes, positive="mild")


def test_outputs_stand_side_by_side() -> None:
    task = Task(targets=(BINARY, THREE))
    assert task.names == ("label", "grade")
    assert task.n_logits == 4
    assert task.slices() == {"label": slice(0, 1), "grade": slice(1, 4)}


def test_a_task_survives_json() -> None:
    task = Task(targets=(BINARY, THREE), merge={"ill": ("benign", "malignant")})
    assert Task.model_validate_json(task.model_dump_json()) == task
    assert Task.model_validate(task.model_dump(mode="json")) == task


def test_merges() -> None:
    assert parse_merge(["normal_benign = normal + benign", "x=y"]) == {
        "normal_benign": ("normal", "benign"),
        "x": ("y",),
    }
    assert parse_merge([]) == {}


@pytest.mark.parametrize("text", ["normal+benign", "=a+b", "x=", "x=+", ""])
def test_a_merge_written_wrongly(text: str) -> None:
    with pytest.raises(UsageError, match=r"A merge is written NEW=OLD\+OLD, got"):
        parse_merge([text])


def test_a_class_merges_once() -> None:
    with pytest.raises(UsageError, match="named once, got 'x'"):
        parse_merge(["x=a", "x=b"])
    with pytest.raises(UsageError, match="'a' in both 'x' and 'y'"):
        parse_merge(["x=a+b", "y=a+c"])


def test_one_logit_is_the_log_odds_of_the_positive_class() -> None:
    logits = np.array([[-1000.0], [0.0], [np.log(3)], [1000.0]])
    found = probabilities_from_logits(logits, BINARY)
    assert np.allclose(found, [[1, 0], [0.5, 0.5], [0.25, 0.75], [0, 1]])


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=2))
def test_two_logits_are_softmax(logits: list[float]) -> None:
    two = Target(name="label", classes=("well", "ill"), n_logits=2)
    found = probabilities_from_logits(np.array([logits]), two)
    one = probabilities_from_logits(np.array([[logits[1] - logits[0]]]), BINARY)
    assert np.allclose(found, one)
    assert np.isclose(found.sum(), 1)


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), st.floats(-1e3, 1e3))
def test_softmax_is_stable_and_blind_to_a_shift(logits: list[float], shift: float) -> None:
    z = np.array([logits], dtype=np.float64)
    found = probabilities_from_logits(z, THREE)
    assert np.isfinite(found).all()
    assert np.isclose(found.sum(), 1)
    assert np.allclose(found, probabilities_from_logits(z + shift, THREE), atol=1e-6)


def test_float32_logits_become_float64_probabilities() -> None:
    found = probabilities_from_logits(np.zeros((2, 3), np.float32), THREE)
    assert found.dtype == np.float64
    assert found.shape == (2, 3)


def test_a_message_is_rule_value_remedy() -> None:
    error = PellucidError("Probability must be in [0, 1]", "1.3", "Give probabilities.")
    assert str(error) == "Probability must be in [0, 1], got 1.3. Give probabilities."
    assert str(PellucidError("Nothing was found")) == "Nothing was found."
    assert str(PellucidError("Why?", remedy="Look here")) == "Why? Look here."


def test_every_error_is_one_of_ours_with_its_exit_code() -> None:
    classes = [thing for thing in vars(errors).values() if isinstance(thing, type)]
    assert len(classes) == 13
    assert all(issubclass(thing, PellucidError) for thing in classes)
    codes = {thing.__name__: thing.exit_code for thing in classes}
    assert codes.pop("CheckFailed") == CheckFailed.exit_code == 1
    assert set(codes.values()) == {2}


def test_did_you_mean() -> None:
    assert did_you_mean("epoch", ["epochs", "seed"]) == 'Did you mean "epochs"?'
    assert did_you_mean("xyz", ["epochs", "seed"]) == "Known: epochs, seed."
