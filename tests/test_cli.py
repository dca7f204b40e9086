"""The command line: start-up cost, exit codes, and one plain message for each bad input."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli import Answer, pellucid
from pellucid import __version__
from pellucid.cli import HELP, VERBS
from tables import make_table

HEAVY = {"torch", "torchvision", "pandas", "numpy", "scipy", "sklearn", "skimage", "matplotlib"}


def draw(path: Path, value: int, size: int = 24) -> Path:
    """A noisy picture around a grey value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(value).integers(-9, 9, (size, size))
    Image.fromarray((value + noise).clip(0, 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes, ten patients each, one picture a patient."""
    for label, base in (("ill", 180), ("well", 60)):
        for number in range(10):
            draw(tmp_path / "images" / label / f"{label}{number}.png", base + number)
    return tmp_path / "images"


def check_plain(answer: Answer, *words: str) -> None:
    """Exit code 2, nothing on standard output, and one message without a traceback."""
    assert answer.code == 2, answer
    assert answer.out == ""
    assert "Traceback" not in answer.err
    for word in words:
        assert word in answer.err


def imported(*arguments: str) -> set[str]:
    """The modules that Python imports when it is started with these arguments."""
    code = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(code, capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


def fresh(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`pellucid ARGUMENTS` in a process of its own, on a terminal of 80 columns."""
    code = "import sys; sys.argv[0] = 'pellucid'; from pellucid.cli import main; main()"
    environment = {**os.environ, "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment
    )


def test_help_imports_nothing_but_two_files_of_ours() -> None:
    loaded = imported("-m", "pellucid", "--help")
    assert {name for name in loaded if name.startswith("pellucid")} == {"pellucid", "pellucid.cli"}
    assert not {name.split(".")[0] for name in loaded} & {*HEAVY, "typer", "click", "rich"}


def test_importing_pellucid_loads_nothing_heavy() -> None:
    assert not {name.split(".")[0] for name in imported("-c", "import pellucid")} & HEAVY


def test_help_is_what_the_commands_say_of_themselves() -> None:
    from_commands = fresh()  # without a word, the application itself shows its help
    assert from_commands.stderr == HELP
    assert fresh("--help").stdout == HELP
    listed = HELP.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == list(VERBS)


def test_the_version_is_said_alike_with_and_without_typer() -> None:
    short, long = pellucid("--version"), pellucid("--version", "evaluate")
    assert short.code == long.code == 0
    assert short.out == long.out == f"pellucid {__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_loads_its_own_module_alone(verb: str) -> None:
    loaded = imported("-m", "pellucid", verb, "--help")
    ours = {name.split(".")[2] for name in loaded if name.startswith("pellucid.cli.")}
    assert ours <= {"app", "data_options", VERBS[verb]}
    assert not {name.split(".")[0] for name in loaded} & {*HEAVY, "rich"}


PARTS_OF_SCIPY = {"special", "sparse"}  # as `scipy.stats` takes longer to load than all others


@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "b", "c")])
def test_evaluate_loads_only_what_judging_needs(tmp_path: Path, classes: tuple[str, ...]) -> None:
    table = make_table(120, classes, patients=60)
    table["sex"] = np.where(table.index % 2 == 0, "F", "M")
    table.to_csv(tmp_path / "p.csv", index=False)
    loaded = imported("-m", "pellucid", "evaluate", str(tmp_path / "p.csv"))
    large = {"torch", "torchvision", "sklearn", "skimage", "matplotlib", "jinja2", "PIL", "pydicom"}
    assert not {name.split(".")[0] for name in loaded} & (large | {"joblib", "rich", "imagecodecs"})
    parts = {name.split(".")[1] for name in loaded if name.startswith("scipy.")}
    assert not {part for part in parts if not part.startswith("_")} - PARTS_OF_SCIPY - {"version"}


def test_a_misspelt_verb_or_option_is_wrong_use() -> None:
    assert pellucid("trian").code == 2
    assert pellucid("train", "x", "--outt", "y").code == 2


def test_no_such_folder(tmp_path: Path) -> None:
    check_plain(pellucid("audit", tmp_path / "nowhere"), "nowhere")


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    check_plain(pellucid("audit", tmp_path / "empty"), "empty")


def test_one_class_only(tmp_path: Path) -> None:
    draw(tmp_path / "images" / "ill" / "a.png", 90)
    check_plain(pellucid("audit", tmp_path / "images"), "class", "ill")


def test_a_class_with_one_patient(images: Path, tmp_path: Path) -> None:
    draw(images / "rare" / "only.png", 20)
    check_plain(pellucid("train", images, "--out", tmp_path / "run"), "rare", "patient")
    assert not (tmp_path / "run").exists()


def test_json_errors_are_one_document(tmp_path: Path) -> None:
    answer = pellucid("audit", tmp_path / "nowhere", "--json")
    assert answer.code == 2
    assert json.loads(answer.out)["kind"].endswith("Error")


def test_a_run_folder_that_exists(images: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    check_plain(pellucid("train", images, "--out", tmp_path / "run"), "exists", "--resume")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_an_unknown_hyperparameter_is_suggested(images: Path, tmp_path: Path) -> None:
    answer = pellucid("train", images, "--out", tmp_path / "run", "--set", "netwrok=resnet18")
    check_plain(answer, "netwrok", 'Did you mean "network"?')
    assert not (tmp_path / "run").exists()


def test_a_plan_with_an_unknown_key(images: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("epohcs: 3\n")
    answer = pellucid("train", images, "--out", tmp_path / "run", "--plan", tmp_path / "plan.yaml")
    check_plain(answer, "epohcs", 'Did you mean "epochs"?')


def test_a_network_too_deep_for_the_image(images: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "run", "--set", "network=vgg11", "--set", "image_size=24")
    check_plain(pellucid("train", images, *out), "vgg11", "32")
    assert not (tmp_path / "run").exists()


def test_imagenet_weights_offline_end_at_once_with_what_to_do(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from urllib.error import URLError

    from pellucid.network import weights

    def offline(url: str) -> None:
        raise URLError("no route")

    monkeypatch.setattr(weights, "_open_url", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    answer = pellucid("train", images, "--out", tmp_path / "run", "--weights", "imagenet")
    check_plain(answer, "--weights", "resnet18")
    assert not (tmp_path / "run").exists()


def test_unreadable_images_beyond_one_percent_stop_the_run(images: Path, tmp_path: Path) -> None:
    (images / "ill" / "text.png").write_text("not a picture")
    check_plain(pellucid("train", images, "--out", tmp_path / "run"), "text.png")
    assert not (tmp_path / "run").exists()


def test_audit_prints_findings_and_fails_on_the_same_picture_in_two_classes(images: Path) -> None:
    picture = (images / "ill" / "ill0.png").read_bytes()
    (images / "well" / "copy.png").write_bytes(picture)
    answer = pellucid("audit", images)
    assert answer.code == 1
    assert "FAIL" in answer.out
    found = json.loads(pellucid("audit", images, "--json").out)
    failed = [finding for finding in found["findings"] if finding["level"] == "FAIL"]
    assert {"ill/ill0.png", "well/copy.png"} <= set(failed[0]["image_ids"])


def test_a_clean_audit_succeeds(images: Path) -> None:
    answer = pellucid("audit", images)
    assert answer.code == 0
    assert "20 images" in answer.out


def test_an_output_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("mine")
    check_plain(pellucid("predict", tmp_path, tmp_path, "--out", tmp_path / "p.csv"), "exists")
    assert (tmp_path / "p.csv").read_text() == "mine"


def test_predict_without_a_model(tmp_path: Path) -> None:
    answer = pellucid("predict", tmp_path / "no", tmp_path, "--out", tmp_path / "p.csv")
    check_plain(answer, "no model")


def test_evaluate_a_missing_table(tmp_path: Path) -> None:
    check_plain(pellucid("evaluate", tmp_path / "p.csv"), "p.csv")


def test_a_full_disk_is_said_plainly_and_the_run_can_be_continued(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--out", tmp_path / "run", "--set", "network=plain", "--set", "epochs=1"]

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        check_plain(pellucid("train", images, *options), "disk is full")
    assert not list(tmp_path.rglob("*.tmp"))
    assert pellucid("train", images, *options, "--resume").code == 0


def test_an_interruption_says_how_to_continue(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pellucid.training import loop

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train", stop)
    answer = pellucid("train", images, "--out", tmp_path / "run")
    assert answer.code == 130
    assert f"--out {tmp_path / 'run'} --resume" in answer.err
