"""The author's form `checklist.yaml`: written with empty fields, read back, never overwritten.

A field is `KEY: text`. Scalars are taken as they are written and no YAML object is built, so that
`no`, `2024` and `n/a: not a trial` stay words; tags, aliases and nested values are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from pellucid.errors import UsageError, did_you_mean
from pellucid.reporting.checklists.answers import plain, reason_not_applicable
from pellucid.storage import write_text

FORM_NAME = "checklist.yaml"
MAX_BYTES = 2**18
MAX_ANSWER = 4000  # characters
HEADER = """\
# The author's part of the checklists CLAIM 2024, TRIPOD+AI and model card.
# Write an answer after the colon. Where an item does not apply, write: n/a: the reason
# For more than one line, write | after the colon and indent the lines below it.
# Leave a field empty, and the checklist says that it is still asked. Nothing here is overwritten.
# Items are in our own words; the published wording is in the sources that the checklists name.
"""
_LINE = re.compile(r"^([A-Za-z]\w*):[ \t]+([^\s\"'|>\[{&*!%@`#-].*?)[ \t]*$")


@dataclass(frozen=True)
class Field:
    """One field of the form: its key, what is asked, and what the run knows."""

    key: str
    title: str
    question: str
    known: str = ""


def read_form(path: Path, known: Sequence[str]) -> dict[str, str]:
    """The author's answers by key, without the empty ones; {} where there is no file.

    Raises `UsageError` for broken YAML, an unknown or doubled key, a file or answer that is too
    long, an answer that is no text, and "n/a" without a reason.
    """
    return {key: text for key, text in _read_fields(path, known).items() if text}


def write_form(path: Path, fields: Sequence[Field], known: Sequence[str]) -> Path:
    """Write the form, or add to it the fields that it lacks; what stands there stays.

    Raises `UsageError` as `read_form` does, before anything is written.
    """
    held = _read_fields(path, known)
    missing = [field for field in fields if field.key not in held]
    if not missing and path.is_file():
        return path
    old = _read_text(path) if path.is_file() else HEADER
    text = "\n".join([old.rstrip("\n"), *(_written(field) for field in missing)]) + "\n"
    if not _holds(text, held, path, known):
        text = (
            "\n".join([HEADER, *_rewritten(held), *(_written(field) for field in missing)]) + "\n"
        )
    return write_text(path, text)


def _written(field: Field) -> str:
    """A field with its question above it as a comment."""
    lines = [f"# {field.title}", f"# {field.question}"]
    lines += [f"# The run says: {field.known}"] if field.known else []
    return "\n".join(["", *(plain(line) for line in lines), f"{field.key}:"])


def _rewritten(held: dict[str, str]) -> Iterator[str]:
    for key, text in held.items():
        yield f"{key}: {json.dumps(text, ensure_ascii=False)}" if text else f"{key}:"


def _holds(text: str, held: dict[str, str], path: Path, known: Sequence[str]) -> bool:
    """Whether a text still holds every answer, as it does unless it was no plain block."""
    try:
        found = _parse(text, path, known)
    except UsageError:
        return False
    return all(found.get(key) == answer for key, answer in held.items())


def _read_fields(path: Path, known: Sequence[str]) -> dict[str, str]:
    return _parse(_read_text(path), path, known) if path.is_file() else {}


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"The form {path} is larger than a form can be")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"The form {path} cannot be read", error.strerror or "") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The form {path} is not a text file") from error


def _parse(text: str, path: Path, known: Sequence[str]) -> dict[str, str]:
    try:
        root = yaml.compose(_quoted(text), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(
            f"The form {path} must be YAML",
            " ".join(str(error).split())[:160],
            'Put an answer with special signs in double quotes: "…".',
        ) from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise UsageError(f"The form {path} must hold lines of KEY: answer")
    fields: dict[str, str] = {}
    for key_node, value_node in root.value:
        key = _checked_key(key_node, path, known)
        if key in fields:
            raise UsageError(f"Each item of {path} is answered once", f"{key!r} twice")
        fields[key] = _checked_answer(value_node, key, path)
    return fields


def _checked_key(node: yaml.Node, path: Path, known: Sequence[str]) -> str:
    key = str(node.value) if isinstance(node, yaml.ScalarNode) else "no text"
    if key not in known:
        close = did_you_mean(key, list(known))
        remedy = close if close.startswith("Did") else "Keys are those that Pellucid wrote."
        raise UsageError(f"A key of {path} must be that of an item", repr(key[:80]), remedy)
    return key


def _checked_answer(node: yaml.Node, key: str, path: Path) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag.startswith("!"):
        raise UsageError(
            f"The answer to {key} in {path} must be text",
            "a list or another object",
            'Put it in double quotes: "…".',
        )
    is_empty = node.tag.endswith(":null") and node.style is None
    text = "" if is_empty else str(node.value).strip()
    if len(text) > MAX_ANSWER:
        raise UsageError(f"The answer to {key} must have at most {MAX_ANSWER:,} characters")
    if reason_not_applicable(text) == "":
        raise UsageError(
            f"An item that does not apply needs a reason; {key} has none",
            remedy="Write it as n/a: the reason.",
        )
    return text


def _quoted(text: str) -> str:
    """The text with one-line answers that hold ": " or " #" in quotes.

    YAML would refuse `n/a: not a trial` and cut `grant #12` short; an author means them as written.
    """
    lines = text.split("\n")
    followed = [*lines[1:], ""]
    return "\n".join(
        _quote(line) if not after[:1].isspace() else line
        for line, after in zip(lines, followed, strict=True)
    )


def _quote(line: str) -> str:
    match = _LINE.match(line)
    if match is None or not (": " in match[2] or " #" in match[2] or match[2].endswith(":")):
        return line
    return f"{match[1]}: {json.dumps(match[2], ensure_ascii=False)}"
