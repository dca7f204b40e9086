"""`explain`: a page and a picture an image, safe names, and nothing lost or overwritten."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cli import pellucid
from explained_model import BINARY, SIDE, TWO_TARGETS, draw_image, tiny_bundle, tiny_model
from pellucid.errors import BundleError, UsageError
from pellucid.explaining import explain
from pellucid.explaining.one_image import Wish
from pellucid.explaining.places import default_folder, name_each, safe_name
from pellucid.progress import Progress
from pellucid.reporting.explaining.gallery_page import tile_key

QUIET = Progress(quiet=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def test_one_image_gets_a_page_and_a_picture(model: Path, tmp_path: Path) -> None:
    image = draw_image(tmp_path / "scan 1.png")

    done = explain(model, image, out=tmp_path / "out", progress=QUIET)

    assert sorted(path.name for path in done.written) == ["scan_1.html", "scan_1.png"]
    page = (tmp_path / "out" / "scan_1.html").read_text(encoding="utf-8")
    assert "<h1>scan 1.png</h1>" in page
    assert "Not a medical device" in page
    assert "From edges to disease" in page
    assert "relative weight, 1 = strongest" in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert str(tmp_path) not in page
    with Image.open(tmp_path / "out" / "scan_1.png") as picture:
        assert picture.width > picture.height / 2
    document = done.documents[0]
    assert document["image"] == str(image)
    assert document["maps"][0]["class"] == document["targets"][0]["called"]


def test_several_images_get_an_index_and_names_of_their_own(model: Path, tmp_path: Path) -> None:
    first = draw_image(tmp_path / "a" / "x.png")
    second = draw_image(tmp_path / "b" / "X.png", seed=1)

    done = explain(model, [first, second], out=tmp_path / "out", progress=QUIET)

    names = [path.name for path in done.written]
    assert names == ["x.png", "x.html", "X-2.png", "X-2.html", "index.html"]
    index = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert 'href="x.html"' in index
    assert 'href="X-2.html"' in index


def test_an_unreadable_image_is_set_aside_and_the_rest_explained(
    model: Path, tmp_path: Path
) -> None:
    good = draw_image(tmp_path / "good.png")
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")

    answer = pellucid("explain", model, good, bad, "--out", tmp_path / "out")

    assert answer.code == 1
    assert "bad.png" in answer.err
    assert "1 of the images could not be read" in answer.err
    assert (tmp_path / "out" / "good.html").is_file()
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "bad.png" in page
    assert str(tmp_path) not in page  # a page is mailed, and a folder may be a name


def test_json_is_one_document(model: Path, tmp_path: Path) -> None:
    image = draw_image(tmp_path / "x.png")

    answer = pellucid("explain", model, image, "--out", tmp_path / "out", "--json")

    assert answer.code == 0
    document = json.loads(answer.out)
    assert document["out"] == str(tmp_path / "out")
    assert len(document["written"]) == 2
    assert document["images"][0]["maps"][0]["method"] == "grad_cam"
    assert document["unreadable"] == []


def test_nothing_is_overwritten_unasked(model: Path, tmp_path: Path) -> None:
    image = draw_image(tmp_path / "x.png")
    explain(model, image, out=tmp_path / "out", progress=QUIET)
    (tmp_path / "out" / "x.html").write_text("mine")

    with pytest.raises(UsageError, match="exists"):
        explain(model, image, out=tmp_path / "out", progress=QUIET)
    assert (tmp_path / "out" / "x.html").read_text() == "mine"

    explain(model, image, out=tmp_path / "out", overwrite=True, progress=QUIET)
    assert (tmp_path / "out" / "x.html").read_text() != "mine"
    explain(model, draw_image(tmp_path / "y.png"), out=tmp_path / "out", progress=QUIET)


def test_every_target_is_explained_unless_one_is_named(tmp_path: Path) -> None:
    bundle = tiny_bundle(TWO_TARGETS)
    image = draw_image(tmp_path / "x.png")

    both = explain(bundle, image, out=tmp_path / "both", progress=QUIET)
    assert {entry["target"] for entry in both.documents[0]["maps"]} == {"opacity", "kind"}
    assert (tmp_path / "both" / "x-opacity.png").is_file()
    assert (tmp_path / "both" / "x-kind.png").is_file()

    one = explain(bundle, image, out=tmp_path / "one", label="b", progress=QUIET)
    assert [(m["target"], m["class"]) for m in one.documents[0]["maps"]] == [("kind", "b")]


def test_the_methods_stand_side_by_side(model: Path, tmp_path: Path) -> None:
    image = draw_image(tmp_path / "x.png")

    methods = ("grad_cam", "gradient_x_input", "grad_cam")
    done = explain(model, image, out=tmp_path / "o", methods=methods, progress=QUIET)

    assert [m["method"] for m in done.documents[0]["maps"]] == ["grad_cam", "gradient_x_input"]
    page = (tmp_path / "o" / "x.html").read_text(encoding="utf-8")
    assert "Gradient × input" in page
    assert "The methods ask different questions" in page


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": ("gradcam",)}, "Unknown method"),
        ({"label": "DME"}, "Unknown class"),
        ({"target": "labell"}, "Unknown target"),
        ({"layer": "layer9"}, "layer9"),
        ({"layer": "0", "methods": ("gradient_x_input",)}, "A layer is of Grad-CAM alone"),
        ({"baseline": "black"}, "Grad-CAM has no baseline"),
        ({"baseline": "2", "methods": ("gradient_x_input",)}, "baseline"),
        ({"masks": "masks"}, "belong to a split"),
        ({"limit": 3}, "belong to a split"),
        ({"split": "test"}, "Either images or a split"),
    ],
)
def test_wrong_wishes_are_refused_before_anything_is_written(
    model: Path, tmp_path: Path, options: dict[str, object], words: str
) -> None:
    image = draw_image(tmp_path / "x.png")
    with pytest.raises(UsageError, match=words):
        explain(model, image, out=tmp_path / "out", progress=QUIET, **options)
    assert not (tmp_path / "out").exists()


def test_neither_images_nor_a_model(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="got neither"):
        explain(model, progress=QUIET)
    with pytest.raises(BundleError, match="no model"):
        explain(tmp_path / "none", tmp_path / "x.png", progress=QUIET)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UsageError, match="is a file"):
        explain(model, draw_image(tmp_path / "x.png"), out=file, progress=QUIET)


def test_names_are_safe_and_different() -> None:
    assert safe_name("../../etc/passwd") == "etc_passwd"
    assert safe_name("nul") == "nul_"
    assert safe_name("index") == "index_"
    assert safe_name("ß☃") == "image"
    assert len(safe_name("x" * 500)) <= 80
    names = name_each(["a", "A", "a-2", "a"])
    assert len({name.lower() for name in names}) == 4
    assert default_folder(Path("runs/chest/bundle")) == Path("explanations/chest")


def test_a_name_with_markup_is_shown_as_text(model: Path, tmp_path: Path) -> None:
    image = draw_image(tmp_path / "<b>&x.png")
    done = explain(model, image, out=tmp_path / "out", progress=QUIET)
    assert "<h1>&lt;b&gt;&amp;x.png</h1>" in done.written[-1].read_text(encoding="utf-8")


def test_a_colour_network_takes_grey_and_colour(tmp_path: Path) -> None:
    grey, colour = draw_image(tmp_path / "grey.png"), tmp_path / "colour.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 30, 3), np.uint8)).save(colour)

    done = explain(tiny_bundle(channels=3), [grey, colour], out=tmp_path / "o", progress=QUIET)

    assert len(done.documents) == 2
    assert not done.unreadable


def test_all_means_every_method() -> None:
    assert len(Wish(methods=("all",)).check(tiny_bundle()).methods) == 4


def _run(folder: Path, split: str = "test") -> Path:
    """A run folder with a bundle, an index and images of one split."""
    tiny_model(folder / "bundle", BINARY)
    names = [f"{label}/p{number}.png" for label in ("well", "ill") for number in range(5)]
    for number, name in enumerate(names):
        draw_image(folder / "images" / name, seed=number, size=(SIDE, SIDE))
    table = pd.DataFrame(
        {
            "image_id": names,
            "image_path": [str(folder / "images" / name) for name in names],
            "frame": 0,
            "patient_id": [f"secret-{number}" for number in range(10)],
            "split": split,
            "label": [name.split("/")[0] for name in names],
        }
    )
    table.to_csv(folder / "index.csv", index=False)
    return folder


def test_a_split_gets_a_gallery_its_maps_and_tests(tmp_path: Path) -> None:
    run = _run(tmp_path / "run")
    for name in ("p0.png", "p1.png"):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[4:9, 3:8] = 255
        (tmp_path / "masks" / "ill").mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "masks" / "ill" / name)

    done = explain(
        run,
        split="test",
        limit=8,
        masks=tmp_path / "masks",
        out=tmp_path / "out",
        progress=QUIET,
    )

    assert [path.name for path in done.written] == ["maps.npz", "faithfulness.json", "index.html"]
    with np.load(tmp_path / "out" / "maps.npz", allow_pickle=False) as arrays:
        assert arrays["grad_cam_0"].shape == (8, SIDE, SIDE)
        assert len(arrays["image_ids"]) == len(arrays["logits_0"]) == 8
    tests = json.loads((tmp_path / "out" / "faithfulness.json").read_text())["targets"][0]
    assert tests["n"] == 8
    assert tests["n_masks"] >= 1
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "8 of 10 test images" in page
    assert "Do the maps hit the lesions?" in page
    assert "secret" not in page
    with pytest.raises(UsageError, match="exists"):
        explain(run, split="test", out=tmp_path / "out", progress=QUIET)


@pytest.mark.parametrize(
    ("split", "kind", "told"),
    [
        ("train", "seeds", "It has learned from these images"),
        ("validation", "seeds", None),
        ("train", "folds", "All of its networks but one have learned"),
        ("validation", "folds", "All of its networks but one have learned"),
        ("test", "folds", None),
    ],
)
def test_a_gallery_says_when_the_model_knows_its_images(
    tmp_path: Path, split: str, kind: str, told: str | None
) -> None:
    run = _run(tmp_path / "run", split)
    (run / "run.json").write_text(json.dumps({"training": {"ensemble_of": kind}}))
    explain(run, split=split, limit=2, out=tmp_path / "out", progress=QUIET)
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert told in page if told else "learned from" not in page


def test_the_key_of_a_gallery_says_what_its_pictures_show() -> None:
    called = tile_key("grad_cam")
    assert "of the class called" in called
    assert "White lines: half of the strongest value." in called
    assert "of the class ill;" in tile_key("grad_cam", "ill")
    assert "White lines" not in tile_key("integrated_gradients")  # it is drawn without
    assert "dashed where it speaks against" in tile_key("occlusion")


def test_a_split_needs_a_run_that_has_it(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="of a run"):
        explain(model, split="test", out=tmp_path / "out", progress=QUIET)
    run = _run(tmp_path / "run")
    with pytest.raises(UsageError, match="Did you mean"):
        explain(run, split="tset", out=tmp_path / "out", progress=QUIET)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no image has one"):
        explain(run, split="test", masks=tmp_path / "empty", out=tmp_path / "out", progress=QUIET)
    assert not (tmp_path / "out").exists()
