from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from tests.evaluation.made_run import VAL, make_run, write
from usrn_cli.main import main
from usrn_keras.report import Comparison


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a run `run` whose models are known, and the labels of its val images."""
    folder = tmp_path_factory.mktemp("made")
    return folder, make_run(folder)


@pytest.fixture
def folder(made, monkeypatch):
    """The folder of the run, as the working folder."""
    monkeypatch.chdir(made[0])
    return made[0]


def usrn_evaluate(*args: str):
    return CliRunner().invoke(main, ["evaluate", *args])


def refused(result, code: int, *lines: str) -> None:
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    for line in lines:
        assert line in result.stderr.splitlines(), result.stderr


def masks(folder, labels, name: str = "masks"):
    for sample, label in zip(VAL, labels, strict=True):
        write(folder / name / f"{sample}_pred.png", label)
    return folder / name


def test_one_column_for_each_model_and_where_the_figures_come_from(folder):
    result = usrn_evaluate("run", "--model", "baseline", "--model", "usrn", "--no-report")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [cell.strip(" ┃") for cell in lines[1].split("┃")[3:5]] == ["run baseline", "run usrn"]
    assert lines[3].split("│")[1].strip() == "road"
    assert next(line.split("│")[1].strip() for line in lines if "mIoU" in line) == "mIoU"
    assert re.fullmatch(r"\w+ val, 3 images, lists \w{16}, mode whole, checkpoint last", lines[-1])
    assert "\x1b" not in result.stdout


def test_models_are_those_of_the_run_whatever_its_method(folder, tmp_path):
    run = shutil.copytree("run", tmp_path / "run")
    stages = json.loads((run / "stages.json").read_text())
    stages[-1] |= {"name": "teacher", "title": "Teacher"}
    (run / "stages.json").write_text(json.dumps(stages))
    result = usrn_evaluate(str(run), "--model", "teacher", "--csv", "--no-report")
    assert result.exit_code == 0, result.stderr
    result = usrn_evaluate(str(run), "--model", "usrn", "--no-report")
    assert result.exit_code == 6 and "it has baseline, teacher" in result.stderr


def test_markdown_in_another_mode(folder):
    options = ("--mode", "slide", "--flip", "--scales", "1.0,1.0", "--markdown", "--no-report")
    result = usrn_evaluate("run", *options, "--quiet")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0] == "| class | pixels % | run |"
    assert result.stdout.rstrip().endswith("mode slide 32 overlap 0.33 + flip + scales 1/1, checkpoint last")
    assert result.stderr == ""


def test_json_reads_back_and_counts_every_labelled_pixel(made, folder):
    value = json.loads(usrn_evaluate("run", "--json", "--no-report").stdout)
    (scores,) = Comparison.from_json(value).scores
    assert scores.confusion.sum() == (made[1] != 255).sum()
    assert value["runs"][0]["miou"] == scores.miou > 0.5
    assert scores.provenance.images == 3


def test_csv_reads_back(folder):
    text = usrn_evaluate("run", "--csv", "--no-report").stdout
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    assert {row["name"] for row in rows if row["kind"] == "class"} == {"road", "pole", "sky"}
    assert 0 < float(next(row["run"] for row in rows if row["name"] == "mIoU")) < 1
    assert 0 < float(next(row["run boundary"] for row in rows if row["name"] == "pole")) < 1


def test_pictures_go_to_the_report_of_the_run_and_are_named(folder):
    result = usrn_evaluate("run", "--model", "baseline")
    assert result.exit_code == 0, result.stderr
    kinds = (
        "scores.json",
        "confusion_baseline_val.png",
        "confusion_baseline_val.csv",
        "worst_baseline_val.png",
    )
    paths = [f"run/report/{kind}" for kind in kinds]
    assert [line for line in result.stderr.splitlines() if "written" in line] == [
        f"written: {path}" for path in paths
    ]
    assert {(folder / path).read_bytes()[1:4] for path in (paths[1], paths[3])} == {b"PNG"}


def test_masks_of_another_tool_beside_a_run(made, folder, tmp_path):
    others = masks(tmp_path, np.where(made[1] == 255, 0, made[1]))
    result = usrn_evaluate(
        "run", "--predictions", str(others), "--report", str(tmp_path / "report"), "--json"
    )
    assert result.exit_code == 0, result.stderr
    run, perfect = Comparison.from_json(json.loads(result.stdout)).scores
    assert (perfect.name, perfect.miou, perfect.provenance.mode) == (str(others), 1.0, "masks")
    assert run.provenance.fingerprint == perfect.provenance.fingerprint
    assert f"{others}: masks are named NAME_pred.png" in result.stderr.splitlines()
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "scores.json", "confusion_usrn_val.png", "confusion_usrn_val.csv", "worst_usrn_val.png",
        "confusion_masks_val.png", "confusion_masks_val.csv", "worst_masks_val.png", "comparison.png",
    }  # fmt: skip


def test_masks_without_a_run_need_a_recipe(made, folder, tmp_path):
    others = str(masks(tmp_path, made[1]))
    result = usrn_evaluate("--predictions", others, "--recipe", "recipe.toml", "--markdown")
    assert result.exit_code == 0, result.stderr
    assert "| **mIoU** |  | 100.0 |" in result.stdout
    assert "written" not in result.stderr
    other_data = ("--set", "data.val=nowhere.txt")
    assert usrn_evaluate("--predictions", others, "--recipe", "recipe.toml", *other_data).exit_code == 4


def test_every_bad_mask_and_every_bad_run_is_named_before_anything_is_measured(made, folder, tmp_path):
    others = masks(tmp_path, np.where(made[1] == 255, 0, made[1]))
    write(others / f"{VAL[0]}_pred.png", made[1][0][:, :-2])
    write(others / f"{VAL[1]}_pred.png", np.full((20, 24), 7))
    (others / f"{VAL[2]}_pred.png").unlink()
    arguments = ("run", "nowhere", "run/report", "--predictions", str(others))
    result = usrn_evaluate(*arguments, "--report", str(tmp_path / "report"))
    refused(
        result,
        6,
        "error: nothing was evaluated, because some of the runs or masks cannot be evaluated",
        "  - nowhere is not a run folder: it does not exist",
        f"  - {others} does not contain a valid mask for each of the 3 val images of data",
        f"      {others / VAL[0]}_pred.png is 22x20 pixels, the label of its image is 24x20",
        f"      {others / VAL[1]}_pred.png contains ids of no class: 7; allowed: 0 to 2",
        f"      {VAL[2]}: there is no {VAL[2]}_pred.png",
    )
    assert "evaluating" not in result.stderr
    assert not (tmp_path / "report").exists()


def test_runs_of_other_classes(folder, tmp_path):
    make_run(tmp_path, "road\nlamp\nsky\n")
    refused(
        usrn_evaluate("run", str(tmp_path / "run")),
        6,
        "error: only runs of the same classes can be compared; run has road, pole, sky",
        f"  - {tmp_path / 'run'}: road, lamp, sky",
    )


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (("run", "--split", "test"), 4, "error: run: the data set"),
        (("run", "--checkpoint", "best"), 6,
         "error: run has no best weights of its usrn model, because it was trained with evaluation.every"),
        (("data",), 6, "error: data is not a run folder"),
        (("run", "--model", "teacher"), 6, "error: run has no teacher model: with training.method"),
        (("run", "--model", "teacher"), 6, "Choose one of them, for example --model usrn"),
        (("run", "--predictions", "nowhere"), 4, "error: nowhere does not exist"),
        (("run", "--predictions", "run/1-baseline"), 4, "error: run/1-baseline contains no PNG files"),
        (("--predictions", "data", "--recipe", "nowhere.toml"), 3,
         "error: no recipe 'nowhere.toml': neither a file nor a shipped recipe"),
    ],
)  # fmt: skip
def test_bad_input(folder, arguments, code, line):
    result = usrn_evaluate(*arguments, "--no-report")
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    assert any(found.startswith(line) for found in result.stderr.splitlines()), result.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "nothing to measure: name the folder of a run, or --predictions and --recipe"),
        (("run", "--markdown", "--json"), "--json, --markdown and --csv exclude each other"),
        (("run", "--csv", "--json"), "--json, --markdown and --csv exclude each other"),
        (("run", "--report", "x", "--no-report"), "--report and --no-report exclude each other"),
        (("run", "--split", "train"), "'train' is not one of 'val', 'test'"),
        (("run", "--scales", "0.5,x"), "'0.5,x' must be numbers above 0 between commas, such as 0.5,1.0,1.5"),
        (("run", "--scales", "0"), "'0' must be numbers above 0 between commas"),
        (("run", "--scales", "nan"), "'nan' must be numbers above 0 between commas"),
        (("run", "--recipe", "x"), "--recipe is for --predictions without a run: RUNS have their recipes"),
        (("run", "--set", "a.b=1"), "--set is for --predictions without a run: RUNS have their recipes"),
        (("--predictions", "x"), "--predictions need the data set of a run or of --recipe"),
        (("--predictions", "x", "--recipe", "y", "--flip", "--scales", "1", "--model", "usrn"),
         "--model, --flip, --scales: only for RUNS; masks are scored as they are"),
    ],
)  # fmt: skip
def test_usage_errors(arguments, line):
    result = usrn_evaluate(*arguments)
    assert result.exit_code == 2
    assert line in result.stderr, result.stderr


def test_the_table_stands_where_a_picture_cannot_be_written(folder, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        result = usrn_evaluate("run", "--report", "full", "--markdown")
    assert result.exit_code == 9
    assert "| **mIoU** |" in result.stdout
    assert "No space left on device" in result.stderr
    assert not list((folder / "full").iterdir())


def test_many_columns_are_not_cut_off_away_from_a_terminal(folder):
    heading = usrn_evaluate(*["run"] * 12, "--no-report", "--quiet").stdout.splitlines()[1]
    assert heading.split().count("run") == 12


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from usrn_cli.main import main;"
        "main(['evaluate', '--help'], standalone_mode=False); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"keras", "numpy", "torch", "cv2", "rich", "matplotlib"} & set(done.stderr.split())
