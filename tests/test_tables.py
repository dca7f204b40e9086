"""Tables on the page are rounded; their CSV holds every digit, and nothing that could be run."""

from __future__ import annotations

import csv
import io
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.reporting.tables import Table, Written, build_table
from pellucid.reporting.writing import Estimate, decimal, in_hundred

FIGURE = Estimate(0.98765432101, 0.9, 0.999999999, "DeLong")


def rows_of(table: Table) -> list[list[str]]:
    address = table.address
    assert address.startswith("data:text/csv;charset=utf-8,")
    text = unquote(address.partition(",")[2])
    assert text == table.csv
    return list(csv.reader(io.StringIO(text)))


def test_an_estimate_is_four_columns_with_every_digit() -> None:
    table = build_table("t", ["Metric", "Value"], [["AUROC", FIGURE], ["F1", Estimate(None)]])
    assert rows_of(table) == [
        ["Metric", "Value", "Value, low", "Value, high", "Value, method"],
        ["AUROC", "0.98765432101", "0.9", "0.999999999", "DeLong"],
        ["F1", "", "", "", ""],
    ]
    assert [cell.text for cell in next(iter(table.shown))] == ["AUROC", "0.988 (0.900–1.000)"]


def test_numbers_are_rounded_on_the_page_only_and_stand_right() -> None:
    table = build_table(
        "t", ["a", "b", "c", "d"], [["x", 1234567, 0.123456, Written("< 0.001", 1e-5)]]
    )
    assert [cell.text for cell in next(iter(table.shown))] == ["x", "1,234,567", "0.123", "< 0.001"]
    assert rows_of(table)[1] == ["x", "1234567", "0.123456", "1e-05"]
    assert table.numeric == (False, True, True, True)


def test_columns_without_anything_are_left_out() -> None:
    table = build_table("t", ["a", "b", "c"], [["x", None, ""], ["y", None, ""]])
    assert table.columns == ("a",)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx"])
def test_a_class_named_like_a_formula_is_text_in_a_spreadsheet(name: str) -> None:
    table = build_table("t", ["class", name], [[name, "x"]])
    head, row = rows_of(table)
    assert head[1] == f"'{name}"
    assert row[0] == f"'{name}"


@given(
    st.lists(
        st.lists(
            st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])),
            min_size=2,
            max_size=2,
        ),
        min_size=1,
    )
)
def test_any_text_comes_back_from_the_csv(cells: list[list[str]]) -> None:
    table = Table("t", ("a", "b"), tuple((one, two) for one, two in cells))
    read = [[cell.removeprefix("'") for cell in row] for row in rows_of(table)[1:]]
    assert read == [[cell.removeprefix("'") for cell in row] for row in cells]


def test_each_reason_for_no_interval_stands_once() -> None:
    lone = Estimate(0.5, method="no interval: too few patients")
    table = build_table("t", ["a", "b", "c"], [["x", lone, lone], ["y", FIGURE, Estimate(None)]])
    assert table.remarks == [
        "no interval: too few patients",
        "not defined: no reason was recorded",
    ]


def test_numbers_as_people_write_them() -> None:
    assert decimal(-0.0701) == "−0.070"
    assert Estimate(-0.1, -0.2, 0.1).text == "−0.100 (−0.200 to 0.100)"
    assert Estimate(None, method="suppressed: fewer than 10 patients").state == "suppressed"
    assert [in_hundred(x) for x in (0.0, 0.001, 0.5, 0.999, 1.0)] == [
        "0",
        "fewer than 1",
        "50",
        "more than 99",
        "100",
    ]
