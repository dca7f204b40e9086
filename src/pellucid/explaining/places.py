"""Where explanations go: a folder by default, and file names that are safe and never the same.

Knows paths; it does not know what is written there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from pellucid.errors import UsageError

INDEX = "index"  # index.html is the page of all
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 80
_RESERVED = {  # by Windows, with any ending; the index is ours
    INDEX,
    *("con", "prn", "aux", "nul"),
    *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)),
}


def model_name(model: Path) -> str:
    """What a model is called: the name of its folder, of the nearest that says more than "run".

    >>> model_name(Path("runs/chest/bundle")), model_name(Path("demo/oct/run"))
    ('chest', 'oct')
    """
    folder = model.resolve()
    while folder.name in ("bundle", "run") and folder.parent.name:
        folder = folder.parent
    return folder.name


def default_folder(model: Path) -> Path:
    """`explanations/NAME` in the working folder, after the model's name."""
    return Path("explanations") / safe_name(model_name(model))


def safe_name(text: str) -> str:
    """A name that every file system takes: no folder, no sign that needs care, never empty.

    >>> safe_name("../a b/c.dcm"), safe_name("con"), safe_name("..")
    ('a_b_c.dcm', 'con_', 'image')
    """
    name = _UNSAFE.sub("_", text).strip("._-")[:_LONGEST].rstrip("._-")
    if not name:
        return "image"
    return f"{name}_" if name.partition(".")[0].lower() in _RESERVED else name


def name_each(texts: Iterable[str]) -> list[str]:
    """One safe name a text, all different, also where a file system ignores case.

    >>> name_each(["x", "x", "X", "x-2"])
    ['x', 'x-2', 'X-3', 'x-2-2']
    """
    taken: set[str] = set()
    names = []
    for text in texts:
        first = safe_name(text)
        name, number = first, 2
        while name.lower() in taken:
            name, number = f"{first}-{number}", number + 1
        taken.add(name.lower())
        names.append(name)
    return names


def refuse_written(paths: Iterable[Path], overwrite: bool) -> None:
    """Raise `UsageError` before any work when a file that will be written is there already."""
    found = next((path for path in paths if path.exists()), None)
    if found is not None and not overwrite:
        raise UsageError(f"{found} exists", remedy="Choose another --out or add --overwrite.")


def open_folder(folder: Path) -> Path:
    """The folder to write into, made where it is not there; raises `UsageError`."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, and pages go into a folder", remedy="Choose --out.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made", error.strerror or "unknown reason") from error
    return folder
