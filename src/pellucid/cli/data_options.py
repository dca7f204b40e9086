"""The options that describe a dataset, the same for every command that takes DATA.

Knows the words of the command line and whom to ask for the dataset; the rest is `data.index`'s.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.progress import Progress

if TYPE_CHECKING:
    from pellucid.data.index import Dataset

Positive = Annotated[
    str | None, typer.Option(metavar="CLASS", help="The class that counts as positive.")
]

DATA_OPTIONS: dict[str, Any] = {
    "data": Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A folder with one subfolder a class (split folders above them are honoured), "
            "a manifest (.csv, .parquet), a MedMNIST .npz or medmnist:NAME, "
            "phantom:{chest,breast,oct}, or a folder of DICOM files with --labels.",
        ),
    ],
    "labels": Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="A folder without class folders: the table (.csv, .parquet) of labels, joined by "
            "PatientID, StudyInstanceUID, SOPInstanceUID or file name.",
        ),
    ],
    "join_column": Annotated[
        str | None, typer.Option(help="The column of --labels that says which image is meant.")
    ],
    "image_column": Annotated[
        str | None, typer.Option(help="Manifest: the column of image paths.")
    ],
    "label_column": Annotated[
        list[str] | None,
        typer.Option(help="Tables: a column of labels; repeat for more targets."),
    ],
    "patient_column": Annotated[str | None, typer.Option(help="Tables: the column of patients.")],
    "patient_pattern": Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="Regular expression that finds the patient in the file name (its first group, "
            "if it has one).",
        ),
    ],
    "split_column": Annotated[
        str | None, typer.Option(help="Tables: the column with train, validation or test.")
    ],
    "patients": Annotated[
        Path | None,
        typer.Option(help="MedMNIST: a CSV with split, index, patient for each row."),
    ],
    "merge": Annotated[
        list[str] | None,
        typer.Option(metavar="NEW=OLD+OLD", help="Merge classes; may be repeated."),
    ],
    "positive": Positive,
    "slices": Annotated[
        str | None,
        typer.Option(
            metavar="AXIS[:STEP]",
            help="NIfTI volumes: axial, coronal or sagittal slices, each STEP-th of them.",
        ),
    ],
    "pseudonymise": Annotated[
        Path | None,
        typer.Option(
            metavar="KEYFILE",
            help="Replace patient, study and image ids by hashes with the key in this file; "
            "it is made if it does not exist.",
        ),
    ],
}
"""What describes a dataset: the same options for every command that takes DATA."""


def takes_data(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `DATA_OPTIONS`; it gets their values as `chosen`."""
    signature = inspect.signature(command, eval_str=True)
    own = [entry for entry in signature.parameters.values() if entry.name != "chosen"]
    shared = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=annotation,
            default=inspect.Parameter.empty if name == "data" else None,
        )
        for name, annotation in DATA_OPTIONS.items()
    ]

    @functools.wraps(command)
    def run(**options: Any) -> None:
        command(chosen={name: options.pop(name) for name in DATA_OPTIONS}, **options)

    parameters = [*shared, *(entry.replace(kind=entry.KEYWORD_ONLY) for entry in own)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {entry.name: entry.annotation for entry in parameters}
    return run


def read_data(chosen: dict[str, Any], quiet: bool = False) -> Dataset:
    """The dataset that a command's options describe."""
    from pellucid.data.index import read_dataset
    from pellucid.task import parse_merge

    named = {
        **chosen,
        "label_columns": chosen["label_column"],
        "merge": parse_merge(chosen["merge"] or []),
    }
    source = named.pop("data")
    del named["label_column"]
    return read_dataset(source, progress=Progress(quiet).counter("Listing"), **named)
