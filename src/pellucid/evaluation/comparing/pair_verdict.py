"""What follows from a pair's differences, in a sentence that anyone can read.

Says plainly when a difference is within chance, and how large a one is not excluded: that no
difference was found is not that there is none (Altman and Bland 1995, BMJ 311:485).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LEVEL = 0.05  # of the corrected p-values
LOW_IS_BETTER = frozenset({"brier", "log_loss", "calibration_error", "adaptive_calibration_error"})
_SPELT = {"auroc": "AUROC", "auprc": "AUPRC", "ppv": "PPV", "npv": "NPV", "f1": "F1"}

Document = Mapping[str, Any]


def metric_words(metric: str, n_classes: int = 2) -> str:
    """A metric as it stands in a sentence.

    >>> metric_words("auroc", 3), metric_words("balanced_accuracy")
    ('macro AUROC', 'balanced accuracy')
    """
    if metric == "auroc" and n_classes > 2:
        return "macro AUROC"
    return " ".join(_SPELT.get(word, word) for word in metric.split("_"))


def p_words(p: float | None) -> str:
    """A p-value as it stands in a sentence.

    >>> p_words(0.0312), p_words(0.00004), p_words(1.0)
    ('p = 0.031', 'p < 0.001', 'p = 1')
    """
    if p is None:
        return "p not known"
    if p < 0.001:
        return "p < 0.001"
    return "p = 1" if p > 0.9995 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def pair_verdict(pair: Document, block: Document, n_tests: int) -> str:
    """Whether the second model differs from the first beyond chance, metric by metric."""
    metrics: Mapping[str, Document] = pair["metrics"]
    if all(entry["test"] == "identical predictions" for entry in metrics.values()):
        return f"{pair['first']} and {pair['second']} gave identical predictions."
    leading = next(iter(metrics))
    sentences = [_leading(leading, pair, block)]
    entry = metrics[leading]
    if _excludes_zero(entry) and not is_beyond_chance(entry) and entry["p"] is not None:
        sentences.append(
            "The interval alone leaves out zero, but one in twenty does so by chance; the "
            f"corrected p-value counts that {n_tests} tests were made."
        )
    return " ".join([*sentences, *_others(leading, pair, block)])


def is_beyond_chance(entry: Document) -> bool:
    """Whether the corrected p-value is below 0.05."""
    return entry["p_corrected"] is not None and bool(entry["p_corrected"] < LEVEL)


def _leading(metric: str, pair: Document, block: Document) -> str:
    entry, name = pair["metrics"][metric], metric_words(metric, len(block["classes"]))
    figure = entry["difference"]
    first, second = pair["first"], pair["second"]
    if figure["value"] is None:
        reason = figure["method"].removeprefix("undefined: ")
        return f"{second} and {first} cannot be compared by {name}: {reason}."
    if is_beyond_chance(entry):
        better, worse = (second, first) if _favours_second(metric, figure) else (first, second)
        numbers = _numbers(metric, pair, block, better)
        return f"{better} was better than {worse} beyond chance: {numbers}."
    numbers = _numbers(metric, pair, block, second)
    if entry["p_corrected"] is None:
        return f"Whether {second} differs from {first} by {name} cannot be told: {numbers}."
    text = f"The difference between {second} and {first} is within chance: {numbers}."
    return f"{text} {_not_excluded(metric, name, pair)}".rstrip()


def _numbers(metric: str, pair: Document, block: Document, of: str) -> str:
    """Both values, that of the model `of` first, then its difference, interval and p-value."""
    figure, corrected = (
        pair["metrics"][metric]["difference"],
        pair["metrics"][metric]["p_corrected"],
    )
    values = {model["name"]: model["metrics"].get(metric, {}) for model in block["models"]}
    order = (pair["second"], pair["first"])
    sign = 1 if of == pair["second"] else -1
    each = [values[name].get("value") for name in order[::sign]]
    text = metric_words(metric, len(block["classes"]))
    if None not in each:
        text += f" {each[0]:.3f} against {each[1]:.3f}"
    text += f", a difference of {signed(sign * figure['value'])}"
    if figure["low"] is not None:
        low, high = sorted((sign * figure["low"], sign * figure["high"]))
        text += f" (95 % interval {signed(low)} to {signed(high)})"
    return f"{text}, corrected {p_words(corrected)}"


def _not_excluded(metric: str, name: str, pair: Document) -> str:
    """How much better either model may still be."""
    figure = pair["metrics"][metric]["difference"]
    if figure["low"] is None:
        return ""
    up, down = figure["high"], -figure["low"]
    if metric in LOW_IS_BETTER:
        up, down = down, up
    parts = [
        f"{who} better by up to {reach:.3f}"
        for who, reach in ((pair["second"], up), (pair["first"], down))
        if reach >= 0.0005
    ]
    return f"Not excluded: {', or '.join(parts)} of {name}." if parts else ""


def _others(leading: str, pair: Document, block: Document) -> Sequence[str]:
    """The other metrics, by what the tests say of them."""
    groups: dict[str, list[str]] = {}
    for metric, entry in pair["metrics"].items():
        if metric == leading:
            continue
        name, kind = metric_words(metric, len(block["classes"])), "Within chance"
        if entry["p_corrected"] is None:
            kind = "Could not be tested"
        elif is_beyond_chance(entry):
            figure = entry["difference"]
            better = pair["second" if _favours_second(metric, figure) else "first"]
            kind = f"Beyond chance too, and better for {better}"
            name += f" (by {abs(figure['value']):.3f}, {p_words(entry['p_corrected'])})"
        groups.setdefault(kind, []).append(name)
    return [f"{kind}: {', '.join(names)}." for kind, names in groups.items()]


def _favours_second(metric: str, figure: Document) -> bool:
    return bool(figure["value"] > 0) != (metric in LOW_IS_BETTER)


def _excludes_zero(entry: Document) -> bool:
    figure = entry["difference"]
    return figure["low"] is not None and not figure["low"] <= 0 <= figure["high"]


def signed(value: float) -> str:
    """A difference with its sign.

    >>> signed(0.0123), signed(-0.2), signed(0.0)
    ('+0.012', '−0.200', '0.000')
    """
    text = f"{abs(value):.3f}"
    if text == "0.000":
        return text
    return f"+{text}" if value > 0 else f"−{text}"


def describe_pair(pair: Document, block: Document) -> list[str]:
    """One line a metric for a terminal: difference, interval, p and corrected p, test."""
    lines = []
    for metric, entry in pair["metrics"].items():
        figure, name = entry["difference"], metric_words(metric, len(block["classes"]))
        if figure["value"] is None:
            lines.append(f"    {name:<20} not defined ({figure['method']})")
            continue
        bounds = ""
        if figure["low"] is not None:
            bounds = f"({signed(figure['low'])} to {signed(figure['high'])})"
        tests = f"{p_words(entry['p'])}, corrected {p_words(entry['p_corrected'])[2:]}"
        lines.append(
            f"    {name:<20} {signed(figure['value'])} {bounds:<20} {tests}; {entry['test']}"
        )
    return lines
