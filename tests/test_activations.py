"""Activation curves: values by the formulas, slopes as differences give them."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.errors import UsageError
from pellucid.network.formulas import ACTIVATIONS
from pellucid.playground.activations import activation_curves, slopes


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_slopes_are_those_of_the_formulas(name: str) -> None:
    x = np.concatenate([np.linspace(-5.9, -0.05, 60), np.linspace(0.05, 5.9, 60)])
    step = 1e-6
    numeric = (ACTIVATIONS[name](x + step) - ACTIVATIONS[name](x - step)) / (2 * step)
    np.testing.assert_allclose(slopes(name, x), numeric, atol=1e-7)


def test_all_ten_stand_in_the_table_and_the_document() -> None:
    found = activation_curves()
    assert [curve.name for curve in found.curves] == list(ACTIVATIONS)
    assert all(name in found.describe() for name in ACTIVATIONS)
    assert len(found.to_json()["activations"]) == 10


def test_saturation_is_said_where_it_is() -> None:
    said = {curve.name: curve.saturation for curve in activation_curves().curves}
    nowhere = {"leaky_relu", "rrelu", "prelu", "identity"}
    assert {name for name, words in said.items() if words == "nowhere"} == nowhere
    assert said["sigmoid"] == "on both sides: slope < 0.01 beyond ±4.6"  # log 98.99 is 4.595
    assert said["relu"].startswith("below 0")
    assert said["celu"] == "below: slope < 0.01 from -4.6 down"  # e^-4.605 is 0.01
    assert said["gelu"].startswith("below: ")


def test_names_are_kept_once_and_in_order() -> None:
    found = activation_curves(["gelu", "relu", "gelu"])
    assert [curve.name for curve in found.curves] == ["gelu", "relu"]
    assert found.curves[1].at(2.0) == (pytest.approx(2.0), 1.0)
    with pytest.raises(UsageError, match='Did you mean "relu"'):
        activation_curves(["relo"])
