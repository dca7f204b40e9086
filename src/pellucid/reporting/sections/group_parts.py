"""Where the figures differ: subgroups of patients, and images that were made worse on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pellucid.reporting.drawing.group_plots import Row, plot_corruption, plot_forest
from pellucid.reporting.metric_words import in_order
from pellucid.reporting.parts import Part
from pellucid.reporting.tables import Cell, Table, Written, build_table
from pellucid.reporting.writing import Estimate, capitalise, decimal, metric_name, sentence_of

ONLY_ONE = "By kind and severity"
HIDDEN = "< 10"  # what a suppressed cell says of its size
Block = dict[str, Any]


def subgroups_part(block: Block, number: int) -> Part | None:
    """Every fact's groups in one table and one forest; suppressed cells say why."""
    facts = block.get("subgroups")
    if facts is None:
        return None
    title, anchor = "Subgroups", f"subgroups-{number}"
    if not facts:
        text = "The table names no fact (sex, age, site, view …), so no subgroup could be judged."
        return Part(title, anchor, (f"{text} Nobody knows whether some patients fare worse.",))
    metric = str(facts[0].get("metric") or "auroc")
    whole = Estimate.of((block.get("metrics") or {}).get(metric)).value
    rows = list(_forest_rows(facts, metric))
    name = metric_words(metric, block)
    plot = plot_forest(rows, metric=name, whole=whole, name=f"subgroups-{number}")
    verdicts = tuple(
        sentence_of(str(entry.get("verdict") or f"By {_fact(entry)} nothing was judged"))
        for entry in facts
    )
    tables = (_group_table(facts, number), _gap_table(facts, name, number))
    key = (
        f"The dotted line is {name} over all images. p is corrected for the number of tests. "
        "Groups too small to judge, or to show without pointing at a person, are suppressed."
    )
    return Part(title, anchor, verdicts, (plot,), tables, key)


def metric_words(metric: str, block: Block) -> str:
    """The name of a metric over these classes."""
    several = metric == "auroc" and len(block["classes"]) > 2
    return "Macro AUROC" if several else capitalise(metric_name(metric))


def _fact(entry: Block) -> str:
    return str(entry["fact"]).replace("_", " ")


def _forest_rows(facts: list[Block], metric: str) -> Iterator[Row]:
    for entry in facts:
        yield Row(_fact(entry), is_head=True)
        for value in entry["values"]:
            yield Row(f"{value['value']}", _group_figure(value, metric))


def _group_figure(value: Block, metric: str) -> Estimate:
    if value.get("suppressed"):
        return Estimate(None, method=f"suppressed: {value.get('reason') or 'too few'}")
    return Estimate.of((value.get("metrics") or {}).get(metric))


def _group_table(facts: list[Block], number: int) -> Table:
    values = [value for entry in facts for value in entry["values"]]
    keys = in_order({key for value in values for key in value.get("metrics") or {}})
    rows: list[list[Cell]] = [
        [
            _fact(entry),
            str(value["value"]),
            _size(value.get("n_images")),
            _size(value.get("n_patients")),
            *(_group_figure(value, key) for key in keys),
        ]
        for entry in facts
        for value in entry["values"]
    ]
    heads = ["Fact", "Group", "Images", "Patients", *(capitalise(metric_name(k)) for k in keys)]
    return build_table(f"groups-{number}", heads, rows)


def p_cell(p: float | None) -> Cell:
    """A p-value as people write it; the CSV has all its digits."""
    if p is None:
        return None
    return Written("< 0.001" if p < 0.001 else decimal(p), float(p))


def _size(n: int | None) -> Cell:
    return HIDDEN if n is None else int(n)


def _gap_table(facts: list[Block], metric: str, number: int) -> Table:
    rows: list[list[Cell]] = [
        [
            _fact(entry),
            Estimate.of(entry["gap"] or {"method": _why_no_gap(entry)}),
            p_cell(entry.get("p")),
            p_cell(entry.get("p_corrected")),
            str(entry.get("test") or ""),
        ]
        for entry in facts
    ]
    heads = ["Fact", f"Largest gap of {metric}", "p", "p corrected", "Test"]
    return build_table(f"gaps-{number}", heads, rows)


def _why_no_gap(entry: Block) -> str:
    return f"undefined: {str(entry.get('test') or '').removeprefix('not made: ')}"


def robustness_parts(robustness: list[Block]) -> list[Part]:
    """One part a target: a small curve for each corruption, all on one scale, and their table."""
    parts = [_robustness_part(entry, number) for number, entry in enumerate(robustness)]
    return [replace(part, title=ONLY_ONE) for part in parts] if len(parts) == 1 else parts


def _robustness_part(entry: Block, number: int) -> Part:
    metric = metric_name(str(entry["metric"]))
    metric = f"Macro {metric}" if str(entry.get("average", "")).startswith("macro") else metric
    low = _lowest(entry)
    plots = tuple(
        plot_corruption(corruption, metric=metric, low=low, name=f"robustness-{number}-{place}")
        for place, corruption in enumerate(entry["corruptions"])
    )
    words = (
        f"{metric} on {int(entry['n_images']):,} images that were made worse on purpose, by "
        "severity. A classifier that falls early needs images made exactly as those it learned "
        "from.",
        *((sentence_of(str(entry["verdict"])),) if entry.get("verdict") else ()),
    )
    return Part(
        str(entry["target"]),
        f"robustness-{number}",
        words,
        plots,
        (_robustness_table(entry, number),),
        "The dotted line is the value on unchanged images; bars are 95 % intervals.",
        are_small=True,
    )


def _lowest(entry: Block) -> float:
    figures = [
        Estimate.of(figure)
        for corruption in entry["corruptions"]
        for figure in (corruption["clean"], *(x["metric"] for x in corruption["levels"]))
    ]
    ends = [x.low if x.low is not None else x.value for x in figures if x.value is not None]
    lowest = min([end for end in ends if end is not None], default=0.0)
    return 0.5 if lowest >= 0.5 else max(0.0, lowest - 0.05)


def _robustness_table(entry: Block, number: int) -> Table:
    rows: list[list[Cell]] = []
    for corruption in entry["corruptions"]:
        name, unit = str(corruption["name"]).replace("_", " "), str(corruption.get("unit") or "")
        rows.append([name, unit, None, None, Estimate.of(corruption["clean"]), None, None])
        rows += [
            [
                name,
                unit,
                int(level["severity"]),
                _value(level.get("value")),
                Estimate.of(level["metric"]),
                Estimate.of(level["change"]) if level.get("change") else None,
                p_cell(level.get("p_corrected")),
            ]
            for level in corruption["levels"]
        ]
    heads = ["Corruption", "Unit", "Severity", "Value", metric_name(str(entry["metric"]))]
    return build_table(f"robustness-{number}", [*heads, "Change", "p corrected"], rows)


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else "" if value is None else str(value)
