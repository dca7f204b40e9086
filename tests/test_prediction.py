"""Files to predictions: every engine says the same, and unreadable files are set aside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import pellucid.prediction as room
from cli import pellucid
from explained_model import BINARY, SIDE, TWO_TARGETS, draw_image, tiny_bundle, tiny_model
from pellucid.bundle import Bundle, artefact, load_bundle, save_bundle
from pellucid.bundle.graph import to_graph
from pellucid.errors import BundleError, MissingPackage, ReadError, UsageError
from pellucid.images.preprocessing import Preprocessing, preprocess
from pellucid.images.reading import read_image
from pellucid.network.classifier import build_classifier
from pellucid.network.spec import Block, NetworkSpec
from pellucid.prediction import engines, predict, predict_logits, predict_pooled
from pellucid.prediction.decoding import decode_ahead
from pellucid.prediction.engines import open_engine
from pellucid.prediction.listing import list_images
from pellucid.task import Target, Task

THREE = Task(targets=(Target(name="kind", classes=("a", "b", "c")),))
GRAPH_ENGINES = ("onnxruntime", "openvino")


def need(package: str) -> None:
    """Skip without the package; importing it here would let it report the import."""
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


def draw_images(folder: Path, n: int) -> list[Path]:
    return [draw_image(folder / f"{number:03}.png", number) for number in range(n)]


def make_bundle(name: str, size: int, task: Task, channels: int = 1) -> Bundle:
    spec = NetworkSpec(name=name, channels=channels, image_size=size)
    preprocessing = Preprocessing(image_size=size, channels=channels, mean=(0.4,), std=(0.3,))
    return Bundle(build_classifier(spec, task, seed=2).eval(), spec, task, preprocessing, {})


def probabilities(table: pd.DataFrame) -> np.ndarray:
    return table.filter(like="probability_").to_numpy(dtype=float)


def noise(bundle: Bundle, n: int = 5) -> np.ndarray:
    shape = (n, bundle.spec.channels, bundle.spec.image_size, bundle.spec.image_size)
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


def test_names_are_found_where_they_were_and_load_on_first_use() -> None:
    assert all(getattr(room, name) is not None for name in room.__all__)
    with pytest.raises(AttributeError, match="no attribute 'guess'"):
        _ = room.guess  # type: ignore[attr-defined]


@pytest.mark.parametrize("task", [BINARY, THREE, TWO_TARGETS])
@pytest.mark.parametrize("engine", ["torch", *GRAPH_ENGINES])
def test_every_engine_gives_torchs_probabilities(tmp_path: Path, engine: str, task: Task) -> None:
    need(engine)
    bundle, files = tiny_bundle(task), draw_images(tmp_path, 5)
    table, failures = predict(bundle, files, engine=engine)
    pixels = np.stack([preprocess(read_image(f).pixels, bundle.preprocessing) for f in files])
    expected = room.tabulate_unlabelled(
        [str(file) for file in files],
        predict_logits(bundle.classifier, pixels, bundle.preprocessing),
        task,
    )
    assert failures == []
    assert table["image_id"].tolist() == expected["image_id"].tolist()
    np.testing.assert_allclose(probabilities(table), probabilities(expected), atol=1e-3)
    assert table.attrs == {"engine": engine, "precision": "float32"}


@pytest.mark.parametrize("engine", ["torch", *GRAPH_ENGINES])
@pytest.mark.parametrize(
    ("name", "size", "channels", "task"),
    [
        ("plain", 28, 3, THREE),
        ("vgg11", 32, 1, BINARY),
        ("resnet18", 64, 1, TWO_TARGETS),
        ("timm:mobilenetv3_small_050", 64, 1, BINARY),
    ],
)
def test_every_engine_computes_every_kind_of_network(
    name: str, size: int, channels: int, task: Task, engine: str
) -> None:
    need(engine)
    if name.startswith("timm:"):
        need("timm")
    bundle = make_bundle(name, size, task, channels)
    pixels = noise(bundle)
    expected = predict_logits(bundle.classifier, pixels, bundle.preprocessing)
    opened = open_engine(bundle, engine)
    for n in (5, 1, 0) if engine == "torch" else (5, 1, 4):  # any number of images, in any order
        logits = opened.compute(pixels[:n])
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, expected[:n], atol=2e-3)


@pytest.mark.parametrize("padding_mode", ["zero", "mirror", "wrap"])
@pytest.mark.parametrize("engine", GRAPH_ENGINES)
def test_graphs_know_every_border_norm_activation_and_pooling(
    engine: str, padding_mode: str
) -> None:
    need(engine)
    blocks = (
        Block(channels=8, padding_mode=padding_mode, norm="group", activation="celu"),
        Block(channels=8, norm="instance", activation="prelu", pooling="average"),
        Block(channels=8, norm="none", activation="gelu", pooling="none"),
    )
    spec = NetworkSpec(
        name="plain", channels=1, image_size=SIDE, blocks=blocks, global_pooling="max", dropout=0.5
    )
    preprocessing = Preprocessing(image_size=SIDE, channels=1)
    bundle = Bundle(build_classifier(spec, THREE, seed=4), spec, THREE, preprocessing, {})
    pixels = noise(bundle)
    expected = predict_logits(bundle.classifier, pixels, preprocessing)
    np.testing.assert_allclose(open_engine(bundle, engine).compute(pixels), expected, atol=2e-3)


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_bfloat16_is_near_and_says_what_it_is(engine: str) -> None:
    need(engine)
    bundle = make_bundle("plain", 28, TWO_TARGETS)
    pixels = noise(bundle)
    exact = predict_logits(bundle.classifier, pixels, bundle.preprocessing)
    opened = open_engine(bundle, engine, "bfloat16")
    assert opened.precision in ("bfloat16", "float32")  # what the processor has
    np.testing.assert_allclose(opened.compute(pixels), exact, atol=0.1)
    if opened.precision == "bfloat16":
        assert np.abs(opened.compute(pixels) - exact).max() > 0
    after = predict_logits(bundle.classifier, pixels, bundle.preprocessing)
    np.testing.assert_array_equal(after, exact)  # the caller's own classifier stayed as it was


def test_float32_is_never_less_than_float32() -> None:
    need("openvino")  # which takes bfloat16 by itself where the processor has it
    bundle = make_bundle("resnet18", 64, BINARY)
    pixels = noise(bundle)
    exact = predict_logits(bundle.classifier.double(), pixels[:0], bundle.preprocessing)
    assert exact.shape == (0, 1)
    bundle.classifier.float()
    expected = predict_logits(bundle.classifier, pixels, bundle.preprocessing)
    logits = open_engine(bundle, "openvino").compute(pixels)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_wrong_engines_and_precisions_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tiny_bundle()
    with pytest.raises(UsageError, match='Did you mean "openvino"'):
        open_engine(bundle, "openvin")
    with pytest.raises(UsageError, match="The precision is float32, bfloat16, got 'float16'"):
        open_engine(bundle, "torch", "float16")
    need("onnxruntime")
    with pytest.raises(UsageError, match="onnxruntime computes in float32, got bfloat16"):
        open_engine(bundle, "onnxruntime", "bfloat16")
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match=r'pip install "pellucid\[onnx\]"'):
        open_engine(bundle, "openvino")


def test_without_their_packages_torch_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(tmp_path / "model")
    monkeypatch.setattr(engines, "find_spec", lambda name: name == "torch")
    assert open_engine(model).name == "torch"
    assert open_engine(model, precision="bfloat16").name == "torch"
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match=r'pip install "pellucid\[serve\]"'):
        open_engine(model)
    with pytest.raises(MissingPackage, match=r'pip install "pellucid\[train\]"'):
        open_engine(model, "torch")


def test_a_bundle_in_memory_is_computed_by_torch_unless_asked() -> None:
    assert open_engine(tiny_bundle()).name == "torch"


def test_a_network_that_cannot_be_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("onnxruntime")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such operator\nand much more")

    monkeypatch.setattr(torch.onnx, "export", fail)
    model = tiny_model(tmp_path / "model")
    assert open_engine(model).name == "torch"
    with pytest.raises(UsageError, match=r"another engine than torch \(no such operator\)"):
        open_engine(model, "onnxruntime")


@pytest.mark.parametrize("engine", GRAPH_ENGINES)
def test_a_graph_that_says_something_else_is_not_used(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(engine)
    bundle, other = tiny_bundle(), tiny_bundle()
    with torch.no_grad():
        next(iter(other.classifier.heads.values())).bias += 1  # type: ignore[operator]
    wrong = to_graph(other.classifier, other.preprocessing)
    monkeypatch.setattr(artefact, "to_graph", lambda *_: wrong)
    model = save_bundle(tmp_path / "model", bundle)
    assert open_engine(model).name == "torch"
    with pytest.raises(UsageError, match="its logits differ by 1"):
        open_engine(model, engine)


def test_a_changed_bundle_never_uses_an_older_graph(tmp_path: Path) -> None:
    need("onnxruntime")
    model = tiny_model(tmp_path / "model")
    pixels = noise(tiny_bundle())
    first = open_engine(model).compute(pixels)
    bundle = load_bundle(model)
    with torch.no_grad():
        next(iter(bundle.classifier.heads.values())).bias += 1  # type: ignore[operator]
    save_bundle(model, bundle)
    np.testing.assert_allclose(open_engine(model).compute(pixels), first + 1, atol=1e-5)
    graph = model / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BundleError, match=r"The graph of the bundle .* differ from the digest"):
        open_engine(model)
    (model / "card.json").write_text("[]")
    with pytest.raises(BundleError, match="not the card"):
        open_engine(model)


def fails_when_asked(*_: object) -> tuple[object, object, str, str]:
    """An engine that opens every graph, and cannot compute one."""

    def compute(_: np.ndarray) -> np.ndarray:
        raise ValueError("two images at a time only")

    return compute, compute, "openvino", "float32"


def test_auto_goes_on_to_the_next_engine_when_one_cannot_compute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("openvino")
    need("onnxruntime")
    model = tiny_model(tmp_path / "model")
    monkeypatch.setattr(engines, "_openvino", fails_when_asked)
    with pytest.raises(UsageError, match="two images at a time only"):
        open_engine(model, "openvino")
    assert open_engine(model).name == "onnxruntime"
    monkeypatch.setattr(engines, "_onnxruntime", fails_when_asked)
    assert open_engine(tiny_model(tmp_path / "other", THREE)).name == "torch"


def test_an_exporter_that_fails_in_its_own_way_leaves_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(torch.onnx, "export", fail)
    assert open_engine(tiny_model(tmp_path / "model")).name == "torch"


def test_a_card_that_is_nested_too_deep_is_refused_plainly(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model")
    (model / "card.json").write_text("[" * 200_000)
    for open_it in (open_engine, load_bundle):
        with pytest.raises(BundleError, match="not a readable card"):
            open_it(model)


@pytest.mark.parametrize("engine", GRAPH_ENGINES)
def test_a_bundles_graph_answers_without_torch_and_reports_to_nobody(
    tmp_path: Path, engine: str
) -> None:
    need(engine)
    home = tmp_path / "home"
    home.mkdir()
    model, image = tiny_model(tmp_path / "model"), draw_image(tmp_path / "image.png")
    expected, _ = predict(model, image, engine=engine)
    code = (
        "import sys; from pellucid.prediction import predict; "
        f"table, _ = predict({str(model)!r}, {str(image)!r}, engine={engine!r}); "
        "assert not {'torch', 'torchvision', 'timm'} & set(sys.modules); "
        "assert sys.modules.get('openvino_telemetry') is None; "
        "print(table['logit_ill'][0])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(home)},
    )
    assert float(answer.stdout) == pytest.approx(expected["logit_ill"][0], abs=1e-5)
    assert list(home.iterdir()) == []


def test_logits_do_not_depend_on_how_many_are_computed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = tiny_bundle(TWO_TARGETS)
    pixels, counts = noise(bundle, 7), []
    whole = predict_logits(bundle.classifier, pixels, bundle.preprocessing)
    pooled = predict_pooled(bundle.classifier, pixels, bundle.preprocessing)
    monkeypatch.setattr("pellucid.prediction.eager._PIXELS_AT_ONCE", 3 * SIDE * SIDE)
    parts = predict_logits(
        bundle.classifier, pixels, bundle.preprocessing, lambda *count: counts.append(count)
    )
    np.testing.assert_allclose(parts, whole, atol=1e-5)
    again = predict_pooled(bundle.classifier, pixels, bundle.preprocessing)
    np.testing.assert_allclose(again, pooled, atol=1e-5)
    assert counts == [(3, 7), (6, 7), (7, 7)]
    assert predict_logits(bundle.classifier, pixels[:0], bundle.preprocessing).shape == (0, 4)
    assert predict_pooled(bundle.classifier, pixels[:0], bundle.preprocessing).shape == (0, 0)


def test_files_in_order_with_the_unreadable_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pellucid.prediction.files.FILES_AT_ONCE", 4)
    files = draw_images(tmp_path, 9)
    for number in (0, 5, 6):
        files[number].write_bytes(files[number].read_bytes()[: 20 * number])
    seen: list[tuple[int, int]] = []
    table, failures = predict(tiny_bundle(), files, lambda *count: seen.append(count))
    good = [str(file) for number, file in enumerate(files) if number not in (0, 5, 6)]
    assert table["image_id"].tolist() == good
    assert [str(failure).split(":")[0] for failure in failures] == [
        str(files[number]) for number in (0, 5, 6)
    ]
    assert seen == [(4, 9), (8, 9), (9, 9)]
    alone = [predict(tiny_bundle(), name)[0]["logit_ill"][0] for name in good]
    assert table["logit_ill"].to_numpy() == pytest.approx(alone, abs=1e-5)


def test_no_file_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    table, failures = predict(tiny_bundle(), [tmp_path / "text.png", tmp_path / "absent.png"])
    assert len(table) == 0
    assert all(isinstance(failure, ReadError) for failure in failures)
    assert len(failures) == 2
    assert {"image_id", "y_true", "probability_ill"} <= set(table.columns)


def test_the_same_file_twice_is_answered_twice(tmp_path: Path) -> None:
    image = draw_image(tmp_path / "image.png")
    table, _ = predict(tiny_bundle(), [image, image])
    assert table["image_id"].tolist() == [str(image)] * 2
    assert table["logit_ill"].nunique() == 1


def test_no_file_at_all(tmp_path: Path) -> None:
    for images in ([], tmp_path):
        with pytest.raises(UsageError, match="There is no image to predict"):
            predict(tiny_bundle(), images)


def decoding_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_decoding_ends_with_whoever_asked_for_it(tmp_path: Path) -> None:
    files = list_images(draw_images(tmp_path, 12))
    preprocessing = tiny_bundle().preprocessing
    batches = decode_ahead(files, preprocessing, 2)
    first = next(batches)
    assert decoding_threads()
    assert first.pixels.shape == (2, 1, SIDE, SIDE)
    batches.close()
    assert not decoding_threads()


def test_every_engine_gives_the_last_feature_map(tmp_path: Path) -> None:
    bundle = make_bundle("resnet18", 64, TWO_TARGETS)
    pixels = noise(bundle, 2)
    expected = open_engine(bundle, "torch").engine.compute_maps(pixels)
    assert expected[1].shape == (2, 512, 2, 2)
    for engine in GRAPH_ENGINES:
        need(engine)
        logits, maps = open_engine(bundle, engine).engine.compute_maps(pixels)
        np.testing.assert_allclose(logits, expected[0], atol=2e-3)
        np.testing.assert_allclose(maps, expected[1], atol=2e-3)


def test_an_interrupted_prediction_stops_its_threads_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_images(tmp_path / "images", 40)
    model, out = tiny_model(tmp_path / "model"), tmp_path / "p.csv"
    monkeypatch.setattr("pellucid.prediction.files.FILES_AT_ONCE", 2)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pellucid.prediction.eager.predict_logits", interrupt)
    answer = pellucid("predict", model, tmp_path / "images", "--out", out, "--engine", "torch")
    assert answer.code == 130
    assert not decoding_threads()
    assert not out.exists()


def test_memory_holds_two_batches_whatever_the_number_of_files(tmp_path: Path) -> None:
    files = list_images(draw_images(tmp_path, 3) * 20)
    places = {
        batch.pixels.__array_interface__["data"][0]
        for batch in decode_ahead(files, tiny_bundle().preprocessing, 4)
    }
    assert len(places) == 2


def test_the_command_says_who_computed(tmp_path: Path) -> None:
    model, image = tiny_model(tmp_path / "model"), draw_image(tmp_path / "image.png")
    out = tmp_path / "p.csv"
    answer = pellucid("predict", model, image, "--out", out, "--engine", "torch", "--json")
    assert json.loads(answer.out) == {
        "out": str(out),
        "n_images": 1,
        "n_unreadable": 0,
        "unreadable": [],
        "engine": "torch",
        "precision": "float32",
    }
    options = ("--engine", "torch", "--precision", "bfloat16", "--overwrite")
    answer = pellucid("predict", model, image, "--out", out, *options)
    assert "Computed by torch in bfloat16." in answer.err
    answer = pellucid("predict", model, image, "--out", out, "--engine", "magic", "--overwrite")
    assert answer.code == 2
    assert "The engine is auto, torch, onnxruntime, openvino, got 'magic'" in answer.err


SIGNALLED = """
import gc, signal, sys
sys.path.insert(0, {tests!r})
import numpy as np
from explained_model import BINARY, SIDE, tiny_bundle
from pellucid.prediction.engines import open_engine
from pellucid.prediction.listing import list_images
opened = open_engine(tiny_bundle(BINARY), "openvino", {precision!r})
opened.compute(np.zeros((2, opened.preprocessing.channels, SIDE, SIDE), dtype=np.uint8))
del opened
gc.collect()
signal.signal(signal.SIGINT, lambda *_: print("heard"))
signal.raise_signal(signal.SIGINT)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="stacks for signals")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_ctrl_c_is_heard_after_openvino_has_gone(precision: str) -> None:
    need("openvino")
    script = SIGNALLED.format(tests=str(Path(__file__).parent), precision=precision)
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert run.stdout.splitlines()[-1] == "heard"
