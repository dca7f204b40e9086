"""The tutorial works as it is printed: every block is run, in order, in an empty folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from cli import pellucid

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(text: str) -> list[tuple[str, str]]:
    """Each block of Python or of commands, in order."""
    return [(found[1], found[2]) for found in BLOCK.finditer(text)]


def run_blocks(text: str, page: str) -> dict[str, Any]:
    """Run them one after the other; what they leave behind is returned."""
    names: dict[str, Any] = {"__name__": "tutorial"}
    for kind, code in blocks(text):
        if kind == "python":
            line = text[: text.index(code)].count("\n")
            exec(compile("\n" * line + code, page, "exec"), names)  # noqa: S102
        else:
            for command in (one for one in code.splitlines() if one.startswith("$ pellucid")):
                answer = pellucid(*shlex.split(command)[2:])
                assert answer.code == 0, f"{command}\n{answer.err}"
    return names


@pytest.mark.slow
def test_the_tutorial_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_blocks(TUTORIAL.read_text(encoding="utf-8"), str(TUTORIAL))
    assert names["test"]["split"] == "test"
    assert len(names["predictions"]) == len(list((tmp_path / "data/images/NORMAL").iterdir()))
    for file in ("runs/first/report.html", "compared/comparison.html", "audit/audit.html"):
        assert (tmp_path / file).stat().st_size > 1000


def test_the_tutorial_has_all_that_it_promises() -> None:
    text = TUTORIAL.read_text(encoding="utf-8")
    python = "\n".join(code for kind, code in blocks(text) if kind == "python")
    for verb in ("read_dataset", "audit(", "split_by_patient", "train(", "compare(", "attribute("):
        assert verb in python, verb
    assert "feature_maps(" in python
    assert "receptive_fields(" in python
    assert "pointing_game(" in python
    assert len([kind for kind, _ in blocks(text) if kind == "console"]) >= 2


def test_a_block_that_fails_is_found_with_its_line() -> None:
    text = "# Page\n\n```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n"
    with pytest.raises(AssertionError) as found:
        run_blocks(text, "page.md")
    assert found.traceback[-1].lineno == 7  # counted from 0
    with pytest.raises(AssertionError, match="adit"):
        run_blocks("```console\n$ pellucid adit nothing\n```\n", "page.md")
