"""Early stopping on the history, and the ctrl-C that waits for the end of a step."""

from __future__ import annotations

import math
import signal
import threading
from dataclasses import dataclass

import pytest

from pellucid.training.stopping import Interruption, best_epoch, is_exhausted


@dataclass
class Row:
    validation_metric: float
    validation_loss: float = 1.0


def test_the_highest_metric_is_best() -> None:
    assert best_epoch([Row(0.6), Row(0.9), Row(0.8)]) == 1


def test_ties_go_to_the_lower_loss_then_to_the_first() -> None:
    assert best_epoch([Row(0.9, 0.5), Row(0.9, 0.3), Row(0.9, 0.3)]) == 1


def test_an_undefined_metric_leaves_the_choice_to_the_loss() -> None:
    nan = math.nan
    assert best_epoch([Row(nan, 0.5), Row(nan, 0.2), Row(nan, nan)]) == 1
    assert best_epoch([Row(nan, 0.1), Row(0.4, 2.0)]) == 1


def test_no_epoch_has_no_best() -> None:
    with pytest.raises(ValueError, match="empty"):
        best_epoch([])


def test_patience_counts_epochs_since_the_best() -> None:
    rows = [Row(0.5), Row(0.9), Row(0.8), Row(0.7)]
    assert is_exhausted(rows, 2)
    assert not is_exhausted(rows, 3)
    assert not is_exhausted([*rows, Row(0.95)], 2)
    assert not is_exhausted([], 1)


def test_an_equal_epoch_does_not_renew_the_patience() -> None:
    assert is_exhausted([Row(1.0), Row(1.0), Row(1.0)], 2)


def test_the_first_signal_is_noted_and_the_second_breaks() -> None:
    former = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        assert not interruption.asked
        signal.raise_signal(signal.SIGINT)
        assert interruption.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is former


def test_handlers_are_put_back_after_an_error() -> None:
    former = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError, match="x"), Interruption():
        raise RuntimeError("x")
    assert signal.getsignal(signal.SIGTERM) is former


def test_outside_the_main_thread_it_is_harmless() -> None:
    seen: list[bool] = []

    def work() -> None:
        with Interruption() as interruption:
            seen.append(interruption.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
