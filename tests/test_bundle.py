"""Bundles as files: what is checked, bounded and refused, in a folder and in an archive."""

from __future__ import annotations

import json
import pickle
import resource
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load, save

from explained_model import BINARY, TWO_TARGETS, tiny_bundle, tiny_model
from fake_scans import scan_guard, scans
from pellucid.bundle import artefact, files, load_bundle, save_bundle
from pellucid.bundle.card import limits, operating_points, set_thresholds
from pellucid.bundle.files import open_files, sign
from pellucid.bundle.guard import fit_guard
from pellucid.errors import BundleError, UsageError
from pellucid.exporting.verb import export
from pellucid.images.image import Image
from pellucid.prediction import predict_logits
from pellucid.prediction.engines import open_engine
from served import guarded_model


def zipped(folder: Path, archive: Path, inside: str = "", compression: int = 0) -> Path:
    with zipfile.ZipFile(archive, "w", compression) as opened:
        for path in sorted(folder.iterdir()):
            opened.write(path, inside + path.name)
    return archive


def change_card(model: Path, **changes: Any) -> None:
    """Rewrite a card so that its own digest is right."""
    path = model / "card.json"
    path.write_text(json.dumps(sign({**json.loads(path.read_text()), **changes})))


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """What is done inside takes fewer bytes of memory than `size`."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "model")


def test_a_folder_and_its_archive_are_the_same_model(model: Path, tmp_path: Path) -> None:
    expected = load_bundle(model)
    for number, inside in enumerate(("", "model/")):
        archive = zipped(model, tmp_path / f"{number}.zip", inside, zipfile.ZIP_DEFLATED)
        again = load_bundle(archive)
        assert again.card == expected.card
        assert open_files(archive).digest == open_files(model).digest
        for name, value in expected.classifier.state_dict().items():
            torch.testing.assert_close(again.classifier.state_dict()[name], value)
        assert open_engine(archive).name == open_engine(model).name


def test_the_digest_names_the_model_and_not_the_place(model: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for path in model.iterdir():
        (tmp_path / "elsewhere" / path.name).write_bytes(path.read_bytes())
    assert open_files(tmp_path / "elsewhere").digest == open_files(model).digest
    other = tiny_bundle()
    with torch.no_grad():
        next(other.classifier.parameters()).add_(1e-3)
    assert open_files(save_bundle(tmp_path / "other", other)).digest != open_files(model).digest


@pytest.mark.parametrize("name", ["weights.safetensors", "model.onnx"])
def test_a_changed_file_is_refused_when_it_is_read(model: Path, name: str) -> None:
    path = model / name
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BundleError, match="differ from the digest in its card"):
        open_files(model).read(name)


def test_a_changed_card_is_refused(model: Path) -> None:
    path = model / "card.json"
    card = json.loads(path.read_text())
    card["task"]["targets"][0]["classes"] = ["ill", "well"]
    path.write_text(json.dumps(card))
    for open_it in (load_bundle, open_engine, open_files):
        with pytest.raises(BundleError, match=r"card of the bundle .* differs from its own digest"):
            open_it(model)


def test_a_card_without_its_digest_is_refused(model: Path) -> None:
    path = model / "card.json"
    card = json.loads(path.read_text())
    del card["digest"]
    path.write_text(json.dumps(card))
    with pytest.raises(BundleError, match="own digest"):
        open_files(model)


def test_missing_files_are_named(model: Path) -> None:
    (model / "weights.safetensors").unlink()
    with pytest.raises(BundleError, match=r"has no weights\.safetensors"):
        load_bundle(model)


@pytest.mark.parametrize("version", [3, 99])
def test_versions_that_are_not_known_are_named(model: Path, version: object) -> None:
    change_card(model, version=version)
    with pytest.raises(BundleError, match="newer Pellucid"):
        load_bundle(model)


@pytest.mark.parametrize("version", ["2", True, None, -1])
def test_what_is_no_version_is_not_called_newer(model: Path, version: object) -> None:
    change_card(model, version=version)
    with pytest.raises(BundleError, match="tells no version that there is"):
        load_bundle(model)


def test_a_bundle_of_the_first_version_is_still_read(model: Path) -> None:
    path = model / "card.json"
    card = json.loads(path.read_text())
    first = {key: card[key] for key in ("format", "task", "network", "preprocessing")}
    first |= {"version": 1, "weights_sha256": card["files"]["weights.safetensors"]["sha256"]}
    path.write_text(json.dumps(first))
    assert load_bundle(model).guard is None
    assert open_engine(model).name == "torch"
    assert open_engine(model, "onnxruntime").name == "onnxruntime"
    weights = model / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BundleError, match=r"The weights of the bundle .* differ"):
        load_bundle(model)


def test_a_pickle_that_poses_as_weights_is_never_opened(model: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "exploded",)

    (model / "weights.safetensors").write_bytes(
        pickle.dumps({"weight": Bomb(), "filler": bytes(9_000)})
    )
    card = json.loads((model / "card.json").read_text())
    change_card(
        model,
        files=files.describe_files(
            {name: (model / name).read_bytes() for name in card["files"]},
        ),
    )
    with pytest.raises(BundleError, match="is damaged"):
        load_bundle(model)
    assert not (tmp_path / "exploded").exists()


def test_what_is_no_bundle_gets_its_reason(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="There is no model at"):
        open_files(tmp_path / "absent")
    with pytest.raises(BundleError, match=r"holds no card\.json"):
        open_files(tmp_path)
    (tmp_path / "a.zip").write_bytes(b"PK, but no archive")
    with pytest.raises(BundleError, match="neither a bundle nor a run"):
        open_files(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(BundleError, match="not of one bundle"):
        open_files(tmp_path / "b.zip")


def test_an_archive_that_ends_too_early_is_refused(model: Path, tmp_path: Path) -> None:
    whole = zipped(model, tmp_path / "whole.zip").read_bytes()
    for length in (100, len(whole) // 2, len(whole) - 10):
        (tmp_path / "cut.zip").write_bytes(whole[:length])
        with pytest.raises(BundleError):
            load_bundle(tmp_path / "cut.zip")


def test_a_flipped_byte_in_an_archive_is_found(model: Path, tmp_path: Path) -> None:
    data = bytearray(zipped(model, tmp_path / "m.zip").read_bytes())
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        start = archive.getinfo("weights.safetensors").header_offset
    data[start + 900] ^= 1
    (tmp_path / "m.zip").write_bytes(bytes(data))
    with pytest.raises(BundleError, match=r"cannot be read|differ"):
        load_bundle(tmp_path / "m.zip")


def test_any_flipped_bit_of_an_exported_archive_is_found(model: Path, tmp_path: Path) -> None:
    whole = export(model, tmp_path / "m.zip").out.read_bytes()
    load_bundle(tmp_path / "m.zip")
    found = set()
    for place in np.random.default_rng(0).integers(0, len(whole), 120):
        data = bytearray(whole)
        data[place] ^= 1 << int(place) % 8
        (tmp_path / "flipped.zip").write_bytes(bytes(data))
        try:
            load_bundle(tmp_path / "flipped.zip")
        except BundleError as error:
            found.add(str(error).partition("got ")[2][:20])
    assert any("error" in reason for reason in found)  # zlib's own kind was among them


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_lies_of_its_size_is_not_inflated(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", method) as archive:
        archive.writestr("card.json", b" " * 64 * 2**20)
    data = (tmp_path / "bomb.zip").read_bytes()
    honest, lie = (64 * 2**20).to_bytes(4, "little"), (1000).to_bytes(4, "little")
    assert data.count(honest) == 2
    (tmp_path / "bomb.zip").write_bytes(data.replace(honest, lie))
    with at_most(2**22), pytest.raises(BundleError, match="packed in a way"):
        open_files(tmp_path / "bomb.zip")


def test_an_archive_that_lies_of_how_far_it_was_packed(model: Path, tmp_path: Path) -> None:
    (model / "weights.safetensors").write_bytes(bytes(200 * 2**20))
    bomb = zipped(model, tmp_path / "bomb.zip", compression=zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(bomb) as archive:
        packed = archive.getinfo("weights.safetensors").compress_size
    data = bomb.read_bytes()
    place = data.rindex(packed.to_bytes(4, "little"))  # of the directory
    lie = (40 * 2**20).to_bytes(4, "little")
    bomb.write_bytes(data[:place] + lie + data[place + 4 :])
    with at_most(50 * 2**20), pytest.raises(BundleError):
        load_bundle(bomb)


def test_twins_that_macos_adds_are_passed_over(model: Path, tmp_path: Path) -> None:
    archive = zipped(model, tmp_path / "m.zip")
    with zipfile.ZipFile(archive, "a") as opened:
        for path in model.iterdir():
            opened.writestr(f"__MACOSX/._{path.name}", b"twin")
    assert load_bundle(archive).card == load_bundle(model).card


def test_no_more_memory_is_asked_for_than_a_file_has(model: Path) -> None:
    opened = open_files(model)
    with at_most(2**20):
        opened.read("weights.safetensors")


def test_an_archive_that_would_fill_the_memory_is_not_inflated(model: Path, tmp_path: Path) -> None:
    (model / "weights.safetensors").write_bytes(bytes(64 * 2**20))
    bomb = zipped(model, tmp_path / "bomb.zip", compression=zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 2**20
    with pytest.raises(BundleError, match="holds more than such a file can"):
        load_bundle(bomb)


def test_an_archive_cannot_name_a_file_outside(model: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        for path in model.iterdir():
            archive.write(path, f"../../{path.name}")
    with pytest.raises(BundleError, match="not of one bundle"):
        load_bundle(tmp_path / "m.zip")


def test_a_card_that_announces_a_file_elsewhere_is_not_followed(model: Path) -> None:
    change_card(model, files={"../secret": {"sha256": "0", "bytes": 1}})
    assert not open_files(model).has("../secret")
    with pytest.raises(BundleError, match="differ from the digest"):
        load_bundle(model)


def test_a_file_larger_than_it_can_be_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(files.MOST_BYTES, "weights.safetensors", 10)
    with pytest.raises(BundleError, match="more than such a file can"):
        load_bundle(model)


@pytest.mark.parametrize("part", ["task", "preprocessing", "network"])
@pytest.mark.parametrize("value", [None, {}, [], "x", {"name": 3}])
def test_a_damaged_part_of_a_card_is_named(model: Path, part: str, value: object) -> None:
    change_card(model, **{part: value})
    with pytest.raises(BundleError, match="damaged"):
        load_bundle(model)


def test_a_damaged_file_is_found_also_where_it_is_not_needed(model: Path) -> None:
    graph, weights = model / "model.onnx", model / "weights.safetensors"
    kept = graph.read_bytes()
    graph.write_bytes(b"junk")
    with pytest.raises(BundleError, match="graph of the bundle"):
        load_bundle(model)
    graph.unlink()
    with pytest.raises(BundleError, match=r"has no model\.onnx"):
        load_bundle(model)
    graph.write_bytes(kept)
    weights.write_bytes(b"junk")
    with pytest.raises(BundleError, match="weights of the bundle"):
        open_engine(model, "onnxruntime")


def test_weights_of_too_many_classes_ask_for_no_memory(model: Path) -> None:
    many = [f"class {number}" for number in range(200_000)]
    task = {"targets": [{"name": "label", "classes": many}]}
    network = {"name": "resnet50", "channels": 1, "image_size": 64}
    change_card(model, task=task, network=network, probe=None)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BundleError, match="too few for the network"):
        load_bundle(model)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KiB


def test_a_graph_that_names_other_files_is_refused(model: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(str(model / "model.onnx"))
    onnx.save(
        graph,
        str(tmp_path / "model.onnx"),
        save_as_external_data=True,
        location="secret.bin",
        size_threshold=0,
    )
    data = (tmp_path / "model.onnx").read_bytes()
    (model / "model.onnx").write_bytes(data)
    listed = open_files(model).card["files"]
    change_card(model, files={**listed, **files.describe_files({"model.onnx": data})})
    for engine in ("openvino", "onnxruntime"):
        with pytest.raises(BundleError, match="names other files"):
            open_engine(model, engine)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("operating_points", {"label": [{"name": "youden", "threshold": "x"}]}),
        ("operating_points", {"label": [{"name": "youden", "threshold": None}]}),
        ("operating_points", {"label": [{"name": "youden", "threshold": 7}]}),
        ("operating_points", {"label": 5}),
        ("operating_points", {"label": [{}]}),
        ("prediction_sets", 5),
        ("prediction_sets", {"label": [{"promised": 0.9, "threshold": None}]}),
        ("evaluation", "x"),
        ("evaluation", {"blocks": [5]}),
        ("thresholds", {"label": {}}),
        ("network", 5),
        ("limits", "none"),
        ("licence", ["MIT"]),
    ],
)
def test_what_a_card_states_is_of_its_kind(model: Path, part: str, value: object) -> None:
    change_card(model, **{part: value})
    for opens in (load_bundle, lambda place: open_engine(place, "onnxruntime")):
        with pytest.raises(BundleError, match=f"damaged.*{part}"):
            opens(model)


@pytest.mark.parametrize("text", ["NaN", "Infinity", '"\\ud800"'])
def test_what_is_no_json_is_no_card(model: Path, text: str) -> None:
    card = (model / "card.json").read_text()
    (model / "card.json").write_text(card.replace('"task": ', f'"other": {text}, "task": ', 1))
    assert text in (model / "card.json").read_text()
    with pytest.raises(BundleError, match="not a readable card"):
        open_files(model)


@pytest.mark.parametrize("key", ["limit", "shortest_side", "n_images"])
def test_a_guard_of_words_is_damaged(tmp_path: Path, key: str) -> None:
    model = guarded_model(tmp_path / "model")
    facts = open_files(model).card["guard"]
    for changed in ({key: "5"}, {"modalities": [5]}, {"is_grey": "no"}):
        change_card(model, guard={**facts, **changed})
        with pytest.raises(BundleError, match="guard of the bundle"):
            load_bundle(model)


def test_a_first_card_cannot_borrow_a_digest(model: Path) -> None:
    card = json.loads((model / "card.json").read_text())
    weights = card["files"]["weights.safetensors"]["sha256"]
    first = {key: card[key] for key in ("format", "task", "network", "preprocessing")}
    first |= {"version": 1, "weights_sha256": weights, "digest": card["digest"]}
    (model / "card.json").write_text(json.dumps(first))
    with pytest.raises(BundleError, match="differs from its own digest"):
        open_files(model)


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no model at"):
        open_files(tmp_path / ("x" * 300))


@pytest.mark.parametrize("probe", [None, {}, {"logits": []}, {"logits": [["x"]]}])
def test_a_card_with_a_graph_and_no_probe_is_refused(model: Path, probe: object) -> None:
    change_card(model, probe=probe)
    with pytest.raises(BundleError, match="probe"):
        open_engine(model, "onnxruntime")


def test_a_network_that_cannot_become_a_graph_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(torch.onnx, "export", fail)
    model = save_bundle(tmp_path / "model", tiny_bundle())
    assert "no such operator" in load_bundle(model).card["graph"]["reason"]
    assert not (model / "model.onnx").exists()


# --- the guard ------------------------------------------------------------------------------------


def stripes(n: int) -> np.ndarray:
    """Another kind: stripes of changing width on the same shade."""
    generator = np.random.default_rng(3)
    rows, columns = np.mgrid[:128, :128]
    found = np.zeros((n, 128, 128), np.uint8)
    for view in found:
        shade = 60 + 0.3 * rows + generator.normal(0, 6, (128, 128))
        lines = np.sin(columns / generator.uniform(15, 30) * 4) > 0
        view[:] = np.clip(shade + 110.0 * lines, 0, 255)
    return found


def guard_of(**changes: Any) -> Any:
    return scan_guard(width=200, height=180, **changes)


def facts_of(n: int, **changes: Any) -> pd.DataFrame:
    row = {"width": 200, "height": 180, "colourfulness": 0.0, "pixel_digest": "x", **changes}
    return pd.DataFrame([row] * n)


def as_image(view: np.ndarray, **facts: Any) -> Image:
    pixels = np.repeat(np.repeat(view, 2, 0), 2, 1)[np.newaxis].astype(np.float32) / 255
    return Image(pixels, facts)


def test_the_guard_knows_its_own_kind_and_no_other() -> None:
    guard = guard_of()
    own = guard.oddness(scans(200, 2))
    assert (own > guard.facts["limit"]).mean() <= 0.03
    assert (guard.oddness(stripes(50)) > guard.facts["limit"]).all()
    assert (guard.oddness(255 - scans(50, 4)) > guard.facts["limit"]).all()
    assert guard.cautions(as_image(scans(1, 2)[0])) == []


def test_what_the_guard_says_of_an_image() -> None:
    guard = guard_of(modality="CR")
    view = scans(1, 2)[0]

    def codes(image: Image) -> list[str]:
        return [caution.code for caution in guard.cautions(image)]

    assert codes(as_image(view, modality="CR")) == []
    assert codes(as_image(view, modality="US")) == ["wrong_modality"]
    assert codes(as_image(view)) == []  # a PNG tells no modality
    assert codes(as_image(stripes(1)[0])) == ["unlike_training"]
    assert codes(Image(np.full((1, 200, 200), 0.4, np.float32), {})) == ["blank"]
    small = Image(as_image(view).pixels[:, ::4, ::4], {})
    assert codes(small) == ["too_small"]
    tinted = np.concatenate([as_image(view).pixels, *[0.5 * as_image(view).pixels] * 2])
    assert "in_colour" in codes(Image(tinted, {}))
    said = guard.cautions(as_image(view, modality="US"))[0].message
    assert said == "Its modality is US; the training images are CR."


def test_too_few_images_make_no_guard() -> None:
    views = scans(20, 1)
    groups = np.arange(20).astype(object)
    assert fit_guard(views, np.arange(20), facts_of(20), groups) is None
    blank = facts_of(80, pixel_digest="")
    assert fit_guard(scans(80, 1), np.arange(80), blank, np.arange(80).astype(object)) is None


def test_a_guard_of_one_patient_is_made_all_the_same() -> None:
    groups = np.array(["one"] * 60, dtype=object)
    guard = fit_guard(scans(60, 1), np.arange(60), facts_of(60), groups)
    assert guard is not None
    assert np.isfinite(guard.facts["limit"])


def guarded(tmp_path: Path) -> Path:
    bundle = tiny_bundle()
    return save_bundle(
        tmp_path / "model",
        artefact.Bundle(
            bundle.classifier, bundle.spec, BINARY, bundle.preprocessing, {}, guard_of()
        ),
    )


def test_a_guard_is_kept_with_the_bundle(tmp_path: Path) -> None:
    model = guarded(tmp_path)
    views = scans(5, 6)
    for guard in (load_bundle(model).guard, open_engine(model).guard):
        assert guard is not None
        np.testing.assert_array_equal(guard.oddness(views), guard_of().oddness(views))
        assert guard.facts == guard_of().facts


@pytest.mark.parametrize(
    "change",
    [
        {"spreads": np.zeros((3, 3), np.float32)},
        {"centre": np.zeros(7, np.float32)},
        {"directions": np.full((24, 400), np.nan, np.float32)},
        {"usual": np.zeros((3, 2), np.float32)},
    ],
)
def test_a_guard_of_other_shapes_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    model = guarded(tmp_path)
    path = model / "guard.safetensors"
    path.write_bytes(save({**load(path.read_bytes()), **change}))
    card = json.loads((model / "card.json").read_text())
    about = files.describe_files({path.name: path.read_bytes()})
    change_card(model, files={**card["files"], **about})
    with pytest.raises(BundleError, match=r"guard of the bundle .* is damaged"):
        load_bundle(model)


@pytest.mark.parametrize("facts", [None, {}, {"limit": "x"}, [1]])
def test_a_guard_without_its_facts_is_refused(tmp_path: Path, facts: object) -> None:
    model = guarded(tmp_path)
    change_card(model, guard=facts)
    with pytest.raises(BundleError, match=r"guard of the bundle .* is damaged"):
        open_engine(model)


# --- what a card says -----------------------------------------------------------------------------


def test_limits_say_what_is_not_known() -> None:
    facts = {"dataset": {"synthetic": True, "patients_known": False}}
    said = " ".join(limits(facts, {"blocks": [{"split": "validation"}]}))
    for words in ("synthetic", "Patients were not known", "chose its epoch", "another hospital"):
        assert words in said
    facts = {"dataset": {"synthetic": False, "patients_known": True}}
    blocks = [{"split": "test"}, {"split": "external_test"}]
    assert len(limits(facts, {"blocks": blocks})) == 1


def test_thresholds_are_found_in_old_and_new_cards() -> None:
    point = {"name": "youden", "threshold": 0.4, "wanted": None, "chosen_on": "validation"}
    gone = {**point, "name": "sensitivity", "threshold": None}
    block = {"target": "a", "operating_points": [{**point, "reason": "", "metrics": {}}, gone]}
    old = {"evaluation": {"blocks": [block]}}
    new = {"operating_points": {"a": [{**point, "reason": ""}]}}
    assert operating_points(old, "a") == operating_points(new, "a") == [{**point, "reason": ""}]
    assert operating_points({}, "a") == set_thresholds({}, "a") == []
    assert set_thresholds({"prediction_sets": {"a": [{"promised": 0.9}]}}, "a")


def test_a_bundle_of_several_targets(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model", TWO_TARGETS)
    bundle = load_bundle(model)
    assert len(bundle.card["probe"]["logits"][0]) == TWO_TARGETS.n_logits
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 64, 64)).astype(np.uint8)
    pixels = pixels[:, :, : bundle.spec.image_size, : bundle.spec.image_size]
    expected = predict_logits(bundle.classifier, pixels, bundle.preprocessing)
    for engine in ("torch", "onnxruntime"):
        found = open_engine(model, engine).compute(pixels)
        assert found.shape == (3, TWO_TARGETS.n_logits)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_graph_of_another_network_is_refused_also_where_all_are_sure(tmp_path: Path) -> None:
    bundles = [tiny_bundle(), tiny_bundle()]
    with torch.no_grad():
        for number, bundle in enumerate(bundles):
            for parameter in bundle.classifier.backbone.parameters():
                parameter.mul_(1 + 0.3 * number)
            bundle.classifier.heads["label"].bias.add_(12)  # type: ignore[union-attr, operator]
    right, wrong = (save_bundle(tmp_path / str(n), bundle) for n, bundle in enumerate(bundles))
    graph = (wrong / "model.onnx").read_bytes()
    (right / "model.onnx").write_bytes(graph)
    listed = open_files(right).card["files"]
    change_card(right, files={**listed, **files.describe_files({"model.onnx": graph})})
    with pytest.raises(UsageError, match="its logits differ"):
        open_engine(right, "onnxruntime")
