"""The command `features`: its pictures, its numbers, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from cli import pellucid
from explained_model import TWO_TARGETS, draw_image, tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return draw_image(tmp_path_factory.mktemp("image") / "one.png")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for seed in range(6):
        draw_image(folder / ("ill" if seed % 2 else "well") / f"{seed}.png", seed=seed)
    return folder


def test_without_a_layer_it_walks_from_edges_to_logits(model, image, tmp_path):
    answer = pellucid("features", model, image, "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "features.json",
        "filters.png",
        "walk.png",
    ]
    with Image.open(tmp_path / "out" / "walk.png") as picture:
        assert picture.width == 1400
    document = json.loads((tmp_path / "out" / "features.json").read_text(encoding="utf-8"))
    (logit,) = document["walk"]["logits"]
    assert logit["class"] == "ill"
    assert sum(logit["contributions"]) + logit["bias"] == pytest.approx(logit["logit"], abs=1e-5)
    assert str(tmp_path) not in json.dumps(document)


def test_a_layer_shows_its_strongest_maps(model, image, tmp_path):
    answer = pellucid(
        "features",
        model,
        image,
        "--layer",
        "0.norm",
        "--channels",
        3,
        "--json",
        "--out",
        tmp_path / "out",
    )
    document = json.loads(answer.out)
    assert document["maps"]["shape"] == [4, 16, 16]
    assert len(document["maps"]["strengths"]) == 3
    assert (tmp_path / "out" / "maps.png").is_file()
    assert "walk" not in document


def test_patches_and_a_made_picture_beside_real_images(model, image, data, tmp_path):
    answer = pellucid(
        "features",
        model,
        image,
        "--patches",
        data,
        "--maximise",
        "well",
        "--json",
        "--out",
        tmp_path / "out",
    )
    assert answer.code == 0, answer.err
    document = json.loads(answer.out)
    patches = document["patches"]
    assert (patches["layer"], patches["n_images"]) == ("1", 6)
    for found in patches["channels"].values():
        names = [patch["image_id"] for patch in found]
        values = [patch["activation"] for patch in found]
        assert len(set(names)) == len(names)
        assert values == sorted(values, reverse=True)
    reached = document["maximised"]["reached"]
    assert set(reached) == {"made picture", "this image", "strongest image", "noise at first"}
    assert np.isfinite(list(reached.values())).all()


def test_what_exists_is_kept_unless_overwriting_is_asked_for(model, image, tmp_path):
    answer = pellucid("features", model, image, "--layer", "0", "--out", tmp_path)
    assert answer.code == 2
    assert "--overwrite" in answer.err
    again = pellucid("features", model, image, "--layer", "0", "--out", tmp_path, "--overwrite")
    assert again.code == 0, again.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--layer", "layer9"), "stages are 0, 1"),
        (("--maximise", "healthy"), "Unknown class"),
        (("--maximise", "77"), "channels 0 to 5"),
        (("--patches", "nowhere"), "nowhere"),
    ],
)
def test_wrong_wishes_get_one_plain_message(model, image, tmp_path, options, words):
    answer = pellucid("features", model, image, *options, "--out", tmp_path / "out")
    assert answer.code == 2
    assert words in answer.err
    assert "Traceback" not in answer.err


def test_a_class_of_several_targets_is_named_with_its_target(image, tmp_path):
    model = tiny_model(tmp_path / "model", TWO_TARGETS)
    for wish, name in (("kind:b", "logit of b"), ("yes", "logit of yes")):
        answer = pellucid(
            "features", model, image, "--maximise", wish, "--json", "--out", tmp_path / name
        )
        assert json.loads(answer.out)["maximised"]["objective"] == name
    answer = pellucid("features", model, image, "--maximise", "z", "--out", tmp_path / "out")
    assert answer.code == 2
    assert "TARGET:CLASS" in answer.err
