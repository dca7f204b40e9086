"""The run folder: when it may be written into, and what its index keeps."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pellucid.errors import UsageError
from pellucid.run import clear_run, find_run, open_run, versions


def test_a_new_or_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        assert open_run(tmp_path / name, resume=False, overwrite=False).folder.name == name


def test_an_existing_run_is_refused_with_the_remedy(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", resume=False, overwrite=False)
    run.add_facts(seed=1)
    with pytest.raises(UsageError, match=r"exists\. Choose another --out, or .* --resume"):
        open_run(tmp_path / "run", resume=False, overwrite=False)
    assert open_run(tmp_path / "run", resume=True, overwrite=False).facts == {"seed": 1}


def test_overwrite_removes_a_run_but_never_another_folder(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", resume=False, overwrite=False)
    run.add_facts(seed=1)
    again = open_run(tmp_path / "run", resume=False, overwrite=True)
    assert again.facts == {"seed": 1}
    clear_run(again)
    assert not run.facts_path.exists()
    precious = tmp_path / "thesis" / "chapter.tex"
    precious.parent.mkdir()
    precious.write_text("words")
    with pytest.raises(UsageError, match="is not a run folder"):
        open_run(precious.parent, resume=False, overwrite=True)
    assert precious.read_text() == "words"


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        open_run(tmp_path / "run", resume=False, overwrite=False)


def test_the_index_keeps_ids_as_strings_and_missing_labels(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", resume=False, overwrite=False)
    table = pd.DataFrame(
        {
            "image_id": ["001", "NA"],
            "image_path": ["a.png", "b.png"],
            "frame": [0, 3],
            "patient_id": ["007", "1e5"],
            "label": ["None", None],
        }
    )
    run.save_index(table)
    loaded = run.load_index()
    assert loaded["image_id"].tolist() == ["001", "NA"]
    assert loaded["patient_id"].tolist() == ["007", "1e5"]
    assert loaded["frame"].tolist() == [0, 3]
    assert loaded["label"][0] == "None"
    assert loaded["label"].isna().tolist() == [False, True]


def test_facts_are_added_to(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", resume=False, overwrite=False)
    run.add_facts(a=1)
    run.add_facts(b=2, a=3)
    assert run.facts == {"a": 3, "b": 2}


def test_damaged_facts_are_said_plainly(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", resume=False, overwrite=False)
    run.add_facts(a=1)
    run.facts_path.write_text("{half")
    with pytest.raises(UsageError, match=r"run\.json is damaged"):
        _ = run.facts


@pytest.mark.parametrize("make", [False, True])
def test_a_folder_without_predictions_is_refused(tmp_path: Path, make: bool) -> None:
    if make:
        (tmp_path / "run").mkdir()
    with pytest.raises(UsageError, match="holds no predictions" if make else "no run folder"):
        find_run(tmp_path / "run")


def test_versions_name_what_a_figure_depends_on() -> None:
    found = versions()
    assert found["torch"] != "not installed"
    assert set(found) > {"pellucid", "python", "numpy", "scikit-learn"}
