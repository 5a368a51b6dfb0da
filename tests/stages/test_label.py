"""Runs with labelling stages: pseudo masks on disk, rounds, resuming inside and between them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.conftest import RECIPE
from tests.tools import ROOT
from usrn_cli.main import main
from usrn_keras.data import load_dataset, read_image
from usrn_keras.errors import DataError, DivergedError, RunError, StorageError
from usrn_keras.evaluation import evaluate_run
from usrn_keras.files import read_json
from usrn_keras.progress import SILENT
from usrn_keras.pseudo_masks import score_files
from usrn_keras.pseudo_masks.score_files import score_file
from usrn_keras.recipe import load_recipe
from usrn_keras.report.run_page import losses_of
from usrn_keras.runs import Run, open_run
from usrn_keras.stages import fit
from usrn_keras.stages import label as label_stage
from usrn_keras.stages.build import build_method
from usrn_keras.stages.label import label
from usrn_keras.stages.preflight import validate_run
from usrn_keras.stages.teacher import Teacher
from usrn_keras.stages.train import _continue_from, trained_method

IMAGES = 8  # without a mask


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory) -> Path:
    """A folder data set of two classes, and steps enough to find the rare one; tests read it alone."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("images", "masks"):
        (folder / "data" / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(4 + IMAGES):
        mask = np.zeros((40, 48), np.uint8)
        mask[10:20, 3 * index : 3 * index + 12] = 1
        image = (mask[..., None] * 120 + rng.integers(0, 90, (40, 48, 3))).astype(np.uint8)
        Image.fromarray(image).save(folder / f"data/images/{index}.png")
        if index % 3 == 0:
            Image.fromarray(mask).save(folder / f"data/masks/{index}.png")
    (folder / "data/classes.txt").write_text("road\ncar\n")
    (folder / "data/val.txt").write_text("0\n")
    text = RECIPE.format(root=folder / "data").replace("workers = 1", 'workers = 1\nval = "val.txt"')
    text = text.replace("baseline_steps = 4", "baseline_steps = 60\nbackbone_multiplier = 1")
    path = folder / "recipe.toml"
    path.write_text(text.replace("log_every = 1", 'log_every = 1\noptimizer = "adamw"\nlearning_rate = 0.01'))
    return path


@pytest.fixture(scope="module")
def dars(recipe_file) -> Run:
    """A complete run of two rounds, which tests read or copy."""
    return run_of(recipe_file, recipe_file.parent / "dars", "training.method=dars")


@pytest.fixture(scope="module")
def dsbn(recipe_file) -> Run:
    """A complete run, which tests read or copy."""
    return run_of(recipe_file, recipe_file.parent / "dsbn", "training.method=dsbn")


def copy_of(run: Run, folder: Path) -> Run:
    shutil.copytree(run.path, folder)
    return open_run(folder)


def run_of(recipe_file: Path, folder: Path, *overrides: str, log: Callable = lambda line: None) -> Run:
    fit(load_recipe(str(recipe_file), list(overrides)), folder, log=log)
    return open_run(folder)


def masks_of(run: Run, stage: str, kind: str = "masks") -> dict[str, np.ndarray]:
    folder = run.stage(stage) / kind
    return {file.stem: np.array(Image.open(file)) for file in sorted(folder.glob("*.png"))}


def records_of(run: Run, stage: str) -> list[dict]:
    lines = (run.path / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["stage"] == stage]


def test_rounds_of_dars(dars):
    """Stages, records, masks and their report."""
    run = dars
    assert list(run.stages) == ["1-baseline", "2-labels_1", "3-dars_1", "4-labels_2", "5-dars"]
    assert [score["name"] for score in read_json(run.evaluation_file)["scores"]] == ["Baseline", "DARS"]
    steps = {folder: [record["step"] for record in records_of(run, folder)] for folder in run.training_stages}
    assert steps == {
        "1-baseline": list(range(1, 61)), "3-dars_1": [61, 62, 63, 64], "5-dars": [65, 66, 67, 68],
    }  # fmt: skip
    rates = [record["learning_rate"] for record in records_of(run, "5-dars")]
    np.testing.assert_allclose(rates, [0.01 * (1 - step / 68) ** 0.9 for step in range(64, 68)], atol=1e-6)
    assert all({"supervised", "pseudo"} <= set(record) for record in records_of(run, "5-dars"))
    for stage, ratio in (("2-labels_1", 0.4), ("4-labels_2", 0.5)):
        check_labels(run, stage, ratio)
        assert not (run.stage(stage) / "scores").exists()


def check_labels(run: Run, stage: str, ratio: float) -> None:
    """Masks and `labels.json` follow from the predictions of the teacher, by a sort of all confidences."""
    dataset = load_dataset(run.recipe.data)
    teacher = Teacher(run, run.plan[stage].teacher, dataset)
    scored = {sample.name: teacher.label(read_image(sample.image)) for sample in dataset.unlabelled}
    labels = np.stack([one.labels for one in scored.values()])
    confidence = np.stack([one.confidence for one in scored.values()])
    masks = masks_of(run, stage)
    assert list(masks) == sorted(scored)
    rows = read_json(run.stage(stage) / "labels.json")["classes"]
    labelled = np.bincount(np.concatenate([np.ravel(Image.open(one.mask)) for one in dataset.labelled]))
    for class_id, (name, share) in enumerate(zip(dataset.classes, labelled / labelled.sum(), strict=True)):
        own = np.sort(confidence[labels == class_id])[::-1]
        quota = int(ratio * share * labels.size + 1e-6)
        row = rows[name]
        assert row["predicted"] == len(own) > 0 and row["quota"] == quota
        assert row["threshold"] == own[min(quota, len(own)) - 1]
        kept = {one: mask == class_id for one, mask in masks.items()}
        assert row["kept"] == sum(mask.sum() for mask in kept.values())
        assert min(quota, len(own)) <= row["kept"] <= quota + IMAGES
        for one, mask in kept.items():
            assert (scored[one].labels[mask] == class_id).all()
            assert (scored[one].confidence[mask] >= row["threshold"]).all()


def test_a_second_call_does_nothing(recipe_file, dars):
    before, lines = (dars.stage("5-dars") / "checkpoint.npz").stat().st_mtime_ns, []
    run_of(recipe_file, dars.path, "training.method=dars", log=lines.append)
    assert [line for line in lines if "complete" in line] == [f"{s}: already complete" for s in dars.stages]
    assert (dars.stage("5-dars") / "checkpoint.npz").stat().st_mtime_ns == before


def test_a_round_continues_with_the_optimizer(dars):
    """Weights, statistics, moments and the number of steps are those that the Baseline ended with."""
    dataset = load_dataset(dars.recipe.data)
    baseline = trained_method(dars, "baseline", dataset)
    method = build_method(dars.recipe, dars.training_stages["3-dars_1"], dataset, pretrained=False)
    _continue_from(method, baseline)
    for ours, theirs in zip(
        [*method.networks[0].F.variables, *method.optimizer.variables],
        [*baseline.networks[0].F.variables, *baseline.optimizer.variables],
        strict=True,
    ):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (ours, theirs)))
    assert int(method.optimizer.iterations) == 60
    assert float(method.optimizer.learning_rate) == pytest.approx(0.01 * (1 - 60 / 64) ** 0.9)


def test_rounds_are_measured_by_name_and_reported(dars):
    run = dars
    assert run.models == ("baseline", "dars_1", "dars") and run.compared_models == ("baseline", "dars")
    done = CliRunner().invoke(
        main, ["evaluate", str(run.path), "--model", "dars_1", "--model", "dars", "--no-report", "--json"]
    )
    assert done.exit_code == 0, done.output
    assert [one["name"].split()[-1] for one in json.loads(done.stdout)["runs"]] == ["dars_1", "dars"]
    assert evaluate_run(run.path).scores.name == "dars"
    page = (run.path / "report/index.html").read_text(encoding="utf-8")
    assert "The losses of DARS, round 1 over the steps of training" in page
    lines = losses_of(records_of(run, "5-dars"))
    assert [line.name for line in lines] == ["F, labelled", "F, pseudo masks"]


@pytest.mark.parametrize("override", ["evaluation.mode=slide", "evaluation.flip=true", ""])
def test_labels_are_predicted_as_the_recipe_evaluates(recipe_file, dsbn, tmp_path, override):
    """All of them, by DSBN."""
    run, stage = dsbn, "2-labels"
    if override:
        recipe = load_recipe(str(recipe_file), ["training.method=dsbn", override])
        run = replace(copy_of(dsbn, tmp_path / "run"), recipe=recipe)
        shutil.rmtree(run.stage(stage))
        lines = []
        label(run, stage, load_dataset(recipe.data), SILENT, lines.append)
        assert lines[0].startswith("2-labels: labels and confidences of 8 images take 46.1 kB in ")
        assert lines[1:] == ["2-labels: 100.0% of 15,360 unlabelled pixels kept"]
    dataset = load_dataset(run.recipe.data)
    teacher, masks = Teacher(run, "baseline", dataset), masks_of(run, stage)
    for sample in dataset.unlabelled:
        np.testing.assert_array_equal(masks[sample.name], teacher.label(read_image(sample.image)).labels)
    inference = read_json(run.stage(stage) / "labels.json")["inference"]
    assert (inference["mode"], inference["flip"]) == (
        "slide" if "slide" in override else "whole",
        "flip" in override,
    )
    different = [(masks[name] != mask).any() for name, mask in masks_of(dsbn, stage).items()]
    assert any(different) == bool(override)


def test_generations_of_crest_train_from_the_start(recipe_file, tmp_path):
    overrides = ["training.method=crest", "crest.generations=2"]
    run = run_of(recipe_file, tmp_path / "run", *overrides)
    assert list(run.stages) == ["1-baseline", "2-labels_1", "3-crest_1", "4-labels_2", "5-crest"]
    assert [record["step"] for record in records_of(run, "5-crest")] == [1, 2, 3, 4]
    rows = read_json(run.stage("2-labels_1") / "labels.json")["classes"]
    dataset = load_dataset(run.recipe.data)
    labelled = np.bincount(np.concatenate([np.ravel(Image.open(one.mask)) for one in dataset.labelled]))
    rate = (labelled[1] / labelled[0]) ** (1 / 3)  # of the frequent class; all of the rare one
    assert rows["car"]["quota"] == rows["car"]["predicted"] > 0
    assert rows["road"]["quota"] == int(rate * rows["road"]["predicted"])
    assert all(0 <= row["kept"] - row["quota"] <= IMAGES for row in rows.values())
    assert len(list((run.stage("2-labels_1") / "means").glob("*.npy"))) == IMAGES
    plain = copy_of(run, tmp_path / "plain")
    plain = replace(
        plain, plan={**plain.plan, "2-labels_1": replace(run.plan["2-labels_1"], temperature=None)}
    )
    shutil.rmtree(plain.stage("2-labels_1"))
    label(plain, "2-labels_1", dataset, SILENT, lambda line: None)
    assert not (plain.stage("2-labels_1") / "means").exists()
    assert read_json(plain.stage("2-labels_1") / "labels.json")["classes"] != rows  # alignment moves labels


def test_usrn_on_dars(recipe_file, tmp_path):
    """A teacher with F_sub after the subclasses; labels agree with both, and sublabels have equal quotas."""
    overrides = [
        "training.method=dars", "training.with_usrn=true", "usrn.on_disagreement=drop", "dars.ratios=[0.5]",
        "subclasses.max_subclasses=4", "training.baseline_steps=10",
    ]  # fmt: skip
    run = run_of(recipe_file, tmp_path / "run", *overrides)
    assert list(run.stages) == ["1-baseline", "2-subclasses", "3-teacher", "4-labels_1", "5-dars"]
    assert run.titles == {"baseline": "Baseline", "teacher": "Teacher with F_sub", "dars": "DARS + USRN"}
    assert {"supervised", "supervised_sub", "pseudo", "pseudo_sub"} <= set(records_of(run, "5-dars")[0])
    assert "pseudo" not in records_of(run, "3-teacher")[0]
    report = read_json(run.stage("4-labels_1") / "labels.json")
    quotas = {row["quota"] for row in report["subclasses"]}
    assert quotas == {int(0.5 * 15360 / len(report["subclasses"]))}
    dataset = load_dataset(run.recipe.data)
    teacher = Teacher(run, "teacher", dataset)
    masks, sublabels = masks_of(run, "4-labels_1"), masks_of(run, "4-labels_1", "sublabels")
    parents = np.array(teacher.second_head.parents)
    alone = 0
    for sample in dataset.unlabelled:
        scored = teacher.label(read_image(sample.image))
        kept = masks[sample.name] != 255
        own = teacher.probabilities(read_image(sample.image)).argmax(axis=-1)
        assert (masks[sample.name][kept] == own[kept]).all()
        with_sub = sublabels[sample.name] != 255
        assert (sublabels[sample.name][with_sub] == scored.sublabels[with_sub]).all()
        alone += (kept & with_sub & (parents[scored.sublabels] != masks[sample.name])).sum()
        alone += (kept != with_sub).sum()
    assert alone > 0  # labels and sublabels are selected separately
    kept = [row["kept"] for row in report["subclasses"]]
    assert kept == [sum((mask == k).sum() for mask in sublabels.values()) for k in range(len(kept))]


def command(recipe_file, run_dir, *overrides: str) -> list[str]:
    start = "from usrn_cli.main import main; main()"
    settings = [word for override in overrides for word in ("--set", override)]
    return [sys.executable, "-c", start, "fit", str(recipe_file), "--run", str(run_dir), "--quiet", *settings]


@pytest.mark.parametrize(
    "overrides",
    [["training.method=dars"],
     ["training.method=dars", "training.with_usrn=true", "usrn.on_disagreement=drop", "dars.ratios=[0.5]"],
     ["training.method=crest", "crest.generations=2"]],
    ids=["dars", "usrn", "crest"],
)  # fmt: skip
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_while_it_labels_and_trains_ends_where_an_undisturbed_run_ends(
    recipe_file, tmp_path, overrides
):
    """SIGKILL at the third image of each labelling stage, and in a round: bit-equal masks and weights."""
    environment = os.environ | {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    subprocess.run(command(recipe_file, whole, *overrides), env=environment, check=True)
    run = open_run(whole)
    stages = [stage for stage in run.stages if stage not in ("1-baseline", "2-subclasses", "3-teacher")]
    for stage in stages:
        is_label = "labels" in stage

        def begun(stage=stage, is_label=is_label) -> bool:
            if is_label:
                return len(list((parts / stage).glob("scores/*.npz"))) >= 3
            log = parts / "metrics.jsonl"
            return log.exists() and f'"{stage}"' in log.read_text()

        process = subprocess.Popen(command(recipe_file, parts, *overrides), env=environment)
        while not begun():
            if process.poll() is not None:
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command(recipe_file, parts, *overrides), env=environment, check=True)
    for stage in stages:
        if "labels" in stage:
            files = sorted(file.relative_to(whole) for file in (whole / stage).rglob("*.png"))
            assert files == sorted(file.relative_to(parts) for file in (parts / stage).rglob("*.png"))
            assert all((whole / file).read_bytes() == (parts / file).read_bytes() for file in files)
            reports = [read_json(path / stage / "labels.json") for path in (whole, parts)]
            assert reports[0] == reports[1]
        else:
            with (
                np.load(whole / stage / "checkpoint.npz") as one,
                np.load(parts / stage / "checkpoint.npz") as two,
            ):
                assert one.files == two.files
                for key in one.files[1:]:
                    np.testing.assert_array_equal(one[key], two[key], err_msg=key)
    scores = [read_json(path / "evaluation.json")["scores"] for path in (whole, parts)]
    assert scores[0] == scores[1]
    assert not list(parts.rglob(".*.tmp*")) and not list(parts.rglob("scores/*.npz"))


class Stopped(Exception):
    """Raised instead of a kill."""


@pytest.mark.parametrize("killed_in", ["first pass", "second pass", "between masks and the end"])
def test_an_interrupted_labelling_stage_resumes(dars, tmp_path, monkeypatch, killed_in):
    """Complete images are not predicted again, and the masks are the same."""
    whole, stage = dars, "2-labels_1"
    run, dataset = copy_of(dars, tmp_path / "run"), load_dataset(dars.recipe.data)
    shutil.rmtree(run.stage(stage))
    predicted, allowed = [], [3]

    def counted(teacher, image, *correct, original=Teacher.label):
        if killed_in == "first pass" and len(predicted) == allowed[0]:
            raise Stopped
        predicted.append(image)
        return original(teacher, image, *correct)

    def stopped(*arguments, **options):
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Teacher, "label", counted)
        if killed_in == "second pass":
            patch.setattr(label_stage, "write_pseudo_masks", stopped)
        if killed_in == "between masks and the end":
            patch.setattr(label_stage.shutil, "rmtree", stopped)
        with pytest.raises(Stopped):
            label(run, stage, dataset, SILENT, lambda line: None)
    before = len(predicted)
    allowed[0] = 100
    monkeypatch.setattr(Teacher, "label", counted)
    label(run, stage, dataset, SILENT, lambda line: None)
    assert len(predicted) == IMAGES
    assert before == (3 if killed_in == "first pass" else IMAGES)
    ours, theirs = masks_of(run, stage), masks_of(whole, stage)
    assert all((ours[name] == theirs[name]).all() for name in theirs) and len(ours) == IMAGES
    assert run.is_complete(stage) and run.facts(stage)["images"] == IMAGES
    assert not (run.stage(stage) / "scores").exists()


def test_scores_of_another_teacher_are_not_used(dsbn, tmp_path):
    run = copy_of(dsbn, tmp_path / "run")
    stage, dataset = "2-labels", load_dataset(run.recipe.data)
    expected = masks_of(run, stage)
    folder = run.stage(stage)
    (folder / "labels.json").unlink()
    key = read_json(folder / "key.json")
    (folder / "key.json").write_text(json.dumps(key | {"weights": "others"}))
    for sample in dataset.unlabelled:
        wrong = score_files.ScoredImage(np.ones((40, 48), np.uint8), np.ones((40, 48), np.float16))
        score_files.write_scores(score_file(folder, sample), wrong)
    label(run, stage, dataset, SILENT, lambda line: None)
    assert all((masks_of(run, stage)[name] == expected[name]).all() for name in expected)


def test_classes_that_keep_nothing_are_named(dars, tmp_path, monkeypatch):
    """A class that is never predicted, and one whose quota is 0."""
    run, dataset = copy_of(dars, tmp_path / "run"), load_dataset(dars.recipe.data)
    stage, lines = "2-labels_1", []
    shutil.rmtree(run.stage(stage))
    everywhere = score_files.ScoredImage(np.full((40, 48), 1, np.uint8), np.ones((40, 48), np.float16))
    monkeypatch.setattr(Teacher, "label", lambda teacher, image, correct: everywhere)
    monkeypatch.setattr(label_stage, "class_quotas", lambda *arguments: np.array([100, 0]))
    label(run, stage, dataset, SILENT, lines.append)
    assert lines[-1] == (
        "2-labels_1: 0.0% of 15,360 unlabelled pixels kept; never predicted, so nothing is kept: road; "
        "quota of 0, so nothing is kept: car"
    )
    rows = read_json(run.stage(stage) / "labels.json")["classes"]
    assert rows["road"] == {"predicted": 0, "quota": 100, "threshold": None, "kept": 0}
    assert rows["car"] == {"predicted": 15360, "quota": 0, "threshold": None, "kept": 0}
    assert all((mask == 255).all() for mask in masks_of(run, stage).values())


def test_rounds_that_change_in_the_middle_of_a_run(recipe_file, dars, tmp_path):
    """Another folder takes over the Baseline alone."""
    run, change = copy_of(dars, tmp_path / "run"), "dars.ratios=[0.4, 0.6]"
    with pytest.raises(RunError, match="is a run of another recipe") as caught:
        run_of(recipe_file, run.path, "training.method=dars", change)
    assert caught.value.errors == ("dars.ratios: the run has [0.4, 0.5], the recipe [0.4, 0.6]",)
    assert f"--reuse {run.path}" in caught.value.hint and "--run FOLDER" in caught.value.hint
    lines = []
    recipe = load_recipe(str(recipe_file), ["training.method=dars", change])
    fit(recipe, tmp_path / "other", reuse=[run.path], log=lines.append)
    assert [line.split(":")[0] for line in lines if "taken over" in line] == ["1-baseline"]


def test_how_labels_are_predicted_cannot_change_between_the_rounds(recipe_file, dars, tmp_path):
    run = copy_of(dars, tmp_path / "run")
    run_of(recipe_file, run.path, "training.method=dars", "evaluation.flip=true")  # all stages are complete
    (run.stage("5-dars") / "complete.json").unlink()
    with pytest.raises(RunError, match="is a run of another recipe") as caught:
        run_of(recipe_file, run.path, "training.method=dars", "evaluation.every=5")
    assert [error.split(":")[0] for error in caught.value.errors] == ["evaluation.flip"]


def test_data_sets_that_cannot_be_labelled(dsbn):
    dataset = load_dataset(dsbn.recipe.data)
    with pytest.raises(DataError, match="learns from unlabelled images, but data has none"):
        validate_run(dsbn, replace(dataset, unlabelled=()))
    with pytest.raises(DataError, match="pseudo masks of 8 bits for at most 255 classes; data has 256"):
        validate_run(dsbn, replace(dataset, classes=tuple(map(str, range(256)))))


def test_a_full_disk_is_reported_before_the_first_image(dsbn, tmp_path, monkeypatch):
    run, stage = copy_of(dsbn, tmp_path / "run"), "2-labels"
    shutil.rmtree(run.stage(stage))
    monkeypatch.setattr(score_files.shutil, "disk_usage", lambda path: SimpleNamespace(free=46_079))
    with pytest.raises(StorageError, match="labels and confidences of the unlabelled images need"):
        label(run, stage, load_dataset(run.recipe.data), SILENT, lambda line: None)
    assert not (run.stage(stage) / "scores").exists()


def test_predictions_that_are_not_finite(dsbn):
    teacher = Teacher(dsbn, "baseline", load_dataset(dsbn.recipe.data))
    with pytest.raises(DivergedError, match="the predictions of baseline are not finite"):
        teacher.label(np.zeros((40, 48, 3), np.uint8), lambda probabilities: probabilities * np.nan)
