"""How the numbers of a comparison were found, in sentences with their sources.

Says only what was used in the document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def describe_methods(document: Mapping[str, Any]) -> Iterator[str]:
    """One sentence a method, then what corrected p-values and intervals mean."""
    pairs = [pair for block in document["targets"] for pair in block["pairs"]]
    used = " ".join(entry["test"] for pair in pairs for entry in pair["metrics"].values())
    if "DeLong" in used:
        yield "AUROCs were compared by DeLong's paired test (DeLong et al. 1988)" + (
            ", images of one patient taken together (Obuchowski 1997)." if "1997" in used else "."
        )
    if "McNemar" in used:
        yield _describe_mcnemar(by_patient="by patient" in used.replace("DeLong by patient", ""))
    if "bootstrap" in used:
        yield (
            "Where no formula serves, metrics were compared by a bootstrap in which all models "
            f"meet the same drawn patients ({document['n_resamples']:,} resamples, seed "
            f"{document['seed']}; Efron and Tibshirani 1993)."
        )
    if "runs drawn" in used:
        yield (
            "Of several runs the mean counts, never the best; the bootstrap draws runs as well as "
            "patients, one fewer than there are (Rao and Wu 1988)."
        )
    yield (
        f"P-values are two-sided and corrected for {document['n_tests']} tests (Holm 1979); beyond "
        "chance means a corrected p below 0.05. The 95 % intervals are not corrected."
    )


def _describe_mcnemar(*, by_patient: bool) -> str:
    test = "McNemar's test (1947)"
    if by_patient:
        test = "McNemar's test with images of one patient taken together (Obuchowski 1998)"
    return (
        "Shares of right calls, at the threshold 0.5 or for the likeliest class, were compared by "
        f"{test}, computed exactly where the models differ in fewer than 25 patients; their "
        "intervals are Tango's (1998)."
    )
