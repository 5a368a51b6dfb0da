"""Whole runs on tiny data: stages, resuming, killing at any moment."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from tests.tools import ROOT
from usrn_keras.data import load_dataset
from usrn_keras.errors import DataError, RunError
from usrn_keras.evaluation import evaluate_run
from usrn_keras.methods import Method
from usrn_keras.networks import Branch
from usrn_keras.recipe import load_recipe
from usrn_keras.runs import Run, open_run
from usrn_keras.stages import fit
from usrn_keras.stages.build import build_method
from usrn_keras.stages.stage_files import checkpoint_file
from usrn_keras.stages.train import trained_method
from usrn_keras.subclasses import SubclassMap
from usrn_keras.training import load_checkpoint


def test_fit_leaves_a_complete_run(recipe_file, tmp_path):
    run_dir = tmp_path / "run"
    results = fit(load_recipe(str(recipe_file)), run_dir)
    assert [scores["name"] for scores in results["scores"]] == ["Baseline", "USRN"]
    assert results["images"] == 1 and results["subclasses"] > 2
    assert results["class_balance_rate"]["subclasses"] > results["class_balance_rate"]["classes"]
    names = {path.name for path in run_dir.iterdir()}
    assert names >= {
        "recipe.toml", "environment.json", "dataset.json", "metrics.jsonl", "tensorboard", "model.keras",
        "evaluation.json", "report", "1-baseline", "2-subclasses", "3-usrn",
    }  # fmt: skip
    records = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [(r["stage"], r["step"]) for r in records] == [
        (stage, step) for stage in ("1-baseline", "3-usrn") for step in (1, 2, 3, 4)
    ]
    confusion = np.array(results["scores"][1]["confusion"])
    np.testing.assert_array_equal(evaluate_run(run_dir).scores.confusion, confusion)
    assert confusion.sum() == 40 * 48
    model = keras.models.load_model(run_dir / "model.keras")
    assert model(np.zeros((1, 64, 32, 3), "float32")).shape == (1, 64, 32, 2)

    before = (run_dir / "3-usrn/checkpoint.npz").stat().st_mtime_ns
    lines = []
    assert fit(load_recipe(str(recipe_file)), run_dir, log=lines.append) == results
    assert lines[1].endswith("3 labelled, 2 unlabelled, 1 val, 0 test; lists " + results["fingerprint"])
    assert lines[2:] == [f"{stage}: already complete" for stage in ("1-baseline", "2-subclasses", "3-usrn")]
    assert (run_dir / "3-usrn/checkpoint.npz").stat().st_mtime_ns == before

    shutil.rmtree(run_dir / "3-usrn")  # USRN is trained again, and the scores are those of another
    (run_dir / "evaluation.json").write_text(json.dumps(results | {"scores": "of a model that is gone"}))
    assert fit(load_recipe(str(recipe_file)), run_dir)["scores"][0] == results["scores"][0]


def test_a_supervised_run_ends_with_its_baseline(recipe_file, tmp_path):
    run_dir = tmp_path / "run"
    results = fit(load_recipe(str(recipe_file), ["training.method=supervised"]), run_dir)
    assert [scores["name"] for scores in results["scores"]] == ["Baseline"] and "subclasses" not in results
    assert not (run_dir / "3-usrn").exists() and not (run_dir / "2-subclasses").exists()
    assert open_run(run_dir).model_path == run_dir / "1-baseline/model.keras"
    measured = evaluate_run(run_dir).scores
    assert measured.name == "baseline" and measured.confusion.tolist() == results["scores"][0]["confusion"]
    with pytest.raises(RunError, match=r"has no usrn model: with training.method = '\w+' it has baseline"):
        evaluate_run(run_dir, model="usrn")


def test_stages_of_another_run_give_the_same_result(recipe_file, tmp_path):
    alone = fit(load_recipe(str(recipe_file), ["usrn.gate=stop"]), tmp_path / "alone")
    fit(load_recipe(str(recipe_file), ["training.usrn_steps=1"]), tmp_path / "other")
    lines = []
    recipe = load_recipe(str(recipe_file), ["usrn.gate=stop"])
    shared = fit(recipe, tmp_path / "shared", reuse=[tmp_path / "other"], log=lines.append)
    taken = [line for line in lines if "taken over" in line]
    assert [line.split(":")[0] for line in taken] == ["1-baseline", "2-subclasses"]
    assert shared["scores"] == alone["scores"]


def test_nothing_is_trained_without_images_to_measure_on(recipe_file, tmp_path):
    with pytest.raises(DataError, match=r"evaluation.split = 'test'.* has no test images"):
        fit(load_recipe(str(recipe_file), ["evaluation.split=test"]), tmp_path / "run")
    assert not (tmp_path / "run/1-baseline").exists()


def test_start_from_the_baseline(recipe_file, tmp_path):
    """With centroids, the subclass classifier knows the clusters before it is trained."""
    recipe_file.write_text(recipe_file.read_text().replace("baseline_steps = 4", "baseline_steps = 60"))
    first = {}
    for head in ("random", "centroids"):
        overrides = ["training.start=baseline", f"usrn.sub_head={head}", "network.dropout=0"]
        fit(load_recipe(str(recipe_file), overrides), tmp_path / head)
        records = [json.loads(line) for line in (tmp_path / head / "metrics.jsonl").read_text().splitlines()]
        first[head] = next(record for record in records if record["stage"] == "3-usrn")
    assert first["centroids"]["supervised_sub"] < 0.95 * first["random"]["supervised_sub"]
    assert first["centroids"]["supervised"] < 0.5  # F has what the Baseline learnt


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_f_sub_of_a_prototype_ensemble_stays_as_it_starts(recipe_file, tmp_path, optimizer):
    """Its own layers, weight decay included; what it shares with F moves with F."""
    overrides = ["training.method=prototype_ensemble", "training.start=baseline",
                 f"training.optimizer={optimizer}", "training.weight_decay=0.1"]  # fmt: skip
    fit(load_recipe(str(recipe_file), overrides), tmp_path / "run")
    run = open_run(tmp_path / "run")
    start = trained_method(run, "baseline", load_dataset(run.recipe.data)).inference_network
    method = trained_to_the_end(run)

    def moved(branch: Branch, part: str) -> bool:
        before, after = (
            [keras.ops.convert_to_numpy(v) for v in getattr(b, part).variables if len(v.shape) > 1]
            for b in (start, branch)
        )
        return not all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))

    parts = ("stem", "tail", "decoder")
    assert [moved(method.sub_branch, part) for part in parts] == [True, False, False]
    assert [moved(method.branch, part) for part in (*parts, "classifier")] == [True] * 4


def test_the_classifier_of_a_prototype_ensemble_stays_at_the_centers(recipe_file, tmp_path):
    """However long it trains; F's own classifier moves."""
    heads = []
    for steps in (1, 3):
        overrides = ["training.method=prototype_ensemble", "training.start=baseline",
                     f"training.usrn_steps={steps}"]  # fmt: skip
        fit(load_recipe(str(recipe_file), overrides), tmp_path / str(steps))
        method = trained_to_the_end(open_run(tmp_path / str(steps)))
        heads.append([branch.classifier.get_weights()[0] for branch in (method.branch, method.sub_branch)])
    (own, sub), (own_later, sub_later) = heads
    np.testing.assert_array_equal(sub, sub_later)
    assert np.abs(own - own_later).max() > 0


def trained_to_the_end(run: Run) -> Method:
    """The method of the last stage of a run with subclasses."""
    folder = run.stages[-1]
    method = build_method(
        run.recipe,
        run.training_stages[folder],
        load_dataset(run.recipe.data),
        SubclassMap.load(run.stage(run.cluster_stage)),
        pretrained=False,
    )
    load_checkpoint(checkpoint_file(run, folder), method)
    return method


def test_self_training_needs_no_subclasses(recipe_file, tmp_path):
    results = fit(load_recipe(str(recipe_file), ["training.method=self_training"]), tmp_path / "run")
    assert [scores["name"] for scores in results["scores"]] == ["Baseline", "Self-training"]
    assert sorted(path.name for path in (tmp_path / "run").glob("[0-9]-*")) == [
        "1-baseline", "2-self_training",
    ]  # fmt: skip
    assert "subclasses" not in results


@pytest.mark.parametrize(
    ("method", "override", "title"),
    [("fixmatch", "fixmatch.threshold=0.5", "FixMatch"), ("unimatch", "unimatch.threshold=0.5", "UniMatch"),
     ("augseg", "views.strong=random_intensity", "AugSeg"), ("cps", "cps.cutmix=true", "CPS"),
     ("cps", "cps.recompute=true", "CPS"), ("cac", "cac.bank_steps=3", "CAC"),
     ("cct", "cct.supervised=abce", "CCT"), ("gct", "views.crop_size=64", "GCT")],
)  # fmt: skip
def test_methods_of_other_papers_train(recipe_file, tmp_path, method, override, title):
    """Without subclasses, after the Baseline that tables compare with, in both precisions."""
    overrides = [f"training.method={method}", override, "training.precision=mixed_bfloat16"]
    try:
        results = fit(load_recipe(str(recipe_file), overrides), tmp_path / "run")
    finally:
        keras.config.set_dtype_policy("float32")
    assert [scores["name"] for scores in results["scores"]] == ["Baseline", title]
    assert [path.name for path in sorted((tmp_path / "run").glob("[0-9]-*"))] == ["1-baseline", f"2-{method}"]


@pytest.mark.parametrize(
    "override",
    ["training.accumulation=2", "training.precision=mixed_bfloat16", "network.sharing=low_high",
     "network.sharing=none", "usrn.gate=stop", "subclasses.assignment=free", "views.strong=none",
     "views.labelled_jitter=true", "evaluation.every=2", "training.optimizer=adamw",
     "training.method=self_training"],
)  # fmt: skip
@pytest.mark.slow
def test_every_switch_trains(recipe_file, tmp_path, override):
    try:
        results = fit(load_recipe(str(recipe_file), [override]), tmp_path / "run")
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(results["scores"][1]["pixel_accuracy"])


def command(recipe_file, run_dir, *overrides: str) -> list[str]:
    start = "from usrn_cli.main import main; main()"
    settings = [word for override in overrides for word in ("--set", override)]
    return [sys.executable, "-c", start, "fit", str(recipe_file), "--run", str(run_dir), "--quiet", *settings]


def arrays(stage_dir) -> dict[str, np.ndarray]:
    with np.load(stage_dir / "checkpoint.npz") as file:
        return {key: file[key] for key in file.files if key != "header"}


@pytest.mark.parametrize(
    ("stage", "overrides"),
    [("3-usrn", []), ("2-fixmatch", ["training.method=fixmatch"]),
     ("2-unimatch", ["training.method=unimatch"]), ("2-augseg", ["training.method=augseg"]),
     ("2-cps", ["training.method=cps", "cps.cutmix=true"]),
     ("3-cac", ["training.method=cac", "training.with_usrn=true", "cac.negatives_by=gated"]),
     ("2-cct", ["training.method=cct"]), ("2-gct", ["training.method=gct", "views.crop_size=64"])],
    ids=["usrn", "fixmatch", "unimatch", "augseg", "cps", "cac", "cct", "gct"],
)  # fmt: skip
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_random_moments_ends_where_an_undisturbed_run_ends(recipe_file, tmp_path, stage, overrides):
    """SIGKILL, four times, then the end: bit-equal weights and equal scores (PyTorch, CPU)."""
    text = recipe_file.read_text().replace("steps = 4", "steps = 40")
    recipe_file.write_text(text + "[evaluation]\nevery = 3\n")
    environment = os.environ | {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run(command(recipe_file, tmp_path / "whole", *overrides), env=environment, check=True)
    rng, log = random.Random(0), tmp_path / "parts/metrics.jsonl"
    for lines in sorted(rng.sample(range(5, 90), 4)):  # of 40 steps and 14 measurements in each stage
        process = subprocess.Popen(command(recipe_file, tmp_path / "parts", *overrides), env=environment)
        while not (log.exists() and log.read_text().count("\n") >= lines):
            assert process.poll() is None
            time.sleep(rng.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command(recipe_file, tmp_path / "parts", *overrides), env=environment, check=True)
    whole, parts = arrays(tmp_path / "whole" / stage), arrays(tmp_path / "parts" / stage)
    assert whole.keys() == parts.keys()
    for key in whole:
        np.testing.assert_array_equal(whole[key], parts[key], err_msg=key)
    scores = [
        json.loads((tmp_path / name / "evaluation.json").read_text())["scores"] for name in ("whole", "parts")
    ]
    assert scores[0] == scores[1]
    best = [[json.loads(file.read_text()) for file in sorted((tmp_path / name).rglob("best.json"))]
            for name in ("whole", "parts")]  # fmt: skip
    assert best[0] == best[1] and len(best[0]) == 2
    assert not list((tmp_path / "parts").rglob(".*.tmp*"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_an_interrupt_ends_with_a_checkpoint(number, code, recipe_file, tmp_path, foreground_signals):
    recipe_file.write_text(recipe_file.read_text().replace("baseline_steps = 4", "baseline_steps = 4000"))
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment, run_dir = os.environ | {"PYTHONPATH": paths}, tmp_path / "run"
    process = subprocess.Popen(
        command(recipe_file, run_dir), env=environment, stderr=subprocess.PIPE, text=True
    )
    log = run_dir / "metrics.jsonl"
    while process.poll() is None and not (log.exists() and log.read_text().count("\n") > 2):
        time.sleep(0.1)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert (run_dir / "1-baseline/checkpoint.npz").exists()
    assert "again" in stderr and "Traceback" not in stderr
    assert "2-subclasses" not in {path.name for path in run_dir.iterdir()}
