from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from usrn_cli.main import main
from usrn_keras.errors import RecipeError, StorageError
from usrn_keras.recipe import shipped_recipes
from usrn_keras.recipe.schema import all_sections


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


def test_copy_replaces_only_with_force(tmp_path):
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


def sections() -> dict:
    return {section["name"]: section for section in json.loads(recipes("keys", "--json").stdout)}


def test_every_key_of_every_section_is_listed():
    listed = sections()
    assert list(listed) == list(all_sections())
    for name, section in all_sections().items():
        assert [key["name"] for key in listed[name]["keys"]] == list(section.model_fields)
        for key in listed[name]["keys"]:
            field = section.model_fields[key["name"]]
            assert key["required"] == field.is_required() and key["description"] == field.description
            assert key["default"] == (None if key["required"] else field.get_default())


@pytest.mark.parametrize(
    ("key", "type_", "range_", "choices"),
    [
        ("data.root", "string", "", []),
        ("data.ignore_index", "integer", "at least -1, at most 65535", []),
        ("data.ignore_colours", "list of lists of integers", "at least 0, at most 255", []),
        ("network.output_stride", "integer", "", [8, 16, 32]),
        ("network.width", "number", "above 0, at most 4", []),
        ("network.psp_bins", "list of integers", "above 0, 1 or more entries", []),
        ("views.crop_size", "integer", "above 0, a multiple of 32", []),
        ("views.jitter", "list of numbers", "at least 0, 4 entries", []),
        ("views.labelled_jitter", "boolean", "", []),
        ("usrn.terms", "list of strings", "", ["msl", "ost", "usr", "sst", "egm"]),
    ],
)
def test_types_and_ranges_in_words(key, type_, range_, choices):
    section, _, name = key.partition(".")
    (found,) = [one for one in sections()[section]["keys"] if one["name"] == name]
    assert (found["type"], found["range"], found["choices"]) == (type_, range_, choices)


def test_keys_as_text():
    lines = recipes("keys").stdout.splitlines()
    assert max(map(len, lines)) <= 110
    for section, model in all_sections().items():
        assert any(line.startswith(f"[{section}]  ") for line in lines)
        for key in model.model_fields:
            assert sum(line.startswith(f"  {section}.{key}: ") for line in lines) == 1
    assert "  training.baseline_steps: integer; above 0; required" in lines
    assert "  views.flip: number; at least 0, at most 1; default 0.5" in lines
    assert '      Values: "fallback", "stop", "off".' in lines


def test_options_are_headed_by_their_method():
    shown = recipes("keys", "self_training").stdout
    assert shown.splitlines()[1] == 'Options of a method: read with training.method = "self_training".'
    assert "[usrn]" not in shown and "self_training.threshold: number; at least 0, at most 1" in shown


def test_options_of_a_method_of_your_own(tmp_path, monkeypatch):
    (tmp_path / "keyed_method.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    (section,) = json.loads(recipes("keys", "keyed_method:Mine", "--json").stdout)
    assert (section["name"], section["method"]) == ("keyed_method", "keyed_method:Mine")
    assert [key["name"] for key in section["keys"]] == ["momentum"]


PLUGIN = """
from pydantic import Field
from usrn_keras.recipe.method_options import MethodOptions

class MyOptions(MethodOptions):
    momentum: float = Field(0.99, description="of the teacher")

class Mine:
    Options = MyOptions
"""


def test_an_unknown_section_gives_the_nearest():
    result = recipes("keys", "trainig")
    assert result.exit_code == RecipeError.exit_code
    assert "no section 'trainig'" in result.stderr and "Did you mean `training`?" in result.stderr


def test_keys_need_no_keras():
    code = (
        "import sys; from usrn_cli.main import main;"
        "main(['recipes', 'keys'], standalone_mode=False); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"keras", "torch", "cv2"} & set(done.stderr.split())
