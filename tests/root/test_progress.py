from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from usrn_keras.progress import SILENT, PlainProgress, RichProgress, duration, terminal_progress


class Clock:
    """Seconds that pass only when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_plain_lines_every_30_seconds_with_speed_and_time_left(clock):
    stream = io.StringIO()
    with PlainProgress(stream, clock=clock).task("baseline", total=100) as task:
        for _ in range(50):
            clock.now += 1.0
            task.advance(1, loss=1 / 3)
    assert stream.getvalue().splitlines() == [
        "baseline 0/100",
        "baseline 30/100, 1/s, 1 min 10 s left, loss 0.3333",
        "baseline 50/100, done in 50 s, loss 0.3333",
    ]


def test_what_was_done_before_is_progress_but_not_speed(clock):
    stream = io.StringIO()
    with PlainProgress(stream, clock=clock, every=10).task("usrn", total=100, done=80) as task:
        clock.now = 10
        task.advance(10)
    assert stream.getvalue().splitlines()[1] == "usrn 90/100, 1/s, 10 s left"


def test_plain_progress_of_no_items(clock):
    stream = io.StringIO()
    with PlainProgress(stream, clock=clock, every=10).task("images", total=0) as task:
        clock.now = 10
        task.advance(0)
    assert stream.getvalue().splitlines()[1] == "images 0/0"


def test_an_error_is_not_reported_as_done():
    stream = io.StringIO()
    with pytest.raises(KeyError), PlainProgress(stream).task("images", total=2):
        raise KeyError
    assert stream.getvalue() == "images 0/2\n"


def test_rich_bars_show_count_numbers_and_log_lines():
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with RichProgress(console) as progress, progress.task("[baseline]", total=4, done=1) as task:
        progress.log("step [2] saved")
        task.advance(3, loss=0.25)
    shown = console.file.getvalue()
    assert "[baseline]" in shown
    assert "step [2] saved" in shown
    assert "4/4" in shown
    assert "loss 0.25" in shown


def test_silent_prints_nothing(capsys):
    with SILENT.task("images", total=2) as task:
        task.advance(2, loss=1.0)
    SILENT.log("line")
    assert capsys.readouterr() == ("", "")


def test_off_a_terminal_lines_go_to_stderr_without_control_codes(capsys):
    with terminal_progress() as progress, progress.task("images", total=2) as task:
        task.advance(2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "images 0/2"
    assert "\x1b" not in err


def test_quiet_is_silent(capsys):
    with terminal_progress(quiet=True) as progress, progress.task("images", total=2) as task:
        task.advance(2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3599, "59 min 59 s"),
        (3599.6, "1 h"),
        (3661, "1 h 1 min"),
        (84_600, "23 h 30 min"),
        (86_399, "1 d"),
        (320_000, "3 d 17 h"),
        (322_577 * 3600 + 282, "13,440 d 17 h"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}


def parsed(text: str) -> tuple[int, int]:
    """The seconds of a duration, and the size of the smallest unit that its length allows."""
    words = text.replace(",", "").split()
    parts = dict(zip(words[1::2], map(int, words[::2]), strict=True))
    assert 1 <= len(parts) <= 2 and list(parts) == sorted(parts, key=UNITS.get, reverse=True)
    assert parts.get("h", 0) < 24 and parts.get("min", 0) < 60 and parts.get("s", 0) < 60
    precision = {"d": 3600, "h": 60}.get(words[1], 1)
    assert all(UNITS[unit] >= precision for unit in parts)
    return sum(count * UNITS[unit] for unit, count in parts.items()), precision


@given(st.floats(0, 1e10))
def test_a_duration_is_rounded_to_the_smaller_of_its_two_units(seconds):
    value, precision = parsed(duration(seconds))
    assert abs(value - seconds) <= precision / 2 + 1e-6


@given(st.floats(0, 1e8), st.floats(0, 1e8))
def test_the_longer_duration_is_never_shown_as_the_shorter(one, other):
    (shorter, _), (longer, _) = (parsed(duration(seconds)) for seconds in sorted((one, other)))
    assert shorter <= longer


@pytest.mark.parametrize(
    ("seconds", "total", "left"), [(2, 5, "6 s left"), (2, 160_002, "3 d 17 h left"), (90, 42, "1 h left")]
)
def test_rich_bars_show_the_time_left(clock, monkeypatch, seconds, total, left):
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    progress = RichProgress(console)
    monkeypatch.setattr(progress._bars, "get_time", clock)
    with progress, progress.task("usrn", total=total) as task:
        for _ in range(2):
            clock.now += seconds
            task.advance()
    assert left in console.file.getvalue()
