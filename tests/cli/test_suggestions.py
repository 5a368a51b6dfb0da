"""A word that is nearly right: the nearest command, option, option value and shipped file."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from usrn_cli import fit
from usrn_cli.main import main
from usrn_keras.recipe import shipped_recipes


@pytest.mark.parametrize(
    ("command", "code", "suggestion"),
    [
        ("fitt quickstart", 2, "Did you mean 'fit'?"),
        ("data chek x.toml", 2, "Did you mean 'check'?"),
        ("recipes lst", 2, "Did you mean 'list'?"),
        ("fit quickstart --dry-rn", 2, "--dry-run"),
        ("evaluate runs/x --split tset", 2, "Did you mean 'test'?"),
        ("evaluate runs/x --mode slid", 2, "Did you mean 'slide'?"),
        ("export runs/x --format onx", 2, "Did you mean 'onnx'?"),
        ("fit quickstrat", 3, "Did you mean `quickstart`?"),
        ("fit recipes/camvid_1_6.toml", 3, "Did you mean `camvid_1_16`?"),
        ("table componets quickstart", 3, "Did you mean `components`?"),
        ("table main quickstrat", 3, "Did you mean `quickstart`?"),
    ],
)
def test_the_nearest_is_suggested(command, code, suggestion):
    result = CliRunner().invoke(main, command.split())
    assert result.exit_code == code
    assert suggestion in result.stderr


@pytest.mark.parametrize("command", ["xyzzy", "evaluate runs/x --split xyzzy", "fit xyzzy"])
def test_nothing_is_suggested_where_nothing_is_near(command):
    result = CliRunner().invoke(main, command.split())
    assert result.exit_code in (2, 3) and "xyzzy" in result.stderr
    assert "Did you mean" not in result.stderr


@pytest.fixture
def fitted(tmp_path, monkeypatch):
    """The recipes and run folders that `usrn fit` would train, called in an empty folder."""
    calls = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fit, "load_backend", lambda: None)
    monkeypatch.setattr(fit, "_train", lambda recipe, folder, *rest: calls.append((recipe, folder)))
    return calls


def test_the_path_of_a_shipped_recipe_from_any_folder(fitted):
    results = [CliRunner().invoke(main, ["fit", source]) for source in ("voc_1_32", "recipes/voc_1_32.toml")]
    assert [result.output for result in results] == ["", ""]
    assert fitted[0] == fitted[1]
    assert str(fitted[0][1]) == "runs/voc_1_32"


def test_a_local_file_in_place_of_a_shipped_recipe_is_reported(fitted, tmp_path):
    (tmp_path / "voc_1_32.toml").write_bytes(shipped_recipes()["quickstart"].read_bytes())
    result = CliRunner().invoke(main, ["fit", "voc_1_32.toml"])
    assert result.stderr == "note: using the local file voc_1_32.toml, not the shipped recipe\n"
    ((recipe, folder),) = fitted
    assert recipe.data.dataset == "quickstart" and str(folder) == "runs/voc_1_32"
