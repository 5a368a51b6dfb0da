from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from usrn_cli.main import main
from usrn_keras.errors import RecipeError, StorageError
from usrn_keras.recipe import shipped_recipes


def recipes(*args: str):
    return CliRunner().invoke(main, ["recipes", *args])


def test_list_gives_each_name_with_a_title():
    lines = recipes("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(shipped_recipes())
    assert all(len(line.split(maxsplit=1)[1]) > 20 for line in lines)


def test_list_for_machines():
    listed = json.loads(recipes("list", "--json").stdout)
    assert {entry["name"]: entry["path"] for entry in listed} == {
        name: str(path) for name, path in shipped_recipes().items()
    }


def test_show_prints_the_file():
    assert recipes("show", "quickstart").stdout == shipped_recipes()["quickstart"].read_text()


def test_copy_to_the_working_folder_a_folder_and_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    original = shipped_recipes()["quickstart"].read_text()
    for arguments, target in [
        ((), "quickstart.toml"),
        (("folder",), "folder/quickstart.toml"),
        (("a.toml",), "a.toml"),
    ]:
        assert recipes("copy", "quickstart", *arguments).stdout == f"{target}\n"
        assert (tmp_path / target).read_text() == original


def test_copy_replaces_only_when_told_to(tmp_path):
    target = tmp_path / "mine.toml"
    target.write_text("mine")
    result = recipes("copy", "quickstart", str(target))
    assert result.exit_code == StorageError.exit_code
    assert "exists already" in result.stderr
    assert target.read_text() == "mine"
    assert recipes("copy", "quickstart", str(target), "--force").exit_code == 0
    assert target.read_text() != "mine"


@pytest.mark.parametrize("verb", ["show", "copy"])
def test_an_unknown_name_gives_the_nearest(verb):
    result = recipes(verb, "camvid_1_9")
    assert result.exit_code == RecipeError.exit_code
    assert "Did you mean `camvid_1_" in result.stderr
