from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from usrn_cli.main import main


@pytest.fixture
def calls(monkeypatch):
    calls = []

    def suggest_images(runs, count, *, seed, progress):
        calls.append((list(runs), count, seed))
        made = SimpleNamespace(
            names_text=lambda: "a\n", csv_text=lambda: "rank\n1\n", to_json=lambda: {"images": ["a"]}
        )
        return made, b"png"

    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setitem(
        sys.modules, "usrn_keras.evaluation.next_images", SimpleNamespace(suggest_images=suggest_images)
    )
    return calls


def usrn_suggest(*words: object):
    return CliRunner().invoke(main, ["suggest", *map(str, words)])


def test_files_are_written_and_named(calls, tmp_path):
    result = usrn_suggest("A", "B", "--count", 3, "--seed", 7, "--out", tmp_path / "out")
    assert result.stdout.split() == [str(tmp_path / f"out/next.{end}") for end in ("txt", "csv", "png")]
    assert (tmp_path / "out/next.txt").read_text() == "a\n"
    assert (tmp_path / "out/next.png").read_bytes() == b"png"
    assert calls == [([Path("A"), Path("B")], 3, 7)]


def test_existing_files_are_kept(calls, tmp_path):
    (tmp_path / "next.csv").write_text("mine")
    result = usrn_suggest("A", "--out", tmp_path)
    assert result.exit_code == 9 and "next.csv exists already" in result.stderr and not calls
    result = usrn_suggest("A", "--out", tmp_path, "--force", "--json")
    assert json.loads(result.stdout) == {"images": ["a"]}
    assert (tmp_path / "next.csv").read_text() != "mine"
