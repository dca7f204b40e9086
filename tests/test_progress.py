"""Progress goes to its stream alone, a line now and then where the stream is no terminal."""

from __future__ import annotations

import io

import pytest

from pellucid.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(quiet=True)
    progress.say("hello")
    progress.counter("Reading")(5, 5)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_a_log_gets_the_last_line_only_when_all_goes_fast() -> None:
    stream = io.StringIO()
    count = Progress(stream=stream).counter("Reading")
    for done in range(1, 101):
        count(done, 100)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert "100 of 100 images" in lines[0]


def test_a_terminal_gets_a_moving_line_that_the_next_words_replace() -> None:
    stream = Terminal()
    progress = Progress(stream=stream)
    progress.counter("Reading")(1, 100)
    progress.say("done")
    text = stream.getvalue()
    assert "1 of 100 images" in text
    assert text.endswith("\r\x1b[Kdone\n")


def test_a_log_hears_of_long_work_only_after_a_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    progress = Progress(stream=stream)
    progress.now("step 1")
    assert stream.getvalue() == ""
    monkeypatch.setattr("pellucid.progress._SILENCE_S", -1.0)
    progress.now("step 2")
    assert stream.getvalue() == "step 2\n"
