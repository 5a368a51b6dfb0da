"""Recipes from strangers: limits of size, depth, digits, numbers and characters."""

from __future__ import annotations

import pytest

from usrn_keras.errors import RecipeError
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.toml_file import DEEPEST, LARGEST_FILE, read_toml
from usrn_keras.sweeps.spec import load_table


@pytest.mark.parametrize(
    ("content", "problem"),
    [("a = " + "[" * 3000 + "]" * 3000, "nested deeper than 20 levels"),
     ("a = " + "[" * 30 + "]" * 30, "nested deeper than 20 levels"),
     (".".join("a" * 40) + " = 1", "nested deeper than 20 levels"),
     ("a = " + "9" * 5000, "digits"),
     ("a = 1 # " + "x" * LARGEST_FILE, "larger than"),
     ("a = \x00", "is not TOML")],
    ids=["recursion", "arrays", "tables", "digits", "size", "control"],
)  # fmt: skip
def test_a_file_beyond_the_limits(content, problem, tmp_path):
    file = tmp_path / "r.toml"
    file.write_text(content)
    for load in (load_recipe, load_table):
        with pytest.raises(RecipeError, match=problem) as error:
            load(str(file))
        assert str(file) in error.value.message and len(str(error.value)) < 1000


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "r.toml").write_bytes(b"a = '\xff\xfe'")
    with pytest.raises(RecipeError, match="is not TOML"):
        read_toml(tmp_path / "r.toml")


def test_allowed_depth(tmp_path):
    depth = DEEPEST - 1  # the table of the file is a level
    (tmp_path / "r.toml").write_text("a = " + "[" * depth + "]" * depth)
    assert read_toml(tmp_path / "r.toml")


@pytest.mark.parametrize(
    ("override", "problem"),
    [("training.learning_rate=inf", "finite"), ("training.weight_decay=1e300", "finite"),
     ("views.scale_labelled=[0.5, nan]", "finite"), ("training.baseline_steps=99999999999", "finite"),
     ("training.seed=4294967296", "less than"), ("training.seed=" + "9" * 5000, "digits"),
     ("data.mask_ids=" + "[" * 3000, "nested"), ("data.root=a\x1b[2Jb", "control characters"),
     ("data.root=" + "x" * 5000, "at most 4,096 characters")],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_a_value_beyond_its_bounds_is_one_error_of_its_key(override, problem):
    key = override.partition("=")[0]
    with pytest.raises(RecipeError, match=problem) as error:
        load_recipe("quickstart", [override])
    (line,) = error.value.errors
    assert key in line and len(line) < 400
