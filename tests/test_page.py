"""What the page asks of the server: its files, numbers for the viewer, insides; nothing is kept."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

pytest.importorskip("fastapi")
from fastapi.testclient import TestClient

from explained_model import SIDE, TWO_TARGETS
from fake_scans import scans
from pellucid.page import inside
from pellucid.page.play import PLAYS
from pellucid.page.reading import draw_reading
from pellucid.page.routes import STATIC, add_page
from pellucid.serving import heat
from pellucid.serving.answers import answer, look_at
from pellucid.serving.api import build_api
from pellucid.serving.meters import Meters
from pellucid.serving.models import Served, open_models
from pellucid.serving.settings import Settings
from pellucid.serving.uploads import Upload
from pellucid.task import Target, Task
from served import HOSTS, files, guarded_model, png, served_run

SCAN = ("scan.png", png(scans(1, 7)[0]))
SETTINGS = {
    "convolution": {"kernel": "sobel_x", "mode": "zero", "padding": "same", "stride": "2"},
    "pooling": {"kind": "max", "size": "4", "stride": "4"},
    "activation": {"name": "relu"},
    "collapse": {"layers": "2", "activation": "relu", "seed": "1"},
    "augmentation": {"policy": "generic", "strength": "1", "seed": "0"},
}


def paged(places: list[str], **bounds: Any) -> TestClient:
    settings, meters = Settings(**{"hosts": HOSTS, **bounds}), Meters()
    models = open_models(places, engine="onnxruntime")
    return TestClient(build_api(models, settings, meters, add_page))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_run(tmp_path_factory.mktemp("run") / "chest")


@pytest.fixture(scope="module")
def client(run: Path) -> Iterator[TestClient]:
    with paged([str(run)]) as client:
        yield client


def ask(client: TestClient, path: str, *contents: tuple[str, bytes], **query: Any) -> Any:
    return client.post(path, files=files(*contents), params=query)


# --- files ----------------------------------------------------------------------------------------


def test_the_page_and_its_files_come_from_here_alone(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "This is not a medical device" in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for path in STATIC.iterdir():
        text = client.get(f"/page/static/{path.name}").text
        addresses = set(re.findall(r"https?://[^\s\"']+", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path.name
    wanted = set(re.findall(r'(?:src|href)="(/page/static/[^"]+)"', page.text))
    assert wanted
    for address in wanted:
        assert client.get(address).status_code == 200
    assert "frame-ancestors 'none'" in policy
    for trick in ("..%2Froutes.py", "%2e%2e%2froutes.py", "..%5croutes.py", "routes.py"):
        assert client.get(f"/page/static/{trick}").status_code == 404


def test_scripts_import_each_other_and_nothing_else() -> None:
    names = {path.name for path in STATIC.glob("*.js")}
    for path in STATIC.glob("*.js"):
        imported = re.findall(r'from "([^"]+)"', path.read_text())
        assert {one.removeprefix("./") for one in imported} <= names
        assert "innerHTML" not in path.read_text()  # a file's name is never markup


def test_every_element_that_is_asked_for_by_name_is_there() -> None:
    page = (STATIC / "index.html").read_text()
    made = "".join(path.read_text() for path in STATIC.glob("*.js"))
    there = set(re.findall(r'id="([\w-]+)"', page)) | set(re.findall(r'id: "([\w-]+)"', made))
    asked = set(re.findall(r'byId\("([\w-]+)"\)', made))
    assert asked <= there


def test_without_the_token_there_is_the_page_and_nothing_else(run: Path) -> None:
    with paged([str(run)], token="0123456789abcdef") as client:
        assert client.get("/").status_code == 200
        assert client.get("/page/static/main.js").status_code == 200
        for path in ("/page/about", "/page/report", "/page/mistake?number=0", "/page/anatomy"):
            assert client.get(path).status_code == 401
        assert ask(client, "/page/pixels", SCAN).status_code == 401


# --- numbers for the viewer -----------------------------------------------------------------------


def test_a_picture_arrives_with_sixteen_bits(client: TestClient) -> None:
    stored = (np.arange(40 * 30, dtype=np.uint16) * 50).reshape(40, 30)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, stored)
    response = ask(client, "/page/pixels", ("a.tif", buffer.getvalue()))
    facts = json.loads(response.headers["x-facts"])
    assert (facts["planes"], facts["rows"], facts["columns"]) == (1, 40, 30)
    assert facts["facts"]["bit_depth"] == 16
    numbers = np.frombuffer(response.content, "<u2").reshape(40, 30)
    np.testing.assert_array_equal(numbers, stored)


def test_large_pictures_are_sent_smaller_and_colour_in_planes(client: TestClient) -> None:
    colour = np.zeros((100, 3000, 3), np.uint8)
    colour[..., 1] = 255
    response = ask(client, "/page/pixels", ("a.png", png(colour)))
    facts = json.loads(response.headers["x-facts"])
    assert (facts["planes"], facts["rows"], facts["columns"]) == (3, 68, 2048)
    numbers = np.frombuffer(response.content, "<u2").reshape(3, 68, 2048)
    assert [int(plane.mean()) for plane in numbers] == [0, 65535, 0]
    grey = np.repeat(scans(1, 1)[0][..., None], 3, axis=2)
    facts = json.loads(ask(client, "/page/pixels", ("g.png", png(grey))).headers["x-facts"])
    assert facts["planes"] == 1


@pytest.mark.parametrize("method", ["last_layer", "grad_cam", "integrated_gradients"])
def test_a_heat_map_lies_over_the_picture(client: TestClient, method: str) -> None:
    query = {"target": "label", "of_class": "ill", "method": method}
    response = ask(client, "/page/heat", SCAN, **query)
    facts = json.loads(response.headers["x-facts"])
    values = np.frombuffer(response.content, np.int8).reshape(facts["rows"], facts["columns"])
    assert values.shape == (128, 128)
    assert np.abs(values.astype(int)).max() == (127 if facts["full_scale"] else 0)
    assert facts["is_signed"] == (method == "integrated_gradients")
    assert (facts["cells"] is None) == (method == "integrated_gradients")


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"target": "lable", "of_class": "ill"}, 'Did you mean "label"'),
        ({"target": "label", "of_class": "i"}, "classes of 'label' are well, ill"),
        ({"target": "label", "of_class": "ill", "method": "magic"}, "grad_cam"),
    ],
)
def test_a_heat_map_of_something_unknown_says_so(
    client: TestClient, query: dict[str, str], reason: str
) -> None:
    response = ask(client, "/page/heat", SCAN, **query)
    assert response.status_code == 422
    assert reason in response.json()["detail"]


def test_questions_about_no_or_two_images_are_refused(client: TestClient) -> None:
    for path in ("/page/pixels", "/page/reading", "/page/walk"):
        assert ask(client, path, SCAN, SCAN).status_code == 422
        unreadable = ask(client, path, ("a.png", b"text"))
        assert unreadable.status_code == 422
        assert "an image is PNG" in unreadable.json()["detail"]


def n_pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type /Page\b", pdf))


def test_a_reading_is_a_pdf_of_one_page(client: TestClient) -> None:
    response = ask(client, "/page/reading", SCAN)
    assert response.headers["content-type"] == "application/pdf"
    assert response.content.startswith(b"%PDF")
    assert n_pages(response.content) == 1
    stripes = np.tile(np.repeat(np.array([0, 255], np.uint8), 8), (128, 8))
    assert ask(client, "/page/reading", ("s.png", png(stripes))).content.startswith(b"%PDF")


def written(
    served: Served, monkeypatch: pytest.MonkeyPatch, upload: Upload, frame: int = 0
) -> tuple[bytes, list[tuple[float, str]]]:
    """A reading, with the heights and words of all its lines."""
    lines: list[tuple[float, str]] = []
    write = Figure.text

    def note(figure: Figure, x: float, y: float, words: str, **style: Any) -> Any:
        lines.append((y, words))
        return write(figure, x, y, words, **style)

    monkeypatch.setattr(Figure, "text", note)
    looked = look_at(served, upload, frame, 10**7)
    said = answer(served, upload, looked, served.opened.compute(looked.pixels[np.newaxis])[0])
    first = said.targets[0]
    called = first.decision.called if first.decision else None
    shown = heat.explain(served, looked, heat.find_target(served, None), called)
    return draw_reading(served, looked, said, shown, frame), lines


def test_a_reading_of_many_targets_goes_on_on_other_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = tuple(Target(name=f"finding {n}", classes=("no", "yes")) for n in range(14))
    sets = {t.name: [{"promised": p, "threshold": 0.1} for p in (0.9, 0.95)] for t in targets}
    card = {"prediction_sets": sets, "limits": ["Not tested elsewhere."]}
    model = guarded_model(tmp_path / "many", Task(targets=targets), **card)
    (served,) = open_models([str(model)], engine="onnxruntime").values()
    stripes = np.tile(np.repeat(np.array([0, 255], np.uint8), 8), (128, 8))
    for upload in (Upload(*SCAN), Upload("s.png", png(stripes))):
        pdf, lines = written(served, monkeypatch, upload)
        assert n_pages(pdf) >= 2
        assert min(y for y, _ in lines) > 0.02
        words = [words for _, words in lines]
        assert [w for w in words if w.startswith("finding")] == [t.name for t in targets]
        assert words[-1] == "Limit: Not tested elsewhere."
    reason = next(k for k, w in enumerate(words) if w.startswith("Not to be relied on"))
    assert reason < words.index("finding 0")
    assert not any("promised" in w for w in words)  # no promise holds where the model abstains


def test_a_reading_says_which_frame_and_shows_the_class_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = {"operating_points": {"label": [{"name": "youden", "threshold": 0.3, "reason": ""}]}}
    model = guarded_model(tmp_path / "model", **card)
    (served,) = open_models([str(model)], engine="onnxruntime").values()
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, scans(3, 7), photometric="minisblack")
    titles: list[str] = []
    set_title = Axes.set_title
    monkeypatch.setattr(
        Axes, "set_title", lambda axes, said, **k: (titles.append(said), set_title(axes, said, **k))
    )
    _, lines = written(served, monkeypatch, Upload("a.tif", buffer.getvalue()), frame=2)
    words = [words for _, words in lines]
    assert "File: a.tif, frame 3 of 3" in words
    assert any(w.startswith("Called ill at the operating point youden") for w in words)
    assert titles[1].startswith("Where it speaks for ill")  # not for well, which is likelier


@pytest.mark.parametrize("engine", ["onnxruntime", "torch"])
def test_questions_of_two_users_at_once_are_not_mixed(run: Path, engine: str) -> None:
    """What a layer gives is caught by hooks on one network; threads would catch each other's."""
    (served,) = open_models([str(run)], engine=engine).values()
    looks = [look_at(served, Upload("a.png", png(scan)), 0, 10**6) for scan in scans(2, 7)]
    layer = inside.anatomy(served)["stages"][-1]

    def questions(looked: Any) -> list[Any]:
        values, _ = inside.attribute(served, looked, "label", "ill", "grad_cam")
        last = heat.explain(served, looked, served.opened.task.targets[0], "ill").values
        mine = inside.maps(served, looked, layer), values.tolist(), inside.walk(served, looked)
        return [*mine, last.tolist()]

    expected = [questions(looked) for looked in looks]
    assert expected[0] != expected[1]
    wrong: list[int] = []

    def ask_often(number: int) -> None:
        for _ in range(40):
            if questions(looks[number]) != expected[number]:
                wrong.append(number)

    threads = [threading.Thread(target=ask_often, args=(n,)) for n in (0, 1, 0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- the model ------------------------------------------------------------------------------------


def test_the_page_knows_the_model_and_what_can_be_shown(client: TestClient, run: Path) -> None:
    about = client.get("/page/about").json()
    assert (about["name"], about["models"]) == ("chest", ["chest"])
    assert about["has_report"]
    assert about["has_torch"]
    assert about["methods"][0] == "grad_cam"
    curve = about["card"]["thresholds"]["label"]
    assert (curve["split"], curve["n_positive"], curve["n_negative"]) == ("validation", 3, 4)
    assert curve["sensitivity"][0] == 1
    assert curve["specificity"][0] == 0
    at_half = curve["threshold"].index(0.5)
    assert curve["sensitivity"][at_half] == pytest.approx(2 / 3, abs=1e-4)
    assert curve["specificity"][at_half] == pytest.approx(1 / 2)
    assert 0.3127 in curve["threshold"]  # the operating point's own, not the nearest even one
    assert curve["threshold"] == sorted(curve["threshold"])
    (block,) = about["card"]["evaluation"]["blocks"]
    assert block["confusion_matrix"] == [[2, 2], [1, 2]]
    assert str(run) not in json.dumps(about)


def test_mistakes_are_shown_by_number_and_never_by_name(client: TestClient) -> None:
    query = {"target": "label", "truth": "well", "called": "ill"}
    response = client.get("/page/mistakes", params=query)
    found = response.json()
    assert [one["number"] for one in found["images"]] == [3, 2]
    assert "Doe" not in response.text
    picture = client.get("/page/mistake", params={"number": 3})
    assert Image.open(io.BytesIO(picture.content)).format == "PNG"
    for number in (7, 8, -1):  # of test, and no number at all
        refused = client.get("/page/mistake", params={"number": number})
        assert refused.status_code == 422
        assert "Doe" not in refused.text
    wrong = client.get("/page/mistakes", params={**query, "called": "x"})
    assert "classes of 'label' are" in wrong.json()["detail"]


def test_an_image_that_has_gone_says_so_without_its_path(run: Path, client: TestClient) -> None:
    path = run / "images" / "Doe_1.png"
    kept = path.read_bytes()
    path.unlink()
    response = client.get("/page/mistake", params={"number": 1})
    assert response.status_code == 422
    assert "Doe" not in response.text
    path.write_bytes(kept)


def test_a_report_is_shown_of_a_run_alone(client: TestClient, run: Path) -> None:
    report = client.get("/page/report")
    assert "The report" in report.text
    assert "sandbox" in report.headers["content-security-policy"]
    with paged([f"alone={run / 'bundle'}"]) as other:
        assert other.get("/page/report").status_code == 404
        assert not other.get("/page/about").json()["has_report"]
        query = {"target": "label", "truth": "well", "called": "ill"}
        assert "not of a bundle" in other.get("/page/mistakes", params=query).json()["detail"]


# --- inside and play ------------------------------------------------------------------------------


def test_the_anatomy_has_stages_and_rows(client: TestClient) -> None:
    found = client.get("/page/anatomy").json()
    assert found["network"] == "plain"
    assert found["rows"][0]["receptive_field"]["size"] == 3
    assert found["stages"]


def test_maps_come_with_what_a_unit_sees(client: TestClient) -> None:
    stages = client.get("/page/anatomy").json()["stages"]
    found = ask(client, "/page/maps", SCAN, layer=stages[-1]).json()
    assert found["image_size"] == SIDE
    assert len(found["maps"]) == found["channels"] == 6
    strengths = [one["strength"] for one in found["maps"]]
    assert strengths == sorted(strengths, reverse=True)
    assert found["field"]["size"] > 3
    wrong = ask(client, "/page/maps", SCAN, layer="nothing")
    assert wrong.status_code == 422


def test_the_walk_adds_up(client: TestClient) -> None:
    found = ask(client, "/page/walk", SCAN).json()
    assert len(found["stages"]) >= 2
    (logit,) = found["logits"]
    parts = sum(one["adds"] for one in logit["features"]) + logit["others"] + logit["bias"]
    assert parts == pytest.approx(logit["value"], abs=1e-4)
    answered = ask(client, "/v1/predict", SCAN).json()["results"][0]["targets"][0]
    assert logit["value"] == pytest.approx(answered["logits"]["ill"], abs=1e-4)


@pytest.mark.parametrize("play", list(PLAYS))
def test_every_play_draws_a_picture(client: TestClient, play: str) -> None:
    query = {"play": play, "settings": json.dumps(SETTINGS[play])}
    found = ask(client, "/page/play", SCAN, **query).json()
    assert found["pictures"]
    assert found["text"]


@pytest.mark.parametrize(
    ("play", "settings", "reason"),
    [
        ("chess", "{}", "no such play"),
        ("pooling", "{}", "takes the settings kind, size, stride"),
        ("pooling", '{"kind": "max", "size": "x", "stride": "1"}', "is a number"),
        ("pooling", '{"kind": "maxi", "size": "2", "stride": "1"}', "max"),
        ("pooling", "[1]", "JSON object"),
        ("convolution", json.dumps({**SETTINGS["convolution"], "padding": "x"}), "or same"),
    ],
)
def test_wrong_settings_are_named(
    client: TestClient, play: str, settings: str, reason: str
) -> None:
    response = ask(client, "/page/play", SCAN, play=play, settings=settings)
    assert response.status_code == 422
    assert reason in response.json()["detail"]


@pytest.mark.parametrize(
    ("play", "change"),
    [
        ("augmentation", {"seed": str(10**40)}),
        ("collapse", {"seed": str(10**40)}),
        ("convolution", {"stride": str(10**40)}),
        ("pooling", {"size": str(10**40)}),
        ("augmentation", {"strength": "1e308"}),
    ],
)
def test_numbers_of_any_size_are_answered_plainly(
    client: TestClient, play: str, change: dict[str, str]
) -> None:
    settings = json.dumps({**SETTINGS[play], **change})
    response = ask(client, "/page/play", SCAN, play=play, settings=settings)
    assert response.status_code in (200, 422)
    assert client.get("/page/logits", params={"values": "1e308,-1e308"}).status_code in (200, 422)


def test_maps_say_where_the_image_lies_in_the_square(client: TestClient) -> None:
    stage = client.get("/page/anatomy").json()["stages"][0]
    wide = ("w.png", png(np.tile(scans(1, 1)[0][:64], (1, 1))))
    found = ask(client, "/page/maps", wide, layer=stage).json()["placed"]
    assert found == {"top": SIDE // 4, "left": 0, "height": SIDE // 2, "width": SIDE}


def test_logits_become_probabilities(client: TestClient) -> None:
    found = client.get("/page/logits", params={"values": "2, -1, 0.5"}).json()
    assert "0.786" in found["text"]
    assert client.get("/page/logits", params={"values": "x"}).status_code == 422
    assert set(client.get("/page/choices").json()) == {
        "kernels",
        "modes",
        "pooling",
        "activations",
        "policies",
    }


def test_without_torch_reading_works_and_the_rest_says_why(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside, "find_spec", lambda name: None)
    with paged([str(run)]) as client:
        about = client.get("/page/about").json()
        assert about["methods"] == ["last_layer"]
        assert not about["has_torch"]
        assert ask(client, "/page/pixels", SCAN).status_code == 200
        query = {"target": "label", "of_class": "ill"}
        assert ask(client, "/page/heat", SCAN, **query).status_code == 200
        refused = client.get("/page/anatomy")
        assert refused.status_code == 422
        assert 'pip install "pellucid[train]"' in refused.json()["detail"]


def test_several_targets_are_read_one_by_one(tmp_path: Path) -> None:
    with paged([str(guarded_model(tmp_path / "two", TWO_TARGETS))]) as client:
        query = {"target": "kind", "of_class": "b"}
        assert ask(client, "/page/heat", SCAN, **query).status_code == 200
        assert ask(client, "/page/reading", SCAN).content.startswith(b"%PDF")
        assert len(ask(client, "/page/walk", SCAN).json()["logits"]) == 4
