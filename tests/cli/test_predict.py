from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from usrn_cli.main import main
from usrn_keras.errors import DataError


def usrn_predict(*args: str):
    return CliRunner().invoke(main, ["predict", *args])


sides = []  # the `max_side` of each call


@pytest.fixture
def calls(monkeypatch):
    """The arguments of each call of a `predict_files` that writes nothing and cannot read `broken.jpg`."""
    calls = []

    def predict_files(
        run_dir, inputs, out_dir, *, confidence, mode, max_side, pool, progress, wrote, left_out
    ):
        assert pool is None
        calls.append((run_dir, list(inputs), out_dir, mode, confidence))
        sides.append(max_side)
        for path in inputs:
            for folder in ("", "overlays") if path.stem != "broken" else ():
                wrote(out_dir / folder / f"{path.stem}.png")
        if Path("broken.jpg") in inputs:
            raise DataError("some inputs could not be segmented", errors=["broken.jpg cannot be read"])

    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setitem(
        sys.modules, "usrn_keras.evaluation.predict", SimpleNamespace(predict_files=predict_files)
    )
    return calls


def test_written_files_one_to_a_line(calls):
    result = usrn_predict("runs/A", "photo.jpg", "--out", "out", "--quiet")
    assert result.stdout.split() == ["out/photo.png", "out/overlays/photo.png"]
    assert calls == [(Path("runs/A"), [Path("photo.jpg")], Path("out"), None, False)]


def test_confidence_is_asked_for(calls):
    usrn_predict("runs/A", "photo.jpg", "--out", "out", "--confidence")
    assert calls[0][-1] is True


def test_the_mode_is_handed_on(calls):
    usrn_predict("runs/A", "photo.jpg", "--out", "out", "--mode", "slide")
    assert calls[0][3:] == ("slide", False)


def test_the_longest_side_is_handed_on_and_recorded(calls):
    result = usrn_predict("runs/A", "photo.jpg", "--out", "out", "--max-side", "512", "--json")
    assert json.loads(result.stdout)["max_side"] == sides[-1] == 512
    assert usrn_predict("runs/A", "photo.jpg", "--out", "out", "--max-side", "0").exit_code == 2


def test_json(calls):
    result = usrn_predict("runs/A", "photo.jpg", "--out", "out", "--json")
    assert json.loads(result.stdout) == {
        "written": ["out/photo.png", "out/overlays/photo.png"],
        "left_out": [],
        "max_side": None,
    }


def test_broken_images_are_exit_code_4(calls):
    result = usrn_predict("runs/A", "photo.jpg", "broken.jpg", "--out", "out")
    assert result.exit_code == 4
    assert "  - broken.jpg cannot be read" in result.stderr
    assert result.stdout.split() == ["out/photo.png", "out/overlays/photo.png"]  # what was written
    result = usrn_predict("runs/A", "photo.jpg", "broken.jpg", "--out", "out", "--json")
    assert len(json.loads(result.stdout)["written"]) == 2
    assert usrn_predict("runs/A", "broken.jpg", "--out", "out", "--json").stdout == ""


@pytest.mark.parametrize("arguments", [("runs/A", "--out", "out"), ("runs/A", "photo.jpg")])
def test_inputs_and_a_folder_are_needed(calls, arguments):
    assert usrn_predict(*arguments).exit_code == 2
    assert not calls
