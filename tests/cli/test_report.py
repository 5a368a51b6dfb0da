from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tests.evaluation.made_run import make_run
from tests.report.test_page import Reader
from usrn_cli.main import main


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a run `run` whose models are known and that was never measured."""
    folder = tmp_path_factory.mktemp("made")
    make_run(folder)
    return folder


@pytest.fixture
def folder(made, monkeypatch):
    monkeypatch.chdir(made)
    return made


def usrn_report(*args: str):
    return CliRunner().invoke(main, ["report", *args])


def test_the_path_of_the_page_is_printed(folder):
    result = usrn_report("run")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "run/report/index.html\n"
    assert result.stderr.splitlines()[0] == "report 0/1"
    read = Reader((folder / "run/report/index.html").read_text())
    assert read.all("h1")[0][1] == "run"
    pictures = [attributes["alt"] for attributes, _ in read.all("img")]
    assert pictures[:5] == [
        f"town/0: {what}" for what in ("image", "label", "Baseline", "USRN", "where they differ")
    ]


def test_json_and_quiet(folder):
    result = usrn_report("run", "run", "--json", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    page = {"run": "run", "path": "run/report/index.html"}
    assert json.loads(result.stdout) == {"reports": [page, page]}


def test_folders_that_are_no_runs_are_all_named_before_anything_is_drawn(folder):
    (folder / "run/report/index.html").unlink(missing_ok=True)
    result = usrn_report("none", "run", "data")
    assert result.exit_code != 0 and result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0] == "error: 2 of 3 reports cannot be drawn"
    assert any("none is not a run folder: it does not exist" in line for line in lines)
    assert any("data is not a run folder" in line for line in lines)
    assert not (folder / "run/report/index.html").exists()


def test_a_single_wrong_folder_is_answered_with_a_hint(folder):
    result = usrn_report(".")
    assert "Runs in it: run" in result.stderr


def test_without_a_run_it_is_a_usage_error():
    assert usrn_report().exit_code == 2


def test_help_begins_with_examples_and_imports_nothing_heavy():
    code = (
        "import sys; from usrn_cli.main import main;"
        "main(['report', '--help'], standalone_mode=False); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "usrn report runs/quickstart" in done.stdout
    assert not {"keras", "numpy", "torch", "cv2", "rich", "matplotlib"} & set(done.stderr.split())
