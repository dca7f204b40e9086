"""The page of a comparison: verdicts first, every pair in words and figures, nothing outside."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pandas as pd
import pytest

from pellucid.evaluation.comparing.comparison import compare_predictions
from pellucid.reporting.comparing.comparison_page import comparison_section, write_comparison_page
from pellucid.reporting.drawing.forest import ForestRow, plot_forest
from tables import make_table
from test_comparison import other_model


def compare(names: str = "AB", classes: tuple[str, ...] = ("no", "yes"), **more: Any) -> Any:
    """A comparison of models of which the last is far better."""
    table = make_table(120, classes, patients=60)
    tables = {name: other_model(table, 0.5, seed=k) for k, name in enumerate(names)}
    tables[names[-1]] = other_model(table, 0.1, gain=2.0)
    return compare_predictions(tables | more, n_resamples=100)


def page_of(document: Any, folder: Path) -> str:
    return write_comparison_page(document, folder / "comparison.html").read_text(encoding="utf-8")


class Text(HTMLParser):
    """What a reader sees of a page, and its addresses."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for key, value in attrs if key in ("href", "src")]
        self.ids += [value or "" for key, value in attrs if key == "id"]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def __str__(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def test_the_page_says_the_verdict_first_and_every_number(tmp_path: Path) -> None:
    document = compare()
    text = str(Text(page_of(document, tmp_path)))
    verdict = document["targets"][0]["pairs"][0]["verdict"]
    assert verdict.startswith("B was better than A beyond chance: AUROC")
    first = verdict.partition(". ")[0]
    assert text.index(first) < text.index("All were judged on the same") < text.index("Models")
    assert "Which tells yes from no better: A or B?" in text
    figure = document["targets"][0]["pairs"][0]["metrics"]["auroc"]["difference"]
    assert f"+{figure['value']:.3f}" in text
    assert f"+{figure['low']:.3f} to +{figure['high']:.3f}" in text
    assert "beyond chance" in text
    assert "DeLong's paired test" in text
    assert "McNemar's test with images of one patient taken together" in text


def test_the_page_needs_nothing_from_outside_and_its_ids_are_its_own(tmp_path: Path) -> None:
    read = Text(page_of(compare("ABC"), tmp_path))
    assert all(address.startswith(("data:", "#")) for address in read.addresses)
    assert len(read.ids) == len(set(read.ids))


def test_names_from_outside_are_escaped(tmp_path: Path) -> None:
    html = page_of(compare_predictions(
        {"<script>": make_table(50), "$x_1$ & co. B": other_model(make_table(50), 0.9)},
        n_resamples=50,
    ), tmp_path)  # fmt: skip
    assert "<script>:" not in html
    assert "&lt;script&gt;" in html
    assert "$x_1$ &amp; co. B" in html


def test_three_models_have_three_verdicts_and_a_plot_a_metric(tmp_path: Path) -> None:
    document = compare("ABC")
    (part,) = comparison_section(document).targets
    assert [verdict.is_beyond_chance for verdict in part.verdicts] == [False, True, True]
    assert len(part.plots) == 4
    assert [pair for pair, _ in part.pairs] == ["B − A", "C − A", "C − B"]
    assert part.drawn_against == ""
    assert page_of(document, tmp_path).count('class="fail"') == 2


def test_of_many_models_the_pairs_with_the_first_are_drawn_and_all_are_in_the_table() -> None:
    (part,) = comparison_section(compare("ABCDE")).targets
    assert part.drawn_against == "A"
    assert len(part.pairs) == 10
    assert "E − D" not in part.plots[0]
    assert "E − A" in part.plots[0]


def test_the_tables_hold_every_digit_as_csv(tmp_path: Path) -> None:
    document = compare()
    read = Text(page_of(document, tmp_path))
    sheets = [unquote(a.partition(",")[2]) for a in read.addresses if a.startswith("data:text/csv")]
    assert len(sheets) == 3
    rows = list(csv.DictReader(io.StringIO(sheets[-1])))
    pair = document["targets"][0]["pairs"][0]["metrics"]
    assert [row["Metric"] for row in rows] == ["AUROC", "sensitivity", "specificity", "accuracy"]
    assert float(rows[0]["Second - first"]) == pair["auroc"]["difference"]["value"]
    assert float(rows[0]["p, corrected"]) == pair["auroc"]["p_corrected"]


def test_runs_classes_and_what_is_undefined_are_shown(tmp_path: Path) -> None:
    table = make_table(90, ("a", "b", "c"))
    runs: list[pd.DataFrame] = [other_model(table, 0.5, seed=k) for k in range(3)]
    text = str(
        Text(page_of(compare_predictions({"A": table, "B": runs}, n_resamples=60), tmp_path))
    )
    assert "Which tells a, b and c apart better: A or B?" in text
    assert "Runs that differ by seed" in text
    assert "macro AUROC" in text
    assert "never the best" in text
    one = make_table(50).query("y_true == 'no'")
    document = compare_predictions({"A": one, "B": other_model(one, 0.5)}, n_resamples=60)
    text = str(Text(page_of(document, tmp_path)))
    assert "not defined" in text
    assert "no image of class yes" in text
    assert "not tested" in text


@pytest.mark.parametrize("n_rows", [1, 6])
def test_a_forest_plot_reads_aloud_what_it_draws(n_rows: int) -> None:
    models = [
        ForestRow(f"model {k}", "0.900 (0.850–0.940)", 0.9, 0.85, 0.94) for k in range(n_rows)
    ]
    pairs = [ForestRow("B − A", "not defined", None), ForestRow("C − A", "0.000", 0.0)]
    svg = plot_forest("AUROC", models, pairs, name="f")
    root = ET.fromstring(svg)  # noqa: S314 - our own plot
    assert "model 0 0.900 (0.850–0.940)" in root.attrib["aria-label"]
    texts = ["".join(element.itertext()) for element in root.iter("text")]
    assert {"AUROC", "Difference", "not defined", "← first better", "second better →"} <= set(texts)
    assert svg == plot_forest("AUROC", models, pairs, name="f")


def test_a_forest_of_shares_has_no_tick_above_one() -> None:
    row = ForestRow("a", "0.995 (0.990–0.999)", 0.995, 0.990, 0.999)
    svg = plot_forest("AUROC", [row], [ForestRow("b − a", "0", 0.0, -0.1, 0.1)], name="f")
    assert ">1<" in svg or ">0.99<" in svg
    assert not re.search(r">1\.\d+<", svg)


def test_what_is_within_chance_is_hollow_also_in_grey() -> None:
    def plot(*, is_filled: bool) -> str:
        row = ForestRow("B − A", "+0.1", 0.1, 0.0, 0.2, is_filled=is_filled)
        return plot_forest("AUROC", [row], [row], name="f")

    assert plot(is_filled=False).count("#ffffff") > plot(is_filled=True).count("#ffffff")


def test_long_names_of_a_pair_can_still_be_told() -> None:
    document = compare_predictions({
        "a very long name of a model": make_table(60),
        "another long name of a model": other_model(make_table(60), 0.7),
    }, n_resamples=50)  # fmt: skip
    (part,) = comparison_section(document).targets
    assert "another … − a very lo…" in part.plots[0]
    assert part.pairs[0][0] == "another long name of a model − a very long name of a model"
