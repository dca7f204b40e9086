"""The lecture keeps what it says: each entry names a symbol, a command and a test that exist.

An entry is a `###` heading of docs/lecture.md with all below it up to the next heading; its last
line ties it to the software. What an entry prints was really printed: it is run again here.
"""

from __future__ import annotations

import ast
import functools
import io
import re
import shlex
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from cli import pellucid
from pellucid.cli import load_app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LECTURE = DOCS / "lecture.md"
TIE = "**In Pellucid:**"
_TIE = re.compile(r"\*\*In Pellucid:\*\* code (?P<code>.+?) · run (?P<run>.+?) · test (?P<test>.+)")
_QUOTED = re.compile(r"`([^`]+)`")
_PICTURE = re.compile(r"!\[(?P<alt>[^\]]*)\]\((?P<path>[^)\s]+)\)")
_SHOWN = re.compile(
    r"```(?P<kind>python|console)\n(?P<asked>.*?)```\n+```text\n(?P<said>.*?)```", re.DOTALL
)
_MOST_BYTES = {".png": 150_000, ".svg": 150_000}
_MOST_BYTES_IN_ALL = 2_000_000

# What the lecture teaches, by section; each must be there as an entry.
CONTENTS = {
    "The convolution, again": [
        "Cross-correlation and convolution",
        "Kernels made by hand",
        "Size, stride and padding",
        "Padding by zeros, mirror or wrap",
    ],
    "Structure": ["Head ∘ backbone"],
    "Layers": ["The convolution layer"],
    "Activation functions": [
        "Ten functions and their slopes",
        "Why a stack without them collapses",
    ],
    "Pooling": ["Max and average pooling"],
    "Receptive field": ["What one unit sees", "What it really uses"],
    "Global pooling": ["Global average and max pooling"],
    "The fully connected layer": ["A weighted sum of features"],
    "Output layers": [
        "Logits, odds, probabilities, log-probabilities",
        "One logit or one a class",
    ],
    "Architecture": [
        "VGG",
        "ResNet-34",
        "Feature maps, from shallow to final",
    ],
    "Training": [
        "Empirical risk",
        "Cross-entropy",
        "Five pairings of output and loss",
        "Mini-batch stochastic gradient descent",
        "Augmentation on the fly",
        "Early stopping with patience",
        "A test set of other patients",
    ],
    "Evaluation": [
        "The confusion matrix",
        "Sensitivity, specificity, precision, recall and F1",
        "ROC-AUC",
        "Several classes",
    ],
    "The classical column": ["Handcrafted features beside learned ones"],
    "Seeing inside": ["What the network looks at", "Do the maps mean something?"],
    "Three cases": ["Chest X-ray", "Breast ultrasound", "Retinal OCT"],
    "Exam questions": [],
}
FEWEST_QUESTIONS = 12


@dataclass(frozen=True)
class Entry:
    """A section's idea: its heading, its text, and what its last line names."""

    section: str
    title: str
    text: str
    code: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()

    @property
    def shown(self) -> list[tuple[str, str, str]]:
        """Each block that was run, with what it said: (kind, block, output)."""
        return [(m["kind"], m["asked"], m["said"]) for m in _SHOWN.finditer(self.text)]


def read_entries(text: str) -> list[Entry]:
    """Every `###` of the text, in order."""
    entries = []
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        section, _, body = part.partition("\n")
        for piece in re.split(r"^### ", body, flags=re.MULTILINE)[1:]:
            title, _, words = piece.partition("\n")
            entries.append(_with_tie(Entry(section.strip(), title.strip(), words)))
    return entries


def _with_tie(entry: Entry) -> Entry:
    paragraphs = [part.replace("\n", " ").strip() for part in entry.text.split("\n\n")]
    ties = [part for part in paragraphs if part.startswith(TIE)]
    found = _TIE.fullmatch(ties[0]) if len(ties) == 1 else None
    if found is None:
        return entry
    names = (tuple(_QUOTED.findall(found[part])) for part in ("code", "run", "test"))
    return Entry(entry.section, entry.title, entry.text, *names)


def problems(entry: Entry) -> list[str]:
    """What an entry names that does not exist; [] for a good one."""
    if not (entry.code and entry.commands and entry.tests):
        return [f"{entry.title}: it needs one line «{TIE} code `…` · run `…` · test `…`»"]
    found = [_wrong_symbol(name) for name in entry.code]
    found += [_wrong_command(line) for line in entry.commands]
    found += [_wrong_test(name) for name in entry.tests]
    return [f"{entry.title}: {wrong}" for wrong in found if wrong]


def _wrong_symbol(name: str) -> str:
    """Why a dotted name cannot be imported, or nothing."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            thing: Any = import_module(".".join(parts[:n]))
        except ImportError:
            continue
        for part in parts[n:]:
            if not hasattr(thing, part):
                return f"{name} has no {part}"
            thing = getattr(thing, part)
        return "" if n < len(parts) else f"{name} is a module, not a symbol of one"
    return f"{name} cannot be imported"


def _wrong_command(line: str) -> str:
    """Why the command line does not parse, or nothing; nothing is run."""
    words = shlex.split(line)
    if words[:1] != ["pellucid"]:
        return f"«{line}» is no command of ours"
    command, words = typer.main.get_command(load_app()), words[1:]
    while hasattr(command, "commands"):
        name = words.pop(0) if words else ""
        if name not in command.commands:
            return f"«{line}»: no command {name!r}"
        command = command.commands[name]
    try:
        command.make_context(command.name, words)
    except Exception as error:  # noqa: BLE001 - of click, which typer brings along
        return f"«{line}»: {error}"
    return ""


def _wrong_test(name: str) -> str:
    """Why there is no such test function, or nothing."""
    file, _, function = name.partition("::")
    path = ROOT / file
    if not (path.is_file() and path.parent == ROOT / "tests"):
        return f"there is no {file}"
    return "" if function in _functions(path) else f"{file} has no {function or 'such test'}"


@functools.cache
def _functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def run_shown(kind: str, asked: str) -> str:
    """What a block of Python or a `$ pellucid …` line prints, run here and now."""
    if kind == "console":
        answer = pellucid(*shlex.split(asked.strip().removeprefix("$ "))[1:])
        assert answer.code == 0, answer.err
        return answer.out
    out = io.StringIO()
    with redirect_stdout(out):
        exec(compile(asked, "docs/lecture.md", "exec"), {"__name__": "lecture"})  # noqa: S102
    return out.getvalue()


def picture_problems(text: str, folder: Path) -> list[str]:
    """Pictures that do not exist, are too large, or say nothing to those who cannot see them."""
    found = []
    for picture in _PICTURE.finditer(text):
        path = folder / picture["path"]
        if not path.is_file():
            found.append(f"{picture['path']} does not exist")
        elif path.stat().st_size > _MOST_BYTES.get(path.suffix, 0):
            found.append(f"{picture['path']} is too large, or neither PNG nor SVG")
        if len(picture["alt"].split()) < 5:
            found.append(f"{picture['path']} has no alternative text of at least five words")
    return found


TEXT = LECTURE.read_text(encoding="utf-8")
ENTRIES = read_entries(TEXT)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.title)
def test_an_entry_names_what_exists(entry: Entry) -> None:
    assert problems(entry) == []


def test_every_section_of_the_lecture_is_there_and_in_order() -> None:
    sections = re.findall(r"^## (.+)$", TEXT, flags=re.MULTILINE)
    assert [name for name in sections if name in CONTENTS] == list(CONTENTS)
    for section, titles in CONTENTS.items():
        have = [entry.title for entry in ENTRIES if entry.section == section]
        assert [title for title in titles if title not in have] == []
        if titles:  # an entry that nobody expects is a spelling mistake here or there
            assert [title for title in have if title not in titles] == []


def test_exam_questions_are_answered_by_running_something() -> None:
    questions = [entry for entry in ENTRIES if entry.section == "Exam questions"]
    assert len(questions) >= FEWEST_QUESTIONS
    for entry in questions:
        assert entry.title.endswith("?"), entry.title
        assert entry.shown, entry.title
        assert "**Answer.**" in entry.text, entry.title


SHOWN = [(entry.title, *block) for entry in ENTRIES for block in entry.shown]


@pytest.mark.parametrize(("title", "kind", "asked", "said"), SHOWN, ids=[one[0] for one in SHOWN])
def test_what_is_shown_is_what_is_printed(title: str, kind: str, asked: str, said: str) -> None:
    assert _lines(run_shown(kind, asked)) == _lines(said), title


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


CHEAP = sorted({c for e in ENTRIES for c in e.commands if c.startswith("pellucid play ")})


@pytest.mark.parametrize("line", CHEAP)
def test_the_cheap_commands_run(line: str) -> None:
    answer = pellucid(*shlex.split(line)[1:])
    assert answer.code == 0, answer.err
    assert answer.out


def test_pictures_exist_are_small_and_are_told_to_the_blind() -> None:
    assert picture_problems(TEXT, DOCS) == []
    used = {DOCS / picture["path"] for picture in _PICTURE.finditer(TEXT)}
    kept = set((DOCS / "pictures" / "lecture").iterdir())
    assert kept - used == set(), "pictures that no entry shows"
    assert sum(path.stat().st_size for path in kept) < _MOST_BYTES_IN_ALL


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in ("lecture.md", "tutorial.md", "seeing.md"):
        text = (DOCS / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([\w./-]+\.md)(?:#[\w-]+)?\)", text):
            assert (DOCS / target).is_file(), f"{page}: {target}"


_GOOD_CODE = "`pellucid.network.formulas.relu`"
_GOOD_RUN = "`pellucid audit DATA`"
_GOOD_TEST = "`tests/test_lecture.py::test_a_wrong_entry_is_found`"


@pytest.mark.parametrize(
    ("code", "run", "test", "word"),
    [
        (_GOOD_CODE, _GOOD_RUN, _GOOD_TEST, ""),
        ("`pellucid.network.formulas.rleu`", _GOOD_RUN, _GOOD_TEST, "rleu"),
        ("`pellucid.no.such`", _GOOD_RUN, _GOOD_TEST, "pellucid.no"),
        ("`pellucid.network.formulas`", _GOOD_RUN, _GOOD_TEST, "module"),
        (_GOOD_CODE, "`pellucid adit DATA`", _GOOD_TEST, "adit"),
        (_GOOD_CODE, "`pellucid audit DATA --ouut F`", _GOOD_TEST, "ouut"),
        (_GOOD_CODE, "`pellucid audit`", _GOOD_TEST, "audit"),
        (_GOOD_CODE, "`rm -r DATA`", _GOOD_TEST, "no command of ours"),
        (_GOOD_CODE, _GOOD_RUN, "`tests/test_lecture.py::test_x`", "test_x"),
        (_GOOD_CODE, _GOOD_RUN, "`tests/test_nothing.py::test_x`", "test_nothing"),
        (_GOOD_CODE, _GOOD_RUN, "`src/pellucid/task.py::test_x`", "task.py"),
        ("nothing", _GOOD_RUN, _GOOD_TEST, "it needs one line"),
    ],
)
def test_a_wrong_entry_is_found(code: str, run: str, test: str, word: str) -> None:
    text = f"## S\n\n### Idea\n\nWords.\n\n{TIE} code {code} · run {run} ·\ntest {test}\n"
    (entry,) = read_entries(text)
    found = problems(entry)
    assert (len(found) == 1 and word in found[0]) if word else found == []


def test_an_entry_without_its_line_or_with_two_is_found() -> None:
    tie = f"{TIE} code {_GOOD_CODE} · run {_GOOD_RUN} · test {_GOOD_TEST}\n"
    without, twice = read_entries(f"## S\n\n### A\n\nWords.\n\n### B\n\n{tie}\n{tie}")
    assert problems(without)
    assert problems(twice)


def test_a_wrong_output_and_a_wrong_picture_are_found(tmp_path: Path) -> None:
    block = "## S\n\n### A?\n\n```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n"
    ((kind, asked, said),) = read_entries(block)[0].shown
    assert run_shown(kind, asked) == "2\n" != said
    (tmp_path / "a.png").write_bytes(b"x" * 200_000)
    text = "![too large, and it has words](a.png) ![short](a.png) ![it is not there at all](b.png)"
    found = picture_problems(text, tmp_path)
    assert len(found) == 4
    assert "large" in found[0]
    assert "b.png does not exist" in found[-1]
