"""What several test files share: real images, kept bytecode and pixels, and who runs where."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

# torch and its like are 20 seconds of compiling a process where no bytecode was ever written, and
# each worker and each started command is a process.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# One worker takes each of these whole, so that it trains or draws once what its tests share.
WHOLE = ("tests/test_pipeline.py", "tests/test_phantoms.py", "tests/test_planted_mark.py")
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal single tests to the workers, but the files of `WHOLE` each to one, and first.

    With pytest 9.2 the groups of pytest-xdist 3.8 (`--dist loadgroup`) are without effect.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return file if file in WHOLE else nodeid

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images; tests that need it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real development images (../shared/data) are not on this machine")
    return SHARED_DATA


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep each test's pixel cache and phantoms out of the user's cache folder."""
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
