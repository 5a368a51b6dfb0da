"""`usrn runs`: what is listed, found damaged and removed, in folders with files of the right names alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from usrn_cli.main import main
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.stage_plan import Cluster, Train, stage_folders, stages_to_json
from usrn_keras.runs import Run
from usrn_keras.runs.folder_lock import locked_folder

STAGES = (Train("baseline", "Baseline", "supervised", 4, "training.baseline_steps", 0.1), Cluster("baseline"))


def usrn(*words: object) -> Result:
    return CliRunner().invoke(main, ["runs", *map(str, words)])


@pytest.fixture
def run(tmp_path, recipe_file) -> Run:
    """A run of two stages, the first of which is complete."""
    path = tmp_path / "experiments/first"
    for folder in ("1-baseline", "2-subclasses/features", "1-baseline/features"):
        (path / folder).mkdir(parents=True)
    (path / "recipe.toml").write_text(recipe_file.read_text())
    (path / "dataset.json").write_text("{}")
    (path / "stages.json").write_text(json.dumps(stages_to_json(STAGES)))
    for name in ("1-baseline/checkpoint.npz", "1-baseline/model.keras", "1-baseline/features/0.npy"):
        (path / name).write_bytes(name.encode())
    run = Run(path, load_recipe(str(recipe_file)), stage_folders(STAGES))
    run.complete("1-baseline", [path / "1-baseline/checkpoint.npz", path / "1-baseline/model.keras"], steps=4)
    return run


def test_runs_below_a_folder_are_listed(run, tmp_path):
    done = usrn("list", tmp_path)
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == [str(run.path), "usrn", "1/2", "stages", "mIoU", "-", "0.0", "MiB"]
    (entry,) = json.loads(usrn("list", run.path, "--json").stdout)
    assert (entry["path"], entry["complete"], entry["miou"]) == (str(run.path), 1, None)
    (run.path / "stages.json").write_text("{")
    assert "damaged: " in usrn("list", tmp_path).stdout


@pytest.mark.parametrize("name", ["dataset.json", "recipe.toml"])
def test_a_run_that_lacks_a_file_is_still_a_run(run, tmp_path, name):
    (run.path / name).unlink()
    done = usrn("check", tmp_path)
    assert done.exit_code == 6 and name in done.stderr, done.output
    assert name in usrn("list", tmp_path).stdout


def test_a_folder_without_runs_is_an_error(tmp_path):
    assert usrn("list", tmp_path).exit_code == 6
    assert "no such folder" in usrn("check", tmp_path / "x").stderr


@pytest.mark.parametrize(
    ("damage", "problem"),
    [(Path.unlink, "is missing"),
     (lambda file: file.write_bytes(b"short"), "has 5 bytes instead of"),
     (lambda file: file.write_bytes(file.read_bytes().upper()), "has another content than was written")],
    ids=["missing", "size", "content"],
)  # fmt: skip
def test_check_names_every_damaged_product(damage, problem, run):
    assert usrn("check", run.path).stdout == f"{run.path}  whole\n"
    damage(run.path / "1-baseline/model.keras")
    done = usrn("check", run.path)
    assert done.exit_code == 6 and f"1-baseline/model.keras {problem}" in done.stderr
    assert "usrn fit" in done.stderr and done.stdout == f"{run.path}  1 damaged\n"
    (found,) = json.loads(usrn("check", run.path, "--json").stdout)
    assert len(found["damaged"]) == 1


def test_clean_keeps_what_a_run_needs(run):
    (run.path / ".model-x.tmp.keras").write_bytes(b"0" * 2**20)
    for dry in (["--dry-run"], []):
        done = usrn("clean", run.path, *dry)
        assert done.exit_code == 0, done.output
        lines = done.stdout.splitlines()
        assert lines[:2] == [f"{run.path}/.model-x.tmp.keras", f"{run.path}/1-baseline/features"]
        assert lines[-1].startswith("1.0 MiB")
        assert (run.path / "1-baseline/features").exists() == bool(dry)
    assert (run.path / "2-subclasses/features").exists()  # of a stage that is not complete
    assert (run.path / "1-baseline/checkpoint.npz").exists()


def test_clean_leaves_a_run_at_work_alone(run):
    with locked_folder(run.path):
        assert usrn("clean", run.path).exit_code == 6
