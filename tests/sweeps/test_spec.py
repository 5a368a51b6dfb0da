"""Table files: those that are shipped, and what is wrong with others."""

from __future__ import annotations

import pytest

from usrn_keras.errors import RecipeError
from usrn_keras.sweeps.plan import make_plan
from usrn_keras.sweeps.spec import load_table, shipped_tables

TABLE = """
title = "Mine"
about = "What is asked."
marks = ["A"]
reference = "Baseline"
[[rows]]
name = "Baseline"
set = { "training.method" = "supervised" }
[[rows]]
name = "USRN"
marks = ["A"]
set = { "usrn.threshold" = 0.5 }
"""


def test_the_tables_of_the_paper_are_shipped():
    assert set(shipped_tables()) >= {
        "main", "components", "clustering", "sharing", "threshold", "architectures", "gate",
    }  # fmt: skip


@pytest.mark.parametrize("name", shipped_tables())
@pytest.mark.parametrize("recipe", ["quickstart", "camvid_1_8", "voc_1_32", "cityscapes_1_8"])
def test_every_shipped_table_is_a_table_of_every_recipe(name, recipe):
    spec = load_table(name)
    plan = make_plan(spec, recipe, [], seeds=(0, 1), backend="torch")
    assert {cell.row for cell in plan.cells} == {row.name for row in plan.spec.rows}
    assert not any("{" in row.name for row in plan.spec.rows) and "{" not in plan.spec.reference
    assert len(plan.cells) == len(spec.rows) * len(plan.splits) * 2
    assert spec.about.endswith(".") and len(plan.runs) >= 2


def test_models_of_the_components_differ_by_one_term_each():
    rows = load_table("components").rows
    assert [len(row.marks) for row in rows] == [0, 1, 2, 3, 4, 5]
    for row in rows[1:-1]:
        assert [term.upper() for term in row.set["usrn.terms"]] == row.marks


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('reference = "Baseline"', 'reference = "Base"', "reference must name a row"),
        ('name = "USRN"', 'name = "Baseline"', "a name of its own"),
        ('marks = ["A"]\nset', 'marks = ["B"]\nset', "are not among"),
        ('title = "Mine"', 'title = "Mine"\nheading = "x"', "heading"),
        ('marks = ["A"]\nset', 'model = "teacher"\nset', "rows.1.model"),
        ('about = "What is asked."', "", "about"),
        ('title = "Mine"', 'title = "Mine"\nfigures = ["mio"]', "unknown figure 'mio'; allowed: miou,"),
    ],
)
def test_errors_of_a_table_file(tmp_path, old, new, fault):
    file = tmp_path / "mine.toml"
    file.write_text(TABLE.replace(old, new))
    with pytest.raises(RecipeError, match=r"mine.toml: 1 error") as error:
        load_table(str(file))
    assert fault in str(error.value)


def test_an_unknown_name_is_told_what_there_is():
    with pytest.raises(RecipeError, match=r"no table 'component'.*components") as error:
        load_table("component")
    assert error.value.hint == "Did you mean `components`?"


@pytest.mark.parametrize("source", ["main.toml", "tables/main", "recipes/tables/main.toml"])
def test_a_shipped_table_is_found_by_its_path_from_any_folder(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    assert load_table(source) == load_table("main")
    (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / source).write_text(TABLE)
    assert load_table(source).title == "Mine"


def test_a_file_that_is_no_toml(tmp_path):
    (tmp_path / "mine.toml").write_text("title = ")
    with pytest.raises(RecipeError, match="is not TOML"):
        load_table(str(tmp_path / "mine.toml"))
