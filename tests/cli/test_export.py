from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from usrn_cli.export import FORMATS
from usrn_cli.main import main
from usrn_keras.errors import DataError


class Report:
    """What an `ExportReport` shows."""

    def to_json(self) -> dict[str, str]:
        return {"path": "model.onnx"}

    def __str__(self) -> str:
        return "model.onnx  (onnx)"


@pytest.fixture
def calls(monkeypatch):
    """The arguments of each call of an `export_run` that writes nothing."""
    calls = []

    def export_run(run_dir, format, out=None, *, input_size=None, argmax=False):
        calls.append((run_dir, format, out, input_size, argmax))
        return Report()

    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setitem(sys.modules, "usrn_keras.export", SimpleNamespace(export_run=export_run))
    return calls


def usrn_export(*args: str):
    return CliRunner().invoke(main, ["export", *args])


def test_report_on_stdout(calls):
    result = usrn_export("runs/A", "--format", "onnx")
    assert result.stdout == "model.onnx  (onnx)\n"
    assert calls == [(Path("runs/A"), "onnx", None, None, False)]


def test_all_options_arrive(calls):
    result = usrn_export("runs/A", "--format", "litert", "--out", "a.tflite", "--size", "480x640", "--json")
    assert json.loads(result.stdout) == {"path": "model.onnx"}
    assert calls == [(Path("runs/A"), "litert", Path("a.tflite"), (480, 640), False)]


def test_argmax_arrives(calls):
    usrn_export("runs/A", "--format", "onnx", "--argmax")
    assert calls == [(Path("runs/A"), "onnx", None, None, True)]


@pytest.mark.parametrize(("given", "data"), [(["--check"], "val"), (["--check", "test"], "test")])
def test_check_loads_its_images_first(calls, monkeypatch, given, data):
    def load(run_dir, name):
        calls.append((run_dir, name))
        raise DataError("no images")

    found = SimpleNamespace(CheckImages=SimpleNamespace(of=load), check_scores=None)
    monkeypatch.setitem(sys.modules, "usrn_keras.export.score_check", found)
    monkeypatch.setitem(sys.modules, "usrn_keras.export.score_table", SimpleNamespace(score_table=None))
    assert usrn_export("runs/A", "--format", "onnx", *given).exit_code == DataError.exit_code
    assert calls == [(Path("runs/A"), data)]  # nothing was converted


@pytest.mark.parametrize("size", ["480", "480x", "x640", "480*640", "-1x32"])
def test_wrong_sizes_are_usage_errors(calls, size):
    result = usrn_export("runs/A", "--format", "onnx", "--size", size)
    assert result.exit_code == 2
    assert "HEIGHTxWIDTH" in result.stderr
    assert not calls


def test_a_format_is_needed_and_must_be_known(calls):
    assert usrn_export("runs/A").exit_code == 2
    assert usrn_export("runs/A", "--format", "tflite").exit_code == 2


def test_offers_every_format():
    from usrn_keras.export import FORMATS as WRITTEN

    assert tuple(WRITTEN) == FORMATS
