from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from usrn_cli.main import main
from usrn_keras.report import Scores


def usrn_evaluate(*args: str):
    return CliRunner().invoke(main, ["evaluate", *args])


@pytest.fixture
def calls(monkeypatch):
    """The arguments of each call of an `evaluate_run` that scores 50 % for `baseline`, 100 % for `usrn`."""
    calls = []

    def evaluate_run(run_dir, *, split=None, model="usrn", progress):
        calls.append((str(run_dir), split, model))
        return Scores(
            "model", ["road", "pole"], [[9, 0], [1, 0]] if model == "baseline" else [[9, 0], [0, 1]]
        )

    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setitem(sys.modules, "usrn_keras.evaluation", SimpleNamespace(evaluate_run=evaluate_run))
    return calls


def test_one_column_for_each_run(calls):
    result = usrn_evaluate("runs/A", "runs/B", "--split", "test")
    assert result.exit_code == 0, result.stderr
    assert calls == [("runs/A", "test", "usrn"), ("runs/B", "test", "usrn")]
    heading = result.stdout.splitlines()[1]
    assert heading.index("runs/A") < heading.index("runs/B")
    assert "\x1b" not in result.stdout


def test_both_models_of_a_run(calls):
    result = usrn_evaluate("runs/A", "--model", "baseline", "--model", "usrn", "--markdown")
    assert result.stdout.splitlines()[0] == "| class | pixels % | runs/A baseline | runs/A usrn |"
    assert "| pole \\* | 10.0 | 0.0 | 100.0 (+100.0) |" in result.stdout


def test_json(calls):
    value = json.loads(usrn_evaluate("runs/A", "--json").stdout)
    assert [(run["name"], run["miou"]) for run in value["runs"]] == [("runs/A", 1.0)]


def test_many_runs_are_not_cut_off_away_from_a_terminal(calls):
    names = [f"runs/a_rather_long_name_{i}" for i in range(20)]
    heading = usrn_evaluate(*names).stdout.splitlines()[1]
    assert all(name in heading for name in names)


@pytest.mark.parametrize(
    "arguments", [(), ("runs/A", "--markdown", "--json"), ("runs/A", "--split", "train")]
)
def test_usage_errors(calls, arguments):
    assert usrn_evaluate(*arguments).exit_code == 2
    assert not calls
