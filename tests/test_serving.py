"""The API: what it answers, what it refuses, and that it lives on."""

from __future__ import annotations

import base64
import io
import json
import logging
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

pytest.importorskip("fastapi")
from fastapi.testclient import TestClient

import pellucid.serving.desk as desk_module
from dicom_files import write_dicom
from explained_model import BINARY, TWO_TARGETS, tiny_model
from fake_scans import scans
from pellucid.bundle import load_bundle
from pellucid.errors import UsageError
from pellucid.images.preprocessing import preprocess
from pellucid.images.reading import read_image
from pellucid.outputs import probabilities_from_logits
from pellucid.prediction import predict_logits
from pellucid.serving.answers import look_briefly
from pellucid.serving.batching import Batcher
from pellucid.serving.models import open_models
from pellucid.serving.server import read_token
from pellucid.serving.uploads import Upload
from served import build, files, guarded_model, png

SCAN = png(scans(1, 7)[0])
POINT = {"name": "youden", "threshold": 0.3, "wanted": None, "chosen_on": "validation"}
CARD = {
    "operating_points": {"label": [POINT, {**POINT, "name": "sensitivity", "threshold": 0.01}]},
    "prediction_sets": {"label": [{"promised": 0.9, "threshold": 0.2}]},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return guarded_model(tmp_path_factory.mktemp("served") / "model", **CARD)


@pytest.fixture
def client(model: Path) -> Iterator[TestClient]:
    with TestClient(build({"tiny": model})) as client:
        yield client


def ask(client: TestClient, *contents: tuple[str, bytes], path: str = "/v1/predict") -> Any:
    return client.post(path, files=files(*contents))


# --- answers --------------------------------------------------------------------------------------


def test_an_image_is_answered_as_torch_answers(client: TestClient, model: Path) -> None:
    response = ask(client, ("scan.png", SCAN))
    assert response.status_code == 200
    document = response.json()
    (result,) = document["results"]
    bundle = load_bundle(model)
    pixels = preprocess(scans(1, 7).astype(np.float32) / 255, bundle.preprocessing)[np.newaxis]
    logits = predict_logits(bundle.classifier, pixels, bundle.preprocessing)
    expected = probabilities_from_logits(logits, BINARY.targets[0])[0]
    (target,) = result["targets"]
    assert (result["name"], result["status"], result["reasons"]) == ("scan.png", "answered", [])
    assert target["logits"] == {"ill": pytest.approx(float(logits[0, 0]), abs=1e-4)}
    assert list(target["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-4)
    called = "ill" if expected[1] >= 0.3 else "well"
    assert target["decision"] == {
        "called": called,
        "operating_point": "youden",
        "threshold": 0.3,
    }
    sure = [name for name, p in target["probabilities"].items() if p >= 0.2]
    assert target["prediction_sets"] == [{"promised": 0.9, "classes": sure}]
    assert (document["model"], len(document["digest"])) == ("tiny", 64)
    assert "not a medical device" in document["notice"]
    assert result["image"]["format"] == "PNG"
    assert 0 < document["seconds"] < 30


def test_every_format_is_answered_alike(client: TestClient, tmp_path: Path) -> None:
    pixels = scans(1, 7)[0]
    tiff, npy = io.BytesIO(), io.BytesIO()
    tifffile.imwrite(tiff, pixels.astype(np.uint16) * 257)
    np.save(npy, pixels)
    dicom = write_dicom(tmp_path / "a.dcm", pixels)
    contents = [
        ("a.png", SCAN),
        ("a.tif", tiff.getvalue()),
        ("a.npy", npy.getvalue()),
        ("a.dcm", dicom.read_bytes()),
    ]
    results = ask(client, *contents).json()["results"]
    answers = [result["targets"][0]["logits"]["ill"] for result in results]
    assert answers == pytest.approx([answers[0]] * 4, abs=1e-4)
    expected = read_image(dicom).facts
    assert results[3]["image"]["format"] == "DICOM"
    assert results[3]["image"]["bit_depth"] == expected["bit_depth"]


def test_many_files_are_answered_in_their_order(client: TestClient) -> None:
    contents = [(f"{number}.png", png(scan)) for number, scan in enumerate(scans(20, 3))]
    together = ask(client, *contents).json()["results"]
    assert [result["name"] for result in together] == [name for name, _ in contents]
    alone = [ask(client, one).json()["results"][0] for one in contents[:5]]
    for one, other in zip(alone, together, strict=False):
        found = [r["targets"][0]["logits"]["ill"] for r in (one, other)]
        assert found[0] == pytest.approx(found[1], abs=1e-5)


def test_what_speaks_against_an_answer_is_said(client: TestClient) -> None:
    stripes = np.tile(np.repeat(np.array([0, 255], np.uint8), 8), (128, 8))
    contents = [
        ("blank.png", png(np.full((128, 128), 90, np.uint8))),
        ("stripes.png", png(stripes)),
        ("small.png", png(scans(1, 7)[0][::4, ::4])),
        ("text.txt", b"no picture at all"),
        ("cut.png", SCAN[:300]),
        ("empty.png", b""),
    ]
    results = ask(client, *contents).json()["results"]
    codes = [[reason["code"] for reason in result["reasons"]] for result in results]
    assert codes[0] == ["blank"]
    assert codes[1] == ["unlike_training"]
    assert "too_small" in codes[2]
    assert codes[3:] == [["unreadable"]] * 3
    for result in results[:3]:
        assert result["status"] == "abstained"
        assert result["targets"][0]["decision"] is None
        assert set(result["targets"][0]["probabilities"]) == {"well", "ill"}
    for result in results[3:]:
        assert (result["status"], result["targets"]) == ("unreadable", [])
    assert "ends too early" in results[4]["reasons"][0]["message"]


def test_several_models_and_targets(model: Path, tmp_path: Path) -> None:
    other = guarded_model(tmp_path / "other", TWO_TARGETS)
    with TestClient(build({"tiny": model, "two": other})) as client:
        first = ask(client, ("a.png", SCAN)).json()
        assert first["model"] == "tiny"
        second = ask(client, ("a.png", SCAN), path="/v1/predict?model=two").json()
        assert [t["target"] for t in second["results"][0]["targets"]] == ["opacity", "kind"]
        assert second["results"][0]["targets"][1]["decision"]["operating_point"] is None
        assert second["digest"] != first["digest"]
        assert ask(client, ("a.png", SCAN), path="/v1/predict?model=x").status_code == 404
        names = [one["name"] for one in client.get("/v1/model").json()["models"]]
        assert names == ["tiny", "two"]
        (alone,) = client.get("/v1/model?model=two").json()["models"]
        assert alone["decides_at"] == {"opacity": "default", "kind": None}


def test_the_model_says_what_it_is_and_nothing_of_patients(client: TestClient) -> None:
    (about,) = client.get("/v1/model").json()["models"]
    assert about["decides_at"] == {"label": "youden"}
    assert about["card"]["guard"]["n_images"] == 200
    assert "fingerprints" not in json.dumps(about)


def test_a_page_of_a_stack_is_chosen_by_frame(client: TestClient) -> None:
    stack = io.BytesIO()
    tifffile.imwrite(stack, scans(3, 3), photometric="minisblack")
    upload = ("stack.tif", stack.getvalue())
    found = [
        ask(client, upload, path=f"/v1/predict?frame={n}").json()["results"][0] for n in (0, 2, 3)
    ]
    assert found[0]["image"]["frames"] == 3
    assert found[0]["targets"] != found[1]["targets"]
    assert "frames are counted from 0 to 2" in found[2]["reasons"][0]["message"]


def test_an_explanation_is_a_picture_with_its_facts(client: TestClient) -> None:
    document = ask(client, ("a.png", SCAN), path="/v1/explain").json()
    picture = Image.open(io.BytesIO(base64.b64decode(document["overlay"])))
    assert picture.size == (384, 384)
    assert document["method"] == "grad_cam"
    assert (document["cell_rows"], document["cell_columns"]) == (8, 8)
    predicted = ask(client, ("a.png", SCAN)).json()["results"][0]["targets"][0]["probabilities"]
    assert document["of_class"] == max(predicted, key=predicted.get)
    assert document["probability"] == pytest.approx(max(predicted.values()), abs=1e-5)
    other = ask(client, ("a.png", SCAN), path="/v1/explain?of_class=well").json()
    assert other["of_class"] == "well"
    alone = client.post(
        "/v1/explain", files=files(("a.png", SCAN)), headers={"accept": "image/png"}
    )
    assert alone.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(alone.content)).size == (384, 384)


@pytest.mark.parametrize(
    ("query", "reason"),
    [("of_class=il", 'Did you mean "ill"'), ("target=lable", 'Did you mean "label"')],
)
def test_an_unknown_class_or_target_is_named(client: TestClient, query: str, reason: str) -> None:
    response = ask(client, ("a.png", SCAN), path=f"/v1/explain?{query}")
    assert response.status_code == 422
    assert reason in response.json()["detail"]


def test_an_explanation_of_no_picture_says_why(client: TestClient) -> None:
    response = ask(client, ("a.png", b"text"), path="/v1/explain")
    assert response.status_code == 422
    assert "an image is PNG" in response.json()["detail"]
    response = ask(client, ("a.png", SCAN), ("b.png", SCAN), path="/v1/explain")
    assert (response.status_code, "at a time" in response.json()["detail"]) == (422, True)


def test_health_readiness_and_meters(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").json() == {"status": "ready"}
    ask(client, ("a.png", SCAN), ("b.png", b"text"))
    text = client.get("/metrics").text
    assert 'pellucid_images_total{model="tiny",said="answered"} 1.0' in text
    assert 'pellucid_images_total{model="tiny",said="unreadable"} 1.0' in text
    assert 'pellucid_requests_total{route="/v1/predict",status="200"} 1.0' in text
    assert 'pellucid_batch_images_count{model="tiny"} 1.0' in text
    assert "pellucid_waiting_images 0.0" in text
    assert "pellucid_body_bytes 0.0" in text


# --- refusals -------------------------------------------------------------------------------------


def test_a_body_that_is_no_upload_is_refused(client: TestClient) -> None:
    assert client.post("/v1/predict").status_code == 415
    assert client.post("/v1/predict", json={"files": []}).status_code == 415
    assert client.post("/v1/predict", data={"files": "text"}).status_code == 415
    other = client.post("/v1/predict", files={"image": ("a.png", SCAN)})
    assert other.status_code == 422
    assert "field named 'files'" in other.json()["detail"]
    damaged = client.post(
        "/v1/predict",
        content=b"--x\r\nno multipart",
        headers={"content-type": "multipart/form-data; boundary=x"},
    )
    assert damaged.status_code == 400
    without = client.post(
        "/v1/predict", content=b"x", headers={"content-type": "multipart/form-data"}
    )
    assert without.status_code == 400


def test_a_body_that_is_cut_is_refused_whole(client: TestClient) -> None:
    request = client.build_request(
        "POST", "/v1/predict", files=[("files", ("a.png", SCAN)), ("files", ("b.png", SCAN))]
    )
    body = request.read()
    headers = {"content-type": request.headers["content-type"]}
    whole = client.post("/v1/predict", content=body, headers=headers)
    assert len(whole.json()["results"]) == 2
    for length in (len(body) - 8, len(body) - 60, len(body) // 2, len(body) // 3):
        cut = client.post("/v1/predict", content=body[:length], headers=headers)
        assert cut.status_code == 400, length
        assert "no whole" in cut.json()["detail"]


def test_pages_of_other_places_may_not_ask(client: TestClient) -> None:
    for place in ("cross-site", "same-site"):
        headers = {"sec-fetch-site": place}
        files = [("files", ("a.png", SCAN))]
        assert client.post("/v1/predict", files=files, headers=headers).status_code == 403
        assert client.get("/v1/model", headers=headers).status_code == 403
    own = client.get("/v1/model", headers={"sec-fetch-site": "same-origin"})
    assert own.status_code == 200
    assert own.headers["cross-origin-resource-policy"] == "same-origin"
    assert own.headers["x-frame-options"] == "SAMEORIGIN"


def test_a_mistake_with_one_file_is_no_matter_of_the_others(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = desk_module.look_briefly

    def fail_at_one(served: Any, upload: Any, *rest: Any) -> Any:
        if upload.name == "b.png":
            raise MemoryError
        return look(served, upload, *rest)

    monkeypatch.setattr(desk_module, "look_briefly", fail_at_one)
    results = ask(client, ("a.png", SCAN), ("b.png", SCAN), ("c.png", SCAN)).json()["results"]
    assert [one["status"] for one in results] == ["answered", "unreadable", "answered"]


def test_pictures_are_not_kept_until_the_network_has_time(model: Path) -> None:
    served = open_models([str(model)], engine="onnxruntime")["model"]
    looked = look_briefly(served, Upload("a.png", SCAN), 0, 10**6)
    assert looked.image.pixels.nbytes == 0
    assert looked.image.facts["width"] == 128


def test_a_field_that_is_no_file_is_refused(client: TestClient) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="files"\r\n\r\ntext\r\n--x--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=x"}
    response = client.post("/v1/predict", content=body, headers=headers)
    assert response.status_code == 422
    assert "are files" in response.json()["detail"]


def test_too_much_is_refused_before_it_is_kept(model: Path) -> None:
    with TestClient(build({"tiny": model}, max_body=100_000, max_files=3)) as client:
        large = ask(client, ("a.png", bytes(200_000)))
        assert large.status_code == 413
        assert "at most" in large.json()["detail"]

        def endless() -> Iterator[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
            for _ in range(100):
                yield bytes(10_000)

        headers = {"content-type": "multipart/form-data; boundary=x"}
        streamed = client.post("/v1/predict", content=endless(), headers=headers)
        assert streamed.status_code == 413
        many = ask(client, *[(f"{n}.png", b"x") for n in range(4)])
        assert many.status_code == 400
        assert "Maximum number of files is 3" in many.json()["detail"]
        assert ask(client, ("a.png", SCAN)).status_code == 200


def test_ten_thousand_tiny_files_are_refused(client: TestClient) -> None:
    response = ask(client, *[(f"{n}.png", b"x") for n in range(10_000)])
    assert response.status_code == 400
    assert ask(client, ("a.png", SCAN)).status_code == 200


def test_a_picture_that_announces_too_much_is_not_decoded(model: Path) -> None:
    with TestClient(build({"tiny": model}, max_pixels=10_000)) as client:
        (result,) = ask(client, ("a.png", SCAN)).json()["results"]
        assert "at most 10,000 pixels" in result["reasons"][0]["message"]


def bomb() -> bytes:
    """A PNG of a few kilobytes that would be 30,000 times 30,000 pixels."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(10**6))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def zip_bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(50 * 2**20))
    return buffer.getvalue()


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (bomb(), "at most 32,000,000 pixels"),
        (zip_bomb(), "one file is one picture"),
        (pickled(), "never loaded"),
        (b"\x1f\x8b" + bytes(100), "one file is one picture"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (9, 9)}", ""),
        (b"II*\0\xff\xff\xff\xff" + bytes(50), ""),
        (b"\0" * 128 + b"DICM" + bytes(range(256)), ""),
        (b"%PDF-1.4", "a PDF"),
    ],
    ids=["png bomb", "zip bomb", "pickle", "gzip", "short npy", "tiff", "dicom", "pdf"],
)
def test_hostile_files_are_unreadable_and_the_server_lives(
    client: TestClient, data: bytes, reason: str
) -> None:
    (result,) = ask(client, ("a.png", data)).json()["results"]
    assert result["status"] == "unreadable"
    assert reason in result["reasons"][0]["message"]
    assert ask(client, ("a.png", SCAN)).json()["results"][0]["status"] == "answered"


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "..\\..\\boot.ini", "/etc/passwd", "a\r\nSet-Cookie: x", "\0", "." * 400],
    ids=["up", "up on Windows", "absolute", "header", "zero byte", "dots"],
)
def test_tricks_in_names_lead_nowhere(client: TestClient, name: str) -> None:
    (result,) = ask(client, (name, b"text")).json()["results"]
    assert not {"/", "\\", "\n", "\r", "\0"} & set(result["name"])
    assert len(result["name"]) <= 120
    assert "etc" not in result["reasons"][0]["message"]


def test_only_who_says_the_token_is_answered(model: Path) -> None:
    token = "a-token-that-is-long-enough"
    with TestClient(build({"tiny": model}, token=token)) as client:
        for path in ("/v1/model", "/metrics", "/openapi.json"):
            assert client.get(path).status_code == 401
        assert ask(client, ("a.png", SCAN)).status_code == 401
        for wrong in ("", "Bearer", "Bearer x", f"Basic {token}", "Bearer \xe9"):
            headers = {"authorization": wrong.encode("latin-1")}
            assert client.get("/v1/model", headers=headers).status_code == 401
        headers = {"authorization": f"Bearer {token}"}
        assert client.get("/v1/model", headers=headers).status_code == 200
        assert client.get("/health").status_code == client.get("/ready").status_code == 200


def test_another_host_name_is_refused(client: TestClient) -> None:
    response = client.get("/v1/model", headers={"host": "elsewhere.example"})
    assert response.status_code == 400


def test_a_full_server_says_when_to_come_again(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding, entered = threading.Event(), threading.Event()
    look = desk_module.look_briefly

    def slow(*arguments: Any) -> Any:
        entered.set()
        holding.wait(20)
        return look(*arguments)

    monkeypatch.setattr(desk_module, "look_briefly", slow)
    with TestClient(build({"tiny": model}, max_waiting=2)) as client:
        found: list[Any] = []
        first = threading.Thread(
            target=lambda: found.append(ask(client, ("a.png", SCAN), ("b.png", SCAN)))
        )
        first.start()
        assert entered.wait(10)
        refused = ask(client, ("c.png", SCAN))
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert client.get("/ready").status_code == 503
        assert client.get("/health").status_code == 200
        holding.set()
        first.join()
        assert found[0].status_code == 200
        assert len(found[0].json()["results"]) == 2
        assert ask(client, ("c.png", SCAN)).status_code == 200
        assert client.get("/ready").status_code == 200


def test_what_takes_too_long_is_given_up(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: Any) -> Any:
        time.sleep(1)
        raise AssertionError

    monkeypatch.setattr(desk_module, "look_briefly", slow)
    with TestClient(build({"tiny": model}, answer_seconds=0.1)) as client:
        response = ask(client, ("a.png", SCAN))
        assert response.status_code == 503
        assert "took longer than 0.1 s" in response.json()["detail"]


def test_readers_that_are_stuck_make_a_full_server(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding, look, n_looked = threading.Event(), desk_module.look_briefly, [0]

    def slow(*arguments: Any) -> Any:
        n_looked[0] += 1
        holding.wait(20)
        return look(*arguments)

    monkeypatch.setattr(desk_module, "look_briefly", slow)
    bounds = {"answer_seconds": 0.2, "decoders": 1, "max_bodies": 2 * len(SCAN) + 1}
    with TestClient(build({"tiny": model}, **bounds)) as client:
        for _ in range(2):  # one is read, one waits: their bytes stay counted
            assert ask(client, ("a.png", SCAN)).status_code == 503
        assert ask(client, ("a.png", SCAN)).status_code == 429
        assert client.get("/ready").status_code == 503
        assert client.get("/health").status_code == 200
        holding.set()
        until = time.monotonic() + 10
        while client.get("/ready").status_code != 200 and time.monotonic() < until:
            time.sleep(0.01)
        assert n_looked[0] == 1  # nobody waited for the second any more
        assert ask(client, ("a.png", SCAN)).status_code == 200


def test_a_server_ends_while_a_reader_is_stuck(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding = threading.Event()
    monkeypatch.setattr(desk_module, "look_briefly", lambda *_: holding.wait(60))
    began = time.monotonic()
    with TestClient(build({"tiny": model}, answer_seconds=0.1)) as client:
        assert ask(client, ("a.png", SCAN)).status_code == 503
    assert time.monotonic() - began < 30
    holding.set()


def test_a_mistake_of_ours_is_logged_without_its_words(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("Doe, Jane")

    monkeypatch.setattr(desk_module, "look_briefly", fail)
    monkeypatch.setattr(logging.getLogger("pellucid.serving"), "propagate", True)
    with caplog.at_level(logging.INFO):
        response = ask(client, ("Doe_Jane.png", SCAN))
        client.get("/patients/Doe_Jane?name=Doe_Jane")
    (result,) = response.json()["results"]
    assert (result["status"], result["reasons"][0]["code"]) == ("unreadable", "failed")
    logged = "".join(r.getMessage() for r in caplog.records if r.name.startswith("pellucid"))
    assert "RuntimeError in" in logged
    assert "GET other 404" in logged
    assert "Doe" not in logged
    assert "Doe, Jane" not in response.text


def test_nothing_is_written_to_a_disk(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a temporary file")

    monkeypatch.setattr(tempfile, "_TemporaryFileWrapper", refuse)
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    large = png(np.random.default_rng(0).integers(0, 256, (2000, 2000), dtype=np.uint8))
    assert len(large) > 2**20
    (result,) = ask(client, ("a.png", large)).json()["results"]
    assert result["status"] == "abstained"


# --- parts ----------------------------------------------------------------------------------------


def test_images_that_wait_are_computed_together() -> None:
    release, sizes = threading.Event(), []

    def compute(pixels: np.ndarray) -> np.ndarray:
        sizes.append(len(pixels))
        if len(sizes) == 1:
            release.wait(10)
        return pixels.reshape(len(pixels), -1).sum(axis=1, keepdims=True).astype(np.float32)

    batcher = Batcher(compute, 4)
    waiting = [batcher.submit(np.full((1, 2, 2), n, np.uint8)) for n in range(9)]
    while not sizes:
        time.sleep(0.001)
    release.set()
    assert [float(one.result(10)[0]) for one in waiting] == [4.0 * n for n in range(9)]
    assert sum(sizes) == 9
    assert len(sizes) <= 4  # what came while the first was computed went together
    assert max(sizes) == 4
    batcher.close()


def test_a_failing_engine_tells_whoever_waits_and_goes_on() -> None:
    def compute(pixels: np.ndarray) -> np.ndarray:
        if pixels.max() == 1:
            raise ValueError("no")
        return np.zeros((len(pixels), 1), np.float32)

    batcher = Batcher(compute, 4)
    with pytest.raises(ValueError, match="no"):
        batcher.submit(np.ones((1, 2, 2), np.uint8)).result(10)
    assert batcher.submit(np.zeros((1, 2, 2), np.uint8)).result(10).shape == (1,)
    cancelled = batcher.submit(np.zeros((1, 2, 2), np.uint8))
    cancelled.cancel()
    batcher.close()
    assert not any(thread.name == "compute" and thread.is_alive() for thread in [batcher._thread])


def test_models_of_one_name_and_unknown_points_are_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names that differ"):
        open_models([str(model), str(model)])
    with pytest.raises(UsageError, match="operating points of 'label' are"):
        open_models([str(model)], operating_point="x")
    other = tiny_model(tmp_path / "chest" / "run" / "bundle")
    models = open_models([f"{other}"], operating_point="default")
    assert list(models) == ["chest"]


def test_tokens_are_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PELLUCID_TOKEN", raising=False)
    assert read_token(None) is None
    path = tmp_path / "token"
    path.write_text("0123456789abcdef\nmore")
    assert read_token(path) == "0123456789abcdef"
    for text in ("short", "", "with spaces in it all over", "é" * 20):
        path.write_text(text)
        with pytest.raises(UsageError, match="A token has at least 16 letters"):
            read_token(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_token(tmp_path / "absent")
    monkeypatch.setenv("PELLUCID_TOKEN", "fedcba9876543210")
    assert read_token(None) == "fedcba9876543210"
