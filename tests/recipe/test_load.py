from __future__ import annotations

import pytest

from usrn_keras.errors import RecipeError
from usrn_keras.recipe import load_recipe, shipped_recipes


@pytest.mark.parametrize("text", ["1_4", "46", '"1_4"', " 1_4 "])
def test_a_split_that_looks_like_a_number_stays_text(text):
    assert load_recipe("camvid_1_8", [f"data.split={text}"]).data.split == text.strip(' "')


def test_an_empty_value_empties_a_text():
    assert load_recipe("camvid_1_8", ["data.split="]).data.split == ""


@pytest.mark.parametrize(
    ("root", "expected"),
    [(".", "{folder}"), ("./data", "{folder}/data"), ("../data", "{folder.parent}/data"), ("data", "data")],
)
def test_a_root_with_a_dot_goes_from_the_folder_of_the_recipe(tmp_path, monkeypatch, root, expected):
    folder = tmp_path / "projects" / "mine"
    folder.mkdir(parents=True)
    text = shipped_recipes()["quickstart"].read_text(encoding="utf-8")
    (folder / "mine.toml").write_text(text.replace("[data]\n", f'[data]\nroot = "{root}"\n'))
    monkeypatch.chdir(tmp_path)
    assert load_recipe("projects/mine/mine.toml").data.root == expected.format(folder=folder)
    assert load_recipe("projects/mine/mine.toml", ["data.root=./x"]).data.root == "./x"


def test_contradictions_are_reported_beside_wrong_values():
    overrides = ["usrn.sub_head=centroids", "views.crop_size=100", "evaluation.checkpoint=best"]
    overrides += ["subclasses.engine=k_means_constrained", "subclasses.assignment=free"]
    with pytest.raises(RecipeError) as error:
        load_recipe("quickstart", overrides)
    assert [line.split(":")[0] for line in error.value.errors] == [
        "views.crop_size", "evaluation.checkpoint", "subclasses.engine", "usrn.sub_head",
    ]  # fmt: skip


def test_hue_ends_at_half_a_turn():
    assert load_recipe("quickstart", ["views.jitter=[0.4, 0.4, 0.4, 0.5]"]).views.jitter[3] == 0.5
    with pytest.raises(RecipeError) as error:
        load_recipe("quickstart", ["views.jitter=[0.4, 0.4, 0.4, 0.51]"])
    (line,) = error.value.errors
    assert line.startswith("views.jitter: hue must be at most 0.5") and line.endswith("received 0.51")


def test_a_file_of_notepad_is_read(tmp_path):
    text = shipped_recipes()["quickstart"].read_text()
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8-sig")
    assert load_recipe(str(tmp_path / "mine.toml")).training == load_recipe("quickstart").training


def test_a_word_that_is_nearly_right():
    with pytest.raises(RecipeError) as error:
        load_recipe("quickstart", ["usrn.gate=fall_back"])
    assert error.value.errors[0].endswith("received 'fall_back'; did you mean `fallback`?")
