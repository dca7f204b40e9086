"""Checklists: every item has a status, the run's own numbers, and no answer is ever lost."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from fake_runs import FakeTarget, make_evaluation_only, make_run
from pellucid.errors import PellucidError, UsageError
from pellucid.reporting.checklists import checklist_rows, checklist_summary, write_checklists
from pellucid.reporting.checklists.answers import STATUSES, combine, met, plain
from pellucid.reporting.checklists.fillers import FILLERS
from pellucid.reporting.checklists.form import MAX_ANSWER, MAX_BYTES, read_form, write_form
from pellucid.reporting.checklists.items import AUTHOR, known_items, load_checklists
from pellucid.reporting.checklists.markdown import HEADS, escape_markdown
from pellucid.reporting.documents import load_documents

CHEST = FakeTarget("label", ("NORMAL", "PNEUMONIA"), separation=2.2)
OCT = FakeTarget("label", ("CNV", "DME", "DRUSEN", "NORMAL"), separation=1.5)
KEYS = list(known_items())
Row = dict[str, str]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("made") / "run", CHEST)


@pytest.fixture
def run(template: Path, tmp_path: Path) -> Path:
    """A copy of a run, so that a test may change it."""
    import shutil

    return Path(shutil.copytree(template, tmp_path / "run"))


def rows_of(run: Path) -> dict[str, Row]:
    """The rows by key, as "claim_33"."""
    rows = checklist_rows(load_documents(run))
    return dict(zip(KEYS, rows, strict=True))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_blocks(run: Path, **changes: Any) -> None:
    document = json.loads((run / "evaluation.json").read_text())
    for block in document["blocks"]:
        block.update(changes)
        for key in [key for key, value in changes.items() if value is None]:
            del block[key]
    (run / "evaluation.json").write_text(json.dumps(document))


def without_facts(run: Path) -> None:
    """Leave the run no fact of a patient or device."""
    table = pd.read_csv(run / "index.csv", dtype=str)
    kept = ["image_id", "image_path", "frame", "patient_id", "split", "label"]
    table[kept].to_csv(run / "index.csv", index=False)
    facts = json.loads((run / "run.json").read_text())
    edit(run / "run.json", dataset={**facts["dataset"], "facts": []})


def block_of(run: Path, split: str = "test") -> dict[str, Any]:
    document = json.loads((run / "evaluation.json").read_text())
    return next(block for block in document["blocks"] if block["split"] == split)


# The data


def test_the_lists_have_as_many_items_as_the_published_ones() -> None:
    claim, tripod, card = load_checklists()
    assert [item.number for item in claim.items] == [str(k) for k in range(1, 45)]
    assert len(tripod.items) == 52
    main = dict.fromkeys(re.sub(r"[a-z]$", "", item.number) for item in tripod.items)
    assert list(main) == [str(k) for k in range(1, 28)]
    assert len({item.section for item in card.items}) == 9


def test_every_item_has_words_a_source_and_a_filler_that_exists() -> None:
    assert len(set(KEYS)) == 44 + 52 + 29
    for item in known_items().values():
        assert item.text.endswith(".")
        assert item.source.endswith(f"item {item.number}")
        assert "doi:10." in item.source
        assert item.filled_by == AUTHOR or item.filled_by in FILLERS
    used = {item.filled_by for item in known_items().values()} - {AUTHOR}
    assert used == set(FILLERS)


def test_lists_say_what_their_numbering_was_checked_against() -> None:
    for checklist in load_checklists():
        assert checklist.checked
        assert checklist.wording
    unchecked = {item.checklist for item in known_items().values() if not item.numbering_checked}
    assert unchecked == {"Model card"}


# What the run says


def test_every_item_has_a_status(run: Path) -> None:
    rows = rows_of(run)
    for row in rows.values():
        assert set(row) == {
            "checklist",
            "number",
            "section",
            "item",
            "status",
            "answer",
            "source",
        }
        assert all(isinstance(value, str) for value in row.values())
        assert row["status"] in STATUSES
        assert row["answer"] or row["status"] == "asked"
    assert rows["claim_2"]["status"] == "asked"
    assert rows["claim_22"]["status"] == "met"


def test_summary_counts_every_item_once(run: Path) -> None:
    summary = checklist_summary(list(rows_of(run).values()))
    assert [counts["checklist"] for counts in summary] == [c.name for c in load_checklists()]
    for counts in summary:
        assert sum(int(counts[status]) for status in STATUSES) == counts["items"]


def test_answers_carry_the_numbers_of_the_evaluation(run: Path) -> None:
    block, rows = block_of(run), rows_of(run)
    for key, names in (
        ("claim_37", ("auroc", "accuracy")),
        ("claim_38", ("sensitivity", "specificity", "ppv", "npv")),
        ("tripod_23a", ("auroc",)),
        ("claim_32", ("auroc",)),
    ):
        for name in names:
            figure = block["metrics"][name]
            assert f"{figure['value']:.3f}" in rows[key]["answer"]
            if figure["low"] is not None:
                assert f"{figure['low']:.3f}–{figure['high']:.3f}" in rows[key]["answer"]
    assert (
        f"{block['n_images']} images of {block['n_patients']} patients"
        in (rows["card_5a"]["answer"])
    )
    matrix = block["confusion_matrix"]
    wrong = matrix[0][1] + matrix[1][0]
    assert f"{wrong} of {block['n_images']} images" in rows["claim_39"]["answer"]


def test_partitions_are_those_of_the_index(run: Path) -> None:
    table = load_documents(run).index
    assert table is not None
    answer = rows_of(run)["claim_19"]["answer"]
    for split, part in table.groupby("split"):
        size = f"{len(part)} images of {part['patient_id'].nunique()} patients"
        assert f"{split}: {size}".lower() in answer.lower()


def test_the_chosen_epoch_is_that_of_the_history(run: Path) -> None:
    history = load_documents(run).history
    assert history is not None
    best = history[history["is_best"]].iloc[-1]
    answer = rows_of(run)["claim_26"]["answer"]
    assert f"Epoch {int(best['epoch'])} of {len(history)}" in answer
    assert f"{best['validation_metric']:.3f}" in answer


def test_each_class_is_answered_where_there_are_several(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", OCT)
    answer, block = rows_of(run)["claim_38"]["answer"], block_of(run)
    for name in OCT.classes:
        value = block["per_class"][name]["sensitivity"]["value"]
        assert f"{name}: sensitivity (recall) {value:.3f}" in answer


def test_without_external_test_the_item_is_not_met(run: Path) -> None:
    row = rows_of(run)["claim_33"]
    assert (row["status"], row["answer"]) == ("not met", "The run holds no external test.")


def test_an_external_test_meets_the_item(run: Path) -> None:
    document = json.loads((run / "evaluation.json").read_text())
    external = {**block_of(run), "split": "external_test"}
    (run / "evaluation.json").write_text(
        json.dumps({**document, "blocks": [*document["blocks"], external]})
    )
    row = rows_of(run)["claim_33"]
    assert row["status"] == "met"
    assert f"{external['metrics']['auroc']['value']:.3f}" in row["answer"]


def test_unknown_and_shared_patients_are_not_met(run: Path) -> None:
    edit(run / "run.json", allow_shared_patients=True)
    table = load_documents(run).index
    assert table is not None
    table.loc[:, "patient_id"] = "secret-patient-1"
    table.to_csv(run / "index.csv", index=False)
    assert rows_of(run)["claim_20"]["status"] == "not met"
    edit(run / "run.json", dataset={"patients_known": False, "n_images": 400})
    row = rows_of(run)["claim_20"]
    assert row["status"] == "not met"
    assert "Patients are unknown" in row["answer"]


def test_patients_shared_against_the_facts_are_found_in_the_index(run: Path) -> None:
    table = load_documents(run).index
    assert table is not None
    table.loc[:, "patient_id"] = "secret-patient-1"
    table.to_csv(run / "index.csv", index=False)
    row = rows_of(run)["claim_20"]
    assert row["status"] == "not met"
    assert "1 patient" in row["answer"]


def test_what_a_run_lacks_is_not_met(run: Path) -> None:
    without_facts(run)
    edit_blocks(run, subgroups=None, calibration=None)
    edit(run / "evaluation.json", robustness=[])
    rows = rows_of(run)
    for key in ("card_7a", "card_3b", "tripod_14", "tripod_12d", "tripod_12f", "tripod_24"):
        assert rows[key]["status"] == "not met", key
    assert rows["claim_30"]["status"] == "not met"
    assert rows["tripod_23a"]["status"] == "not met"
    assert "AUROC" in rows["tripod_23a"]["answer"]
    assert rows["claim_36"]["status"] == "not met"


def test_figures_without_any_interval_do_not_meet_the_item(run: Path) -> None:
    bare = {"value": 0.9, "low": None, "high": None, "method": "no interval: one patient"}
    edit_blocks(run, metrics={"auroc": bare}, per_class={})
    rows = rows_of(run)
    assert rows["claim_37"]["status"] == "not met"
    assert rows["claim_29"]["status"] == "not met"
    assert "0.900" in rows["claim_37"]["answer"]


def test_a_test_of_given_predictions_may_be_of_another_source(tmp_path: Path) -> None:
    row = rows_of(make_evaluation_only(tmp_path / "run", CHEST))["claim_32"]
    assert row["status"] == "asked"
    assert "AUROC" in row["answer"]


def test_the_size_of_the_test_is_told_with_what_the_audit_expects_of_it(run: Path) -> None:
    said = "40 ill and 60 other patients are in test: expect an AUROC of 0.85 to be known to ±0.08."
    finding = {"level": "NOTE", "code": "sample_size", "message": said}
    edit(run / "audit.json", findings=[finding])
    assert rows_of(run)["claim_21"]["answer"].endswith(said)


def test_intervals_are_told_by_method_and_not_by_their_counts(run: Path) -> None:
    answer = rows_of(run)["claim_29"]["answer"]
    assert "intervals over patients" in answer
    assert "Wilson" in answer
    assert "independent ones" not in answer


def test_facts_of_persons_are_told_by_partition_and_small_cells_hidden(run: Path) -> None:
    table = load_documents(run).index
    assert table is not None
    number = table["patient_id"].str.extract(r"(\d+)$")[0].astype(int)
    table["sex"] = number.mod(2).map({0: "F", 1: "M"})
    table.loc[table["patient_id"] == table["patient_id"].iloc[0], "sex"] = "rare-value"
    table["age"] = (20 + number.mod(60)).astype(str).str.zfill(3) + "Y"
    table.to_csv(run / "index.csv", index=False)
    facts = json.loads((run / "run.json").read_text())
    edit(run / "run.json", dataset={**facts["dataset"], "facts": ["sex", "age"]})
    row = rows_of(run)["claim_36"]
    assert row["status"] == "met"
    test = table[table["split"] == "test"]
    women = test[test["sex"] == "F"]["patient_id"].nunique()
    assert f"sex, test: F {women if women >= 10 else 'fewer than 10'}" in row["answer"]
    assert "rare-value fewer than 10" in row["answer"]
    assert "age, train: median" in row["answer"]


def test_a_run_of_given_predictions_leaves_development_out(tmp_path: Path) -> None:
    rows = rows_of(make_evaluation_only(tmp_path / "run", CHEST))
    assert rows["tripod_12c"]["status"] == "n/a"
    assert "made elsewhere" in rows["tripod_12c"]["answer"]
    assert rows["claim_22"]["status"] == "asked"
    assert rows["claim_37"]["status"] == "met"


def test_facts_of_subgroups_are_not_denied(run: Path) -> None:
    gap = {"value": 0.12, "low": 0.03, "high": 0.21, "method": "patient bootstrap"}
    entry = {"fact": "sex", "values": [], "metric": "auroc", "gap": gap, "verdict": ""}
    site = {**entry, "fact": "hospital_site", "verdict": "By hospital_site AUROC differs."}
    without_facts(run)
    edit_blocks(run, subgroups=[entry, site])
    rows = rows_of(run)
    assert rows["claim_36"]["status"] == "asked"
    assert rows["card_7a"]["status"] == "met"
    assert "AUROC by sex; gap 0.120 (95 % interval 0.030–0.210)" in rows["card_7a"]["answer"]
    assert rows["tripod_12d"]["answer"].startswith("label, test: By hospital_site AUROC differs;")
    assert rows["tripod_23a"]["status"] == "met"
    edit(run / "run.json", dataset={"facts": ["hospital_site"]})
    edit_blocks(run, subgroups=None)
    assert "though the dataset holds facts" in rows_of(run)["card_7a"]["answer"]


def test_calibration_is_told_before_and_after(run: Path) -> None:
    figure = {"value": 0.71, "low": 0.6, "high": 0.8, "method": "patient bootstrap"}
    scaling = {"method": "temperature", "parameters": {"t": 1.3}, "fitted_on": "validation"}
    held = {"before": {"slope": figure}, "after": {"slope": {**figure, "value": 0.99}}}
    edit_blocks(run, calibration={**held, "scaling": scaling, "reason": ""})
    rows = rows_of(run)
    assert "temperature scaling fitted on validation" in rows["tripod_12f"]["answer"]
    for value in ("slope 0.710", "slope 0.990"):
        assert value in rows["tripod_24"]["answer"]


def test_only_an_evaluation_is_needed(run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "evaluation.json").write_text((run / "evaluation.json").read_text())
    assert len(write_checklists(alone)) == 3
    assert rows_of(alone)["claim_37"]["status"] == "met"


# The author's form


def test_the_form_asks_what_the_run_does_not_meet(run: Path) -> None:
    form = write_checklists(run)[0]
    assert form == run / "checklist.yaml"
    asked = set(yaml.safe_load(form.read_text()))
    statuses = {key: row["status"] for key, row in rows_of(run).items()}
    assert asked == {key for key, status in statuses.items() if status != "met"}
    assert all(value is None for value in yaml.safe_load(form.read_text()).values())
    for key in asked:
        assert known_items()[key].text in form.read_text()


def answer(form: Path, **answers: str) -> None:
    text = form.read_text()
    for key, value in answers.items():
        assert f"\n{key}:\n" in text
        text = text.replace(f"\n{key}:\n", f"\n{key}: {value}\n")
    form.write_text(text)


def test_answers_go_round(run: Path) -> None:
    form = write_checklists(run)[0]
    answer(
        form,
        claim_5="Retrospective: all images were there before; see grant #12.",
        claim_34="n/a: not a trial",
        tripod_18a="|\n  Paid by two bodies: A\n  and B.",
        card_1h="no",
        claim_44='"2024"',
    )
    rows = rows_of(run)
    assert rows["claim_5"]["status"] == "met (author)"
    assert rows["claim_5"]["answer"] == (
        "Retrospective: all images were there before; see grant #12."
    )
    assert (rows["claim_34"]["status"], rows["claim_34"]["answer"]) == ("n/a", "not a trial")
    assert rows["tripod_18a"]["answer"] == "Paid by two bodies: A and B."
    assert rows["card_1h"]["answer"] == "no"
    assert rows["claim_44"]["answer"] == "2024"


def test_an_author_cannot_hide_what_the_run_knows(run: Path) -> None:
    answer(write_checklists(run)[0], claim_33="Tested at another hospital, see Table 4")
    row = rows_of(run)["claim_33"]
    assert row["status"] == "met (author)"
    assert row["answer"] == (
        "Tested at another hospital, see Table 4. From the run: The run holds no external test."
    )
    assert combine(met("Known."), "More").status == "met"


def test_writing_again_changes_nothing(run: Path) -> None:
    paths = write_checklists(run)
    answer(paths[0], claim_5="Retrospective")
    write_checklists(run)
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write_checklists(run)] == before
    assert b"claim_5: Retrospective" in before[0]


@pytest.mark.parametrize(
    "text",
    [
        "# my own note\nclaim_5: Retrospective\n",
        "claim_5: |\n  Retrospective\n",
        '{claim_5: "Retrospective"}\n',
        "---\nclaim_5: Retrospective\n...\n",
        "claim_5: Retrospective",
        '\ufeffclaim_5: "Retrospective"\r\n',
    ],
)
def test_new_items_join_a_form_and_no_answer_is_lost(run: Path, text: str) -> None:
    form = run / "checklist.yaml"
    form.write_text(text, encoding="utf-8")
    write_checklists(run)
    assert read_form(form, KEYS) == {"claim_5": "Retrospective"}
    assert "claim_33:" in form.read_text()
    if text.startswith("#"):
        assert form.read_text().startswith(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("claim_5: [unclosed", "must be YAML"),
        ("- a list\n", "KEY: answer"),
        ("claim_55: x\n", "key"),
        ("clam_5: x\n", 'Did you mean "claim_5"'),
        ("? [a, b]\n: x\n", "key"),
        ("claim_5: one\nclaim_5: two\n", "answered once"),
        ("claim_5: {a: b}\n", "must be text"),
        ("claim_5: !!python/object/apply:os.system ['true']\n", "must be text"),
        ("claim_5: !evil x\n", "must be text"),
        ("claim_4: &a x\nclaim_5: [*a, *a]\n", "must be text"),
        ("claim_5: n/a\n", "needs a reason"),
        (f"claim_5: {'x' * (MAX_ANSWER + 1)}\n", "at most"),
        ("claim_5: " + "[" * 5000 + "\n", "must be YAML"),
        (f"# {'x' * MAX_BYTES}\n", "larger"),
        ("a: 1\n---\nb: 2\n", "must be YAML"),
        ("claim_5: \x00\n", "must be YAML"),
    ],
)
def test_a_hostile_form_is_refused_and_left_alone(run: Path, text: str, words: str) -> None:
    form = run / "checklist.yaml"
    form.write_text(text, encoding="utf-8")
    with pytest.raises(PellucidError, match=re.escape(words)):
        write_checklists(run)
    assert form.read_text() == text


def test_a_form_that_is_no_text_is_refused(run: Path) -> None:
    (run / "checklist.yaml").write_bytes(b"\xff\xfe\x00claim_5")
    with pytest.raises(UsageError, match="not a text file"):
        checklist_rows(load_documents(run))


def test_an_empty_form_gets_all_fields(tmp_path: Path) -> None:
    form = tmp_path / "checklist.yaml"
    form.write_text("")
    write_form(form, [], KEYS)
    assert read_form(form, KEYS) == {}


# Markdown and Word


def markdown_rows(text: str) -> list[list[str]]:
    """The cells of every table row, read as GitHub reads them."""
    lines = [line for line in text.split("\n") if line.startswith("| ")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[re.sub(r"\\(.)", r"\1", cell.strip()) for cell in row] for row in cells]


def word_rows(path: Path) -> list[list[str]]:
    docx = pytest.importorskip("docx")
    tables = docx.Document(str(path)).tables
    return [[cell.text for cell in row.cells] for table in tables for row in table.rows]


def expected_rows(run: Path) -> list[list[str]]:
    rows = list(rows_of(run).values())
    shown: list[list[str]] = []
    for checklist in load_checklists():
        held = [row for row in rows if row["checklist"] == checklist.name]
        shown.append(list(HEADS))
        shown += [[row[key] for key in ("number", "item", "status", "answer")] for row in held]
    return shown


def test_markdown_and_word_hold_the_rows(run: Path) -> None:
    _, markdown, word = write_checklists(run)
    assert markdown_rows(markdown.read_text()) == expected_rows(run)
    assert word_rows(word) == expected_rows(run)


def test_hostile_names_stay_in_their_cells(tmp_path: Path) -> None:
    hostile = ("a|b\\|c", "<script>*x*</script>\n| [l](javascript:1) |\x07\u202e")
    run = make_run(tmp_path / "run", FakeTarget("tar|get", hostile))
    _, markdown, word = write_checklists(run)
    assert markdown_rows(markdown.read_text()) == expected_rows(run)
    assert word_rows(word) == expected_rows(run)
    text = markdown.read_text()
    assert not re.search(r"(?<!\\)<script", text)
    assert not re.search(r"(?<!\\)\[l\]", text)
    assert "\u202e" not in text


def test_hostile_answers_stay_in_their_cells(run: Path) -> None:
    form = write_checklists(run)[0]
    answer(form, claim_5='"a | b\\n# head\\x07 <img src=x>"')
    _, markdown, word = write_checklists(run)
    assert markdown_rows(markdown.read_text()) == expected_rows(run)
    assert word_rows(word) == expected_rows(run)
    assert rows_of(run)["claim_5"]["answer"] == "a | b # head <img src=x>"


def test_files_name_no_patient_no_image_and_no_folder(run: Path) -> None:
    table = load_documents(run).index
    assert table is not None
    form, markdown, word = write_checklists(run)
    parts = [zipfile.ZipFile(word).read(name) for name in zipfile.ZipFile(word).namelist()]
    text = form.read_text() + markdown.read_text() + b"".join(parts).decode("utf-8", "ignore")
    for secret in ("secret-patient", "scan_0", str(run), "data/chest_xray", "python-docx"):
        assert secret not in text
    assert str(run.parent) not in text


def test_the_same_run_gives_the_same_bytes(run: Path) -> None:
    first = [path.read_bytes() for path in write_checklists(run)]
    assert [path.read_bytes() for path in write_checklists(run)] == first


def test_a_missing_package_is_named_with_its_install_line(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "docx", None)
    with pytest.raises(PellucidError, match="pip install python-docx"):
        write_checklists(run)
    assert (run / "checklists.md").is_file()


def test_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run folder"):
        write_checklists(tmp_path)


def test_plain_and_escaped_texts() -> None:
    assert plain("a\u2028b\tc\u200b") == "a b c"
    assert escape_markdown("x | y") == r"x \| y"
