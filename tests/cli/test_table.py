"""`usrn table` as its users type it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from usrn_cli.main import main

TABLE = """
title = "Mine"
about = "What a row that fails leaves."
reference = "Baseline"
[[rows]]
name = "Baseline"
set = { "training.method" = "supervised" }
[[rows]]
name = "Oracle"
set = { "training.method" = "supervised", "training.baseline_steps" = 3 }
[[rows]]
name = "broken"
set = { "training.learning_rate" = 1e9, "training.method" = "supervised" }
"""


@pytest.fixture
def table_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TABLE)
    return str(path)


def usrn_table(*args: str):
    return CliRunner().invoke(main, ["table", *args])


def test_one_broken_run_leaves_a_gap_and_the_rest_is_done(recipe_file, table_file, tmp_path):
    folder = tmp_path / "family"
    arguments = (table_file, str(recipe_file), "--folder", str(folder), "--jobs", "2")
    result = usrn_table(*arguments, "--json")
    assert result.exit_code == 12, result.stderr
    told = json.loads(result.stdout)
    assert told["gaps"] == ["broken seed 0"] and len(told["failures"]) == 1
    assert "is not finite" in next(iter(told["failures"].values()))
    assert [bool(row["seeds"]) for row in told["rows"]] == [True, True, False]
    assert told["rows"][1]["difference"]["miou"]["seeds"] == 1
    written = {path.name for path in (folder / "tables/mine").iterdir()}
    assert written == {"table.json", "table.md", "table.csv", "index.html", "comparison.png"}
    assert "1 of 3 cells have no value" in result.stderr and "broken-seed0-" in result.stderr
    logs = [path.read_text() for path in folder.glob("*.log")]
    assert logs and not any("taken over" in log for log in logs)  # every row has a Baseline of its own

    again = usrn_table(*arguments, "--dry-run")
    assert again.exit_code == 0
    to_do = {
        line.split("│")[1].split("-")[0].strip(): line
        for line in again.stdout.splitlines()
        if "seed0" in line
    }
    assert "about" in again.stdout
    assert "nothing" in to_do["baseline"] and "1-baseline" in to_do["broken"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("component", "quickstart"), 3, "Did you mean `components`?"),
        (("components", "no_recipe.toml"), 3, "no recipe 'no_recipe.toml'"),
        (("components", "quickstart", "--seeds", "1,1"), 2, "distinct non-negative integers"),
        (("components", "quickstart", "--seeds", "a"), 2, "must be distinct"),
        (("components", "quickstart", "--json", "--csv"), 2, "cannot be combined"),
        (("components", "quickstart", "--jobs", "0"), 2, "--jobs"),
        (("components", "quickstart", "--set", "usrn.gat=off"), 3, "did you mean `gate`?"),
    ],
)
def test_what_is_refused(arguments, code, message):
    result = usrn_table(*arguments)
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr


def test_without_test_labels_nothing_is_trained(recipe_file, table_file, tmp_path):
    options = ("--set", "evaluation.split=test", "--folder", str(tmp_path / "family"))
    result = usrn_table(table_file, str(recipe_file), *options)
    assert result.exit_code == 4
    assert "has no test images" in result.stderr and not (tmp_path / "family").exists()


def test_without_masks_of_unlabelled_images_there_is_no_oracle(recipe_file, tmp_path):
    """What most people's data are like: the main table goes without it, and says so."""
    result = usrn_table("main", str(recipe_file), "--dry-run", "--folder", str(tmp_path / "family"))
    assert result.exit_code == 0, result.stderr
    assert "2 runs for 2 cells" in result.stdout
    assert (
        "Oracle is left out: data.labels = `all`: none of the 2 unlabelled images has a mask" in result.stdout
    )


def test_a_data_set_that_is_not_there(table_file, tmp_path):
    result = usrn_table(table_file, "camvid_1_8", "--set", f"data.root={tmp_path / 'nowhere'}")
    assert result.exit_code == 4 and "is not a folder" in result.stderr


def test_dry_run_tells_what_is_shared(recipe_file, tmp_path):
    folder = tmp_path / "family"
    result = usrn_table("components", str(recipe_file), "--dry-run", "--json", "--folder", str(folder))
    told = json.loads(result.stdout)
    assert told["cells"] == 6 and len(told["runs"]) == 6 and told["seconds"] > 0
    assert [run["to_do"].count("(shared)") for run in told["runs"]] == [0, 1, 2, 2, 2, 2]
    assert not folder.exists()
