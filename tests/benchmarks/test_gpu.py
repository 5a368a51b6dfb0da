"""The GPU campaign skips what is measured, stops in time, and calls the benchmarks as they are."""

from __future__ import annotations

import importlib
import itertools
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import campaign, gpu, table
from benchmarks.campaign import Part, run_command
from tests.tools import ROOT

ADD_A_ROW = "import sys; sys.path.insert(0, '.'); from benchmarks import table; from pathlib import Path; "


def part_of(out: Path, name: str, code: str = "") -> Part:
    code = code or f"table.append(Path({str(out)!r}) / 'rows.csv', {{'name': {name!r}, 'value': 1}})"
    return Part(name, ["-c", ADD_A_ROW + code], "rows.csv", [{"name": name, "value": 1}])


def test_rows_that_are_there_are_not_measured_again(tmp_path, capfd):
    parts = [part_of(tmp_path, name) for name in "ab"]
    table.append(tmp_path / "rows.csv", {"name": "a", "value": 1, "commit": "abc"})
    assert run_command(parts, tmp_path, minutes=2) == 0
    assert [row["name"] for row in table.read(tmp_path / "rows.csv")] == ["a", "b"]
    said = capfd.readouterr().out.splitlines()
    assert said[0] == "a: complete, skipped" and said[1].startswith("b: started") and said[-1] == "complete"


def test_other_values_are_not_those_rows(tmp_path):
    table.append(tmp_path / "rows.csv", {"name": "a", "value": 2})
    assert not part_of(tmp_path, "a").is_complete(tmp_path)


def test_a_part_that_fails_or_writes_no_rows_does_not_stop_the_others(tmp_path, capfd):
    parts = [part_of(tmp_path, "a", "sys.exit(4)"), part_of(tmp_path, "b", "pass"), part_of(tmp_path, "c")]
    assert run_command(parts, tmp_path, minutes=2) == 1
    assert "failed: a (exit code 4), b (exit code 0)" in capfd.readouterr().out
    assert parts[2].is_complete(tmp_path)


def test_what_does_not_fit_is_left_to_the_next_call(tmp_path, capfd, monkeypatch, foreground_signals):
    """The first part is interrupted at the end of the minutes, and the second one is not started."""
    monkeypatch.setattr(campaign, "LEAST_SECONDS", 0.5)
    slow = (
        "import time, pathlib\ntry: time.sleep(60)\n"
        f"except KeyboardInterrupt: pathlib.Path({str(tmp_path / 'end')!r}).touch()"
    )
    parts = [Part("a", ["-c", slow], "rows.csv", [{"name": "a"}])]
    parts.append(part_of(tmp_path, "b"))
    seconds = campaign.GRACE_SECONDS + 15  # a busy machine starts Python late
    assert run_command(parts, tmp_path, minutes=seconds / 60) == 3
    assert (tmp_path / "end").exists() and not (tmp_path / "rows.csv").exists()
    assert "run the same command again; left: a, b" in capfd.readouterr().out


def test_failed_tests_are_a_row(tmp_path):
    report = tmp_path / "tests.xml"
    report.write_text(
        '<testsuites><testsuite tests="9" failures="2" errors="1" skipped="3" time="4.26"/></testsuites>'
    )
    assert gpu.summary(report) == {"passed": 3, "failed": 3, "skipped": 3, "seconds": 4.3}


@pytest.fixture
def camvid(tmp_path):
    """One val image of CamVid's layout."""
    for folder in ("images/val", "labels/val"):
        (tmp_path / "camvid" / folder).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "camvid/images/val/0.jpg"), np.zeros((8, 8, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "camvid/labels/val/0.png"), np.zeros((8, 8), np.uint8))
    return tmp_path / "camvid"


@pytest.mark.parametrize("command", [1, 2, 3, 4])
@pytest.mark.parametrize("short", [False, True])
def test_every_part_calls_what_there_is(command, short, camvid, tmp_path, monkeypatch):
    """Scripts take the arguments, folders of tests and keys of recipes exist."""
    given = [str(command), "--out", str(tmp_path / "out"), "--data", str(camvid), *["--short"] * short]
    parts = list(gpu.COMMANDS[command](gpu.parsed(given)))
    assert len({part.name for part in parts}) == len(parts) > 0
    for part in parts:
        first, *rest = part.command
        if first == "-m":
            assert all((ROOT / name).is_dir() for name in rest if name.startswith("tests/"))
        elif first == "-c":
            from usrn_keras.recipe import load_recipe

            overrides = [text for flag, text in itertools.pairwise(rest) if flag == "--set"]
            assert load_recipe("camvid_1_16", overrides).training.baseline_steps == (4 if short else 2000)
        else:
            script = importlib.import_module(f"benchmarks.{Path(first).stem}")
            monkeypatch.setattr(script, "measure", lambda *arguments: {})
            script.main([*rest, "--commit", "abc"])


def test_command_4_needs_images(capsys, tmp_path):
    with pytest.raises(SystemExit):
        gpu.parsed(["4", "--out", str(tmp_path)])
    assert "command 4 needs --data" in capsys.readouterr().err


def test_the_shell_command_says_what_it_needs(tmp_path):
    script = str(ROOT / "benchmarks/gpu.sh")
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable}
    without = subprocess.run([script, "1"], env=environment, capture_output=True, text=True)
    assert without.returncode and "set OUT to the folder of the results" in without.stderr
    (tmp_path / "from").mkdir()
    (tmp_path / "from/rows.csv").write_text("name\n")
    environment |= {"OUT": str(tmp_path / "out"), "FROM": str(tmp_path / "from")}
    helped = subprocess.run([script, "1", "--help"], env=environment, capture_output=True, text=True)
    assert helped.returncode == 0 and "idle share with 2 to 16 workers" in helped.stdout
    assert (tmp_path / "out/rows.csv").exists()
