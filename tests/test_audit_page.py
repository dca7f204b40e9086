"""audit.html and the report's section: every finding said, its pictures side by side."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from decoded import noise
from pellucid.auditing.findings import Audit, Finding
from pellucid.errors import UsageError
from pellucid.reporting.audit_page import write_audit_page
from pellucid.reporting.sections.findings import TILES_SHOWN, show_findings


def write(folder: Path, findings: list[Finding], n: int = 6) -> Path:
    """A folder as `pellucid audit --out` writes it, of small noisy pictures."""
    for row, plane in enumerate(noise(n, size=24)):
        Image.fromarray(plane).save(folder / f"{row}.png")
    index = pd.DataFrame({"image_id": [f"{row}.png" for row in range(n)]})
    index["image_path"] = [str(folder / name) for name in index["image_id"]]
    index["frame"] = 0
    index["label"] = ["ill", "well"] * (n // 2)
    index.to_csv(folder / "index.csv", index=False)
    about = {"name": "lungs <b>", "targets": ["label"], "description": ["6 images"]}
    Audit(findings, dataset=about).save(folder / "audit.json")
    return folder


COPIES = Finding(
    level="FAIL",
    code="identical_across_classes",
    message="1 identical picture (2 images) stand in more than one class.",
    image_ids=("0.png", "1.png"),
    n_rows=2,
    remedy="Find out which label is right.",
    groups=(("0.png", "1.png"),),
)


def test_the_page_says_each_finding_and_shows_its_pictures(tmp_path: Path) -> None:
    note = Finding("NOTE", "class_balance", "Classes: ill 50 %, well 50 %.")
    html = write_audit_page(write(tmp_path, [note, COPIES])).read_text(encoding="utf-8")
    assert "Do not train on it yet: 1 failure and 1 note." in html
    assert html.index("identical picture") < html.index("Classes: ill")
    assert html.count("data:image/png;base64,") == 2
    assert "<b>ill</b>" in html
    assert "<b>well</b>" in html
    assert "lungs &lt;b&gt;" in html
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert "https://" not in html


def test_a_clean_audit_says_so(tmp_path: Path) -> None:
    html = write_audit_page(write(tmp_path, [])).read_text(encoding="utf-8")
    assert "Nothing was found." in html
    warn = Finding("WARN", "constant", "3 pictures show one grey value only.")
    html = write_audit_page(write(tmp_path, [warn])).read_text(encoding="utf-8")
    assert "Nothing forbids training on it: 1 warning." in html


def test_a_picture_that_is_gone_leaves_a_reason(tmp_path: Path) -> None:
    folder = write(tmp_path, [COPIES])
    (folder / "1.png").unlink()
    html = write_audit_page(folder).read_text(encoding="utf-8")
    assert "The file is no longer there." in html
    assert html.count("data:image/png;base64,") == 1


def test_pictures_are_bounded_and_whole_groups(tmp_path: Path) -> None:
    index = pd.read_csv(write(tmp_path, []) / "index.csv", dtype=str)
    group = ["0.png", "1.png", "2.png", "3.png"]
    audit = {"findings": [{"level": "WARN", "message": "m", "groups": [group] * 12}] * 3}
    shown = show_findings(audit, index, ["label"])
    tiles = [len(group) for finding in shown for group in finding.groups]
    assert sum(tiles) == TILES_SHOWN
    assert set(tiles) == {4}


def test_without_an_audit(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no audit\.json"):
        write_audit_page(tmp_path)
