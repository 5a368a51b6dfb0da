from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from usrn_cli.main import main
from usrn_keras.errors import RecipeError
from usrn_keras.metrics import Scores
from usrn_keras.recipe import shipped_recipes


def usrn_fit(*args: str):
    return CliRunner().invoke(main, ["fit", *args])


@pytest.fixture
def calls(monkeypatch):
    """The arguments of each call of a `stages.fit` that does nothing."""
    calls = []
    results = {
        "scores": [
            Scores("Baseline", ["road", "pole"], [[9, 0], [1, 0]]).to_json(),
            Scores("USRN", ["road", "pole"], [[9, 0], [0, 1]]).to_json(),
        ]
    }

    def fit(recipe, run_dir, *, reuse, devices, progress, log):
        log("a line of the log")
        calls.append((recipe, run_dir))
        return results

    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setitem(sys.modules, "usrn_keras.stages", SimpleNamespace(fit=fit))
    return calls


def test_table_on_stdout_log_on_stderr(calls):
    result = usrn_fit("quickstart")
    assert result.exit_code == 0, result.stderr
    assert "USRN" in result.stdout
    assert "100.0 (+10.0)" in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stderr == "a line of the log\n"


def test_overrides_and_run_folder_arrive(calls):
    usrn_fit(
        "quickstart", "--set", "training.usrn_steps=7", "--set", "data.root=here", "--run", "elsewhere/a"
    )
    ((recipe, run_dir),) = calls
    assert (recipe.training.usrn_steps, recipe.data.root) == (7, "here")
    assert run_dir == Path("elsewhere/a")


def test_the_run_folder_has_the_recipes_name(calls, tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text(shipped_recipes()["quickstart"].read_text())
    usrn_fit("quickstart")
    usrn_fit(str(mine))
    assert [run_dir for _, run_dir in calls] == [Path("runs/quickstart"), Path("runs/mine")]


def test_json_alone_on_stdout(calls):
    result = usrn_fit("quickstart", "--json", "--quiet")
    assert json.loads(result.stdout)["scores"][1]["name"] == "USRN"
    assert result.stderr == ""


def changed(tmp_path: Path, old: str, new: str) -> str:
    text = shipped_recipes()["quickstart"].read_text()
    assert old in text
    path = tmp_path / "changed.toml"
    path.write_text(text.replace(old, new))
    return str(path)


def test_a_missing_recipe_names_the_shipped_ones(calls):
    result = usrn_fit("quickstrat")
    assert result.exit_code == RecipeError.exit_code
    assert "voc_1_32" in result.stderr
    assert "Did you mean `quickstart`?" in result.stderr


def test_a_file_that_is_not_toml(calls, tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("[data\n")
    result = usrn_fit(str(path))
    assert result.exit_code == RecipeError.exit_code
    assert "is not TOML" in result.stderr


def test_every_error_of_a_recipe_at_once(calls, tmp_path):
    path = changed(tmp_path, "crop_size = 128", "crop_sise = 128\nflip = 2.0")
    result = usrn_fit(path, "--set", "training.usrn_steps=many", "--set", "oops")
    assert result.exit_code == RecipeError.exit_code
    assert not calls
    lines = result.stderr.splitlines()
    assert "`usrn recipes keys` lists all keys" in lines[-1]
    for start, part in [
        ("views.crop_sise", "did you mean `crop_size`?"),
        ("views.flip", "2.0"),
        ("training.usrn_steps", "'many'"),
        ("--set oops", "section.key=value"),
    ]:
        assert any(line.startswith(f"  - {start}") and part in line for line in lines), start
