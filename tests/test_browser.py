"""The page in a real browser: upload, read, switch layers, play, errors, two users, a slow network.

Needs Chromium from the distribution's packages (`apt-get install chromium`) and is skipped without.
Screenshots are kept in the folder that PELLUCID_SCREENSHOTS names, to be looked at.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("playwright")
pytest.importorskip("fastapi")
pytest.importorskip("onnxruntime")

from playwright.sync_api import Error, sync_playwright

from dicom_files import write_dicom
from fake_scans import scans
from pellucid.task import Target, Task
from served import guarded_model, png, served_run
from server_process import serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
POINT = {"name": "youden", "threshold": 0.3, "wanted": None, "chosen_on": "validation"}
N_MODELS = 5
MANY = Task(
    targets=(
        Target(name="kind", classes=("CNV", "DME", "NORMAL")),
        Target(name="side", classes=("left", "right")),
    )
)
TURNED = Task(targets=(Target(name="label", classes=("0", "1"), positive="0"),))
TURNED_CARD = {"operating_points": {"label": [{**POINT, "threshold": 0.2}]}}
CARD = {
    "operating_points": {"label": [POINT]},
    "prediction_sets": {"label": [{"promised": 0.9, "threshold": 0.2}]},
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    for number, scan in enumerate(scans(5, 7)):
        (folder / f"scan_{number}.png").write_bytes(png(scan))
    stripes = np.tile(np.repeat(np.array([0, 255], np.uint8), 8), (128, 8))
    (folder / "stripes.png").write_bytes(png(stripes))
    (folder / "text.png").write_bytes(b"no picture")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("served")
    model = guarded_model(folder / "tiny", **CARD)
    other = guarded_model(folder / "other")
    many = guarded_model(folder / "many", MANY)
    turned = guarded_model(folder / "turned", TURNED, **TURNED_CARD)
    run = served_run(folder / "chest")
    with serving(model, other, many, turned, run, "--engine", "onnxruntime") as (port, _):
        yield port


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as started:
        # as root, and without quic, which some sandboxes do not allow
        words = ["--no-sandbox", "--disable-quic", "--disable-background-networking"]
        opened = started.chromium.launch(executable_path=CHROMIUM, args=words)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, port: int) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="dark")
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    elsewhere: list[str] = []
    home = f"http://127.0.0.1:{port}/"
    opened.on(
        "request",
        lambda one: (
            elsewhere.append(one.url) if not one.url.startswith((home, "data:", "blob:")) else None
        ),
    )
    opened.goto(home)
    until(opened, f"document.querySelectorAll('#models option').length === {N_MODELS}")
    yield opened
    context.close()
    assert wrong == []
    assert elsewhere == []


def until(page: Any, condition: str, seconds: float = 20) -> None:
    """Wait until an expression is true; the page's own policy forbids `wait_for_function`."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"{condition}; the page says {said(page)!r}"
        time.sleep(0.03)


def said(page: Any) -> str:
    return page.inner_text("#findings") + page.inner_text("#message")


def keep(page: Any, name: str) -> None:
    """A screenshot, where somebody wants to look at it."""
    if folder := os.environ.get("PELLUCID_SCREENSHOTS"):
        page.wait_for_timeout(300)
        page.screenshot(path=Path(folder) / f"{name}.png")


def drop(page: Any, images: list[Path]) -> None:
    page.set_input_files("#files", [str(path) for path in images])
    n = f"document.querySelectorAll('#list .said').length === {len(images)}"
    until(
        page,
        f"{n} && ![...document.querySelectorAll('#list .said')].some(e => e.textContent === '…')",
    )


def test_it_paints_at_once_and_warns(browser: Any, port: int) -> None:
    page = browser.new_page()
    started = time.monotonic()
    page.goto(f"http://127.0.0.1:{port}/")
    page.get_by_text("This is not a medical device").wait_for()
    page.get_by_text("Drop images here").wait_for()
    assert time.monotonic() - started < 10  # measured in benchmarks; here only that it comes
    page.close()


def test_images_are_read_one_after_the_other(page: Any, images: list[Path]) -> None:
    keep(page, "1-empty")
    drop(page, images)
    assert page.inner_text("#list-count") == "7 images"
    until(page, "document.querySelector('#findings .called') !== null")
    until(page, "document.getElementById('heat-note').textContent.length > 0")
    assert page.inner_text("#findings .called") in ("well", "ill")
    assert "threshold 0.300" in said(page)
    assert "With 90 % promised" in said(page)
    assert "128 × 128 pixels, 8 bit" in page.inner_text("#under")
    keep(page, "2-read-dark")
    page.keyboard.press("j")
    until(
        page,
        "document.querySelector('#list [aria-current=true] .file').textContent === 'scan_1.png'",
    )
    page.keyboard.press("k")
    page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    keep(page, "3-read-light")


def test_what_speaks_against_an_answer_is_seen(page: Any, images: list[Path]) -> None:
    drop(page, images)
    page.click("text=stripes.png")
    until(page, "document.getElementById('findings').textContent.includes('The model abstains')")
    assert "unlike the images of training" in said(page)
    assert "promised" not in said(page)
    assert page.inner_text("#findings .called") == "No decision"
    keep(page, "4-abstains")
    page.click("text=text.png")
    until(page, "document.getElementById('findings').textContent.includes('could not be read')")
    assert "an image is PNG" in said(page)


def pixels(page: Any) -> list[int]:
    """The canvas as it is, thinned."""
    found: list[int] = page.evaluate(
        "(() => { const c = document.getElementById('canvas');"
        "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
        ".filter((_, k) => k % 4001 === 0); })()"
    )
    return found


def test_the_viewer_answers_keys_and_pointer(page: Any, images: list[Path]) -> None:
    drop(page, images)
    until(page, "document.getElementById('heat-note')?.textContent.length > 0")
    seen: list[list[int]] = [pixels(page)]

    def changes(act: Callable[[], Any]) -> None:
        act()
        page.wait_for_timeout(120)
        seen.append(pixels(page))
        assert seen[-1] != seen[-2]

    changes(lambda: page.keyboard.press("i"))
    changes(lambda: page.keyboard.press("i"))
    changes(lambda: page.keyboard.press("+"))
    changes(lambda: page.keyboard.press("0"))
    changes(
        lambda: page.evaluate(
            "document.getElementById('window').value = 0.3"
            ", document.getElementById('window').dispatchEvent(new Event('input'))"
        )
    )
    box = page.locator("#canvas").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    changes(lambda: page.mouse.wheel(0, -300))

    def drag() -> None:
        page.mouse.down()
        page.mouse.move(middle[0] + 60, middle[1] + 40, steps=4)
        page.mouse.up()

    changes(drag)
    page.mouse.move(*middle)
    page.keyboard.down("Shift")
    changes(drag)
    page.keyboard.up("Shift")
    page.click("#fit")
    page.wait_for_timeout(100)
    page.keyboard.press("h")
    until(page, "document.getElementById('method').value === ''")
    page.keyboard.press("h")
    until(page, "document.getElementById('method').value !== ''")


def test_a_reading_is_exported(page: Any, images: list[Path], tmp_path: Path) -> None:
    drop(page, images[:1])
    until(page, "document.querySelector('.actions button') !== null")
    for name, ending in (("Export JSON", "json"), ("Export PDF", "pdf")):
        with page.expect_download() as started:
            page.click(f"text={name}")
        path = tmp_path / started.value.suggested_filename
        started.value.save_as(path)
        assert path.name == f"reading-scan_0.{ending}"
    document = json.loads((tmp_path / "reading-scan_0.json").read_text())
    assert document["status"] == "answered"
    assert "not a medical device" in document["notice"]
    assert (tmp_path / "reading-scan_0.pdf").read_bytes().startswith(b"%PDF")


def test_another_model_answers_anew(page: Any, images: list[Path]) -> None:
    drop(page, images[:2])
    page.select_option("#models", "other")
    until(page, "document.getElementById('findings').textContent.includes('one half')")
    assert "With 90 % promised" not in said(page)


def test_the_inside_follows_the_pointer(page: Any, images: list[Path]) -> None:
    drop(page, images[:1])
    until(page, "document.getElementById('under').textContent.length > 0")
    page.keyboard.press("3")
    until(page, "document.querySelectorAll('#maps .map').length === 4")
    page.hover("#maps .map")
    until(page, "document.querySelector('.sticky').textContent.includes('it sees what is framed')")
    keep(page, "5-inside")
    buttons = page.locator("#inside .subtabs button")
    buttons.nth(1).click()
    until(page, "document.querySelectorAll('#maps .map').length === 6")
    page.click("text=From edges to disease")
    until(page, "document.getElementById('maps').textContent.includes('Logit of ill')")
    keep(page, "6-walk")


def test_the_playground_plays_with_the_image(page: Any, images: list[Path]) -> None:
    drop(page, images[:1])
    until(page, "document.getElementById('under').textContent.length > 0")
    page.keyboard.press("4")
    until(page, "document.querySelectorAll('#sheet img').length === 1")
    keep(page, "7-play")
    first = page.get_attribute("#sheet img", "src")
    page.select_option("#play select >> nth=0", "laplacian")
    until(page, "document.getElementById('sheet').textContent.includes('Kernel laplacian')")
    assert page.get_attribute("#sheet img", "src") != first
    for name, text in (
        ("Pooling", "max pooling"),
        ("Activation", "relu"),
        ("Why activations", "convolution"),
        ("Augmentation", "Policy generic"),
        ("Logits to probabilities", "softmax"),
    ):
        page.click(f"#play .subtabs >> text={name}")
        until(page, f"document.getElementById('sheet').textContent.includes({text!r})")
    assert page.inner_text("#message") == ""


def test_the_model_tells_of_itself(page: Any) -> None:
    page.keyboard.press("2")
    until(page, "document.getElementById('model').textContent.includes('The model')")
    assert "knows 200 images of training" in page.inner_text("#model")
    keep(page, "8-model")


def test_a_run_tells_how_good_it_is(page: Any) -> None:
    page.select_option("#models", "chest")
    page.keyboard.press("2")
    until(page, "document.getElementById('model').textContent.includes('What a threshold costs')")
    text = page.inner_text("#model")
    assert "How good it is: label" in text
    assert "at a probability of one half" in text
    assert "AUROC" in text
    cells = page.locator(".confusion tbody td")
    assert [cells.nth(k).inner_text() for k in range(4)] == ["2", "2", "1", "2"]
    figures = dict(
        zip(
            page.locator(".four span").all_inner_texts(),
            page.locator(".four strong").all_inner_texts(),
            strict=True,
        )
    )
    assert "0.313" in page.inner_text(".slider")  # Youden's, where the model decides
    assert figures["sensitivity"] == "66.7 %"
    assert figures["specificity"] == "50.0 %"
    assert page.locator(".settings select").input_value() == "youden"
    page.locator(".slider input >> nth=0").press("Home")
    assert page.locator(".settings select").input_value() == ""
    assert page.locator(".four strong").all_inner_texts()[:2] == ["100.0 %", "0.0 %"]
    page.locator(".settings select").select_option("default")
    assert "0.500" in page.inner_text(".slider")
    page.locator(".slider input >> nth=1").press("Home")
    assert "0.1 %" in page.inner_text(".slider")
    assert page.locator(".four strong").all_inner_texts()[2] == "0.1 %"
    cells.nth(1).locator("button").click()
    until(page, "document.querySelectorAll('.confusion + div img').length === 2")
    until(page, "[...document.querySelectorAll('.confusion + div img')].every(i => i.complete)")
    assert "well, called ill: the surest first" in page.inner_text("#model")
    keep(page, "8-run")
    page.click("text=Show the whole report")
    page.frame_locator("iframe").get_by_text("The report").wait_for()


def test_classes_named_by_numbers_keep_their_order(page: Any, images: list[Path]) -> None:
    """Objects of JavaScript put whole numbers in order, whatever the model says."""
    page.select_option("#models", "turned")
    drop(page, images[:1])
    until(page, "document.querySelector('#findings .called') !== null")
    text = said(page)
    assert "The probability of 0," in text
    names = page.locator(".bars > span:nth-child(3n+1)").all_inner_texts()
    assert names == ["0", "1"]
    marked = page.evaluate(
        "document.querySelector('.track .threshold').parentNode.previousSibling.textContent"
    )
    assert marked == "0"


def test_several_targets_and_classes_are_read(page: Any, images: list[Path]) -> None:
    page.select_option("#models", "many")
    drop(page, images[:1])
    until(page, "document.querySelectorAll('#findings .called').length === 2")
    assert "is the likeliest class" in said(page)
    options = page.locator("#heat-class option").all_inner_texts()
    assert options == ["kind: CNV", "kind: DME", "kind: NORMAL", "side: left", "side: right"]
    page.select_option("#heat-class", index=4)
    until(page, "document.getElementById('heat-note').textContent.includes('right')")


@pytest.fixture
def cine(tmp_path: Path) -> Path:
    """Eight frames of DICOM, each darker than the one before."""
    stored = np.stack([scans(1, 7)[0] // (n + 1) for n in range(8)])
    return write_dicom(tmp_path / "cine.dcm", stored, NumberOfFrames=8)


def test_a_frame_and_what_is_said_of_it_go_together(page: Any, cine: Path) -> None:
    """Answers and pictures of a frame that come late, after another was chosen, are not taken."""
    drop(page, [cine])
    until(page, "!document.getElementById('frame-choice').hidden")
    until(page, "document.getElementById('heat-note')?.textContent.length > 0")
    assert "frame 1 of 8" in said(page)
    expected = {n: of_frame(page, n) for n in (2, 3)}
    assert expected[2] != expected[3]
    with held_back(page, "frame=1") as held:  # counted from 0: of the second frame
        choose_frame(page, 2)
        choose_frame(page, 3)
        until(page, "document.getElementById('findings').textContent.includes('frame 3 of 8')")
        until(page, "document.getElementById('heat-note')?.textContent.length > 0")
    assert len(held) >= 2
    page.wait_for_timeout(1000)
    assert of_frame(page, 3, choose=False) == expected[3]
    page.fill("#frame", "99")
    page.keyboard.press("Enter")
    assert page.input_value("#frame") == "3"


@contextmanager
def held_back(page: Any, *parts: str) -> Iterator[list[Any]]:
    """Questions with one of these in their address are sent only at the end."""
    held: list[Any] = []

    def hold(route: Any) -> None:
        if any(part in route.request.url for part in parts):
            held.append(route)
        else:
            route.continue_()

    page.route("**/*", hold)
    yield held
    page.unroute("**/*", hold)
    for route in held:
        with suppress(Error):  # one that the page no longer waits for
            route.continue_()


def choose_frame(page: Any, number: int) -> None:
    page.fill("#frame", str(number))
    page.keyboard.press("Enter")


def of_frame(page: Any, number: int, *, choose: bool = True) -> tuple[str, list[int]]:
    """What is said of a frame, and how it looks."""
    if choose:
        choose_frame(page, number)
    until(page, f"document.getElementById('findings').textContent.includes('frame {number} of')")
    until(page, "document.getElementById('heat-note')?.textContent.length > 0")
    page.wait_for_timeout(150)
    return page.inner_text(".bars"), pixels(page)


def test_an_older_question_does_not_answer_a_newer_one(page: Any, images: list[Path]) -> None:
    drop(page, images[:2])
    until(page, "document.getElementById('under').textContent.length > 0")
    page.keyboard.press("3")
    until(page, "document.querySelectorAll('#maps .map').length === 4")
    buttons = page.locator("#inside .subtabs button")
    with held_back(page, "layer=1", "/page/walk") as held:
        buttons.nth(1).click()
        buttons.last.click()
        buttons.nth(0).click()
        until(page, "document.querySelectorAll('#maps .map').length === 4")
    assert len(held) == 2
    page.wait_for_timeout(1000)
    assert "block 1: 4 maps" in page.inner_text("#maps")
    assert buttons.nth(0).get_attribute("aria-pressed") == "true"
    page.keyboard.press("1")
    page.keyboard.press("j")
    page.keyboard.press("3")  # the maps follow the image
    until(page, "document.querySelectorAll('#maps .map').length === 4")
    page.hover("#maps .map")
    until(page, "document.querySelector('.sticky').textContent.includes('it sees what is framed')")


def test_a_reading_keeps_its_name_while_another_is_chosen(page: Any, images: list[Path]) -> None:
    drop(page, images[:2])
    until(page, "document.getElementById('heat-note')?.textContent.length > 0")
    with page.expect_download() as started, held_back(page, "/page/reading"):
        page.keyboard.press("p")
        page.wait_for_timeout(200)
        page.keyboard.press("j")
        until(page, "document.getElementById('findings').textContent.startsWith('scan_1')")
    assert started.value.suggested_filename == "reading-scan_0.pdf"


def test_the_answers_of_another_model_are_not_shown_as_its_own(
    page: Any, images: list[Path]
) -> None:
    drop(page, images[:2])
    until(page, "document.querySelector('#findings .called') !== null")
    with held_back(page, "model=other"):
        page.select_option("#models", "other")
        page.wait_for_timeout(100)
    with held_back(page, "/v1/predict"):
        page.select_option("#models", "chest")
        until(page, "document.title.startsWith('chest')")
        assert page.locator("#findings .called").count() == 0
        assert page.inner_text("#list-count") == "0 of 2 answered"
    until(page, "document.querySelector('#findings .called') !== null")
    assert page.evaluate("document.title") == "chest · Pellucid"
    with page.expect_download() as started:
        page.keyboard.press("e")
    assert json.loads(Path(started.value.path()).read_text())["model"] == "chest"


def test_one_bad_file_of_many_stops_nothing(page: Any, images: list[Path]) -> None:
    """A group that is refused is asked for one by one."""
    n_refused = [0]

    def refuse(route: Any) -> None:
        if route.request.post_data_buffer and b"scan_1" in route.request.post_data_buffer:
            n_refused[0] += 1
            route.abort()
        else:
            route.continue_()

    page.route("**/v1/predict*", refuse)
    drop(page, images[:4])
    page.unroute("**/v1/predict*")
    assert n_refused[0] == 2
    texts = page.locator("#list .said").all_inner_texts()
    assert texts[1] == "not answered"
    assert {*texts[:1], *texts[2:]} <= {"well", "ill"}


def test_two_users_do_not_see_each_other(
    browser: Any, page: Any, images: list[Path], port: int
) -> None:
    other = browser.new_context().new_page()
    other.goto(f"http://127.0.0.1:{port}/")
    until(other, f"document.querySelectorAll('#models option').length === {N_MODELS}")
    drop(page, images[:2])
    drop(other, images[2:3])
    assert page.inner_text("#list-count") == "2 images"
    assert other.inner_text("#list-count") == "1 image"
    other.reload()
    until(other, f"document.querySelectorAll('#models option').length === {N_MODELS}")
    assert other.inner_text("#list-count") == "No images yet"
    other.context.close()


def test_a_slow_network_shows_what_is_waited_for(page: Any, images: list[Path]) -> None:
    session = page.context.new_cdp_session(page)
    slow = {
        "offline": False,
        "latency": 600,
        "downloadThroughput": 60_000,
        "uploadThroughput": 60_000,
    }
    session.send("Network.emulateNetworkConditions", slow)
    page.set_input_files("#files", [str(images[0])])
    until(page, "document.getElementById('findings').textContent.includes('Being answered')")
    assert page.inner_text("#list-count") == "0 of 1 answered"
    until(page, "document.querySelector('#findings .called') !== null", 60)
    session.send("Network.emulateNetworkConditions", {**slow, "offline": True})
    page.set_input_files("#files", [str(images[1])])
    until(page, "document.querySelectorAll('#list .said')[1].textContent === 'not answered'")
    keep(page, "9-offline")
    back = {**slow, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    session.send("Network.emulateNetworkConditions", back)
    page.click("text=scan_1.png")
    until(page, "document.getElementById('findings').textContent.includes('No answer came')")
    page.click("text=Ask again")
    until(page, "document.querySelector('#findings .called') !== null")
    until(page, "document.getElementById('message').hidden")
    assert page.inner_text("#list-count") == "2 images"


def test_the_page_is_used_by_keyboard_alone(page: Any, images: list[Path], tmp_path: Path) -> None:
    choosers: list[Any] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    page.focus("#files")
    for _ in range(5):  # a browser on a busy machine may miss the first key
        page.keyboard.press("Enter")
        page.wait_for_timeout(2000)
        if choosers:
            break
    choosers[0].set_files([str(path) for path in images[:3]])
    until(page, "document.querySelector('#findings .called') !== null")
    page.focus("#list button >> nth=0")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#findings').textContent.startsWith('scan_1')")
    assert page.evaluate("document.activeElement.textContent.startsWith('scan_1')")
    until(page, "document.getElementById('heat-note')?.textContent.length > 0")
    before = pixels(page)
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_timeout(100)
    assert pixels(page) != before
    page.focus("#opacity")
    page.keyboard.press("i")
    assert page.get_attribute("#invert", "aria-pressed") == "true"
    with page.expect_download() as started:
        page.keyboard.press("e")
    assert started.value.suggested_filename == "reading-scan_1.json"
    page.keyboard.press("2")
    page.keyboard.press("ArrowDown")  # scrolls there, and chooses nothing
    page.keyboard.press("1")
    assert page.inner_text("#list [aria-current=true] .file") == "scan_1.png"
    page.keyboard.press("?")
    until(page, "document.getElementById('keys').open")
    page.keyboard.press("Escape")
    page.focus("#tab-read")
    page.keyboard.press("ArrowRight")
    until(page, "!document.getElementById('model').hidden")
    assert page.evaluate("document.activeElement.id") == "tab-model"
    page.keyboard.press("1")
    until(page, "!document.getElementById('read').hidden")


def test_a_token_is_asked_for(browser: Any, tmp_path: Path, images: list[Path]) -> None:
    model = guarded_model(tmp_path / "model")
    token = "0123456789abcdef"
    with serving(model, "--engine", "onnxruntime", PELLUCID_TOKEN=token) as (port, _):
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        until(page, "document.getElementById('token-dialog').open")
        page.keyboard.press("Escape")
        until(page, "document.getElementById('message').textContent.includes('Reload the page')")
        page.set_input_files("#files", [str(images[0])])
        page.wait_for_timeout(300)
        assert not page.evaluate("document.getElementById('token-dialog').open")
        page.reload()
        until(page, "document.getElementById('token-dialog').open")
        page.fill("#token", "another-token-0123")
        page.keyboard.press("Enter")
        until(page, "document.getElementById('token-said').textContent.includes('refused')")
        page.fill("#token", token)
        page.keyboard.press("Enter")
        until(page, "document.querySelectorAll('#models option').length === 1")
        drop(page, images[:1])
        until(page, "document.querySelector('#findings .called') !== null")
        page.close()
