"""One short fit on real images, through the command line, on the backend that KERAS_BACKEND names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SHARED = Path(os.environ.get("USRN_SHARED", Path(__file__).parents[3] / "shared"))
CAMVID = SHARED / "data" / "camvid"
WEIGHTS = SHARED / "weights" / "mobilenet_v1_1.0_224_to_conv_pw_12.weights.h5"

pytestmark = [
    pytest.mark.camvid,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        not (CAMVID.is_dir() and WEIGHTS.is_file()),
        reason=f"no CamVid at {CAMVID}, or no {WEIGHTS}; USRN_SHARED names another folder",
    ),
]

SETTINGS = {
    "data.root": CAMVID,
    "network.weights": WEIGHTS,
    "views.crop_size": 96,
    "training.baseline_steps": 60,
    "training.usrn_steps": 10,
    "training.learning_rate": 0.003,
    "training.batch_labelled": 2,
    "training.batch_unlabelled": 2,
    "subclasses.max_subclasses": 8,
    "evaluation.split": "val",
}


def usrn(*arguments: object) -> str:
    """What `usrn` prints; it must succeed."""
    command = [sys.executable, "-c", "from usrn_cli.main import main; main()", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def names() -> list[str]:
    """Every tenth validation image."""
    return [path.stem for path in sorted((CAMVID / "images" / "val").iterdir())[::10]]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, names) -> tuple[Path, dict]:
    """A run folder that `usrn fit` has completed, and what it printed."""
    folder = tmp_path_factory.mktemp("camvid")
    (folder / "val.txt").write_text("\n".join(names))
    settings = SETTINGS | {"data.val": folder / "val.txt"}
    overrides = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    results = usrn("fit", "camvid_1_8", *overrides, "--run", folder / "run", "--json")
    return folder / "run", json.loads(results)


def test_every_labelled_pixel_is_counted_once(fitted, names):
    masks = [np.asarray(Image.open(CAMVID / "labels" / "val" / f"{name}.png")) for name in names]
    pixels = sum(np.bincount(mask.ravel(), minlength=256)[:11] for mask in masks)
    for scores in fitted[1]["scores"]:
        np.testing.assert_array_equal(np.sum(scores["confusion"], axis=1), pixels)


def test_the_baseline_learned_more_than_the_largest_class(fitted):
    """A model that learned nothing is at the share of the largest class; no more can be asked so soon."""
    baseline = fitted[1]["scores"][0]
    pixels = np.sum(baseline["confusion"], axis=1)
    assert baseline["pixel_accuracy"] > pixels.max() / pixels.sum()


def test_evaluate_gives_what_fit_gave(fitted):
    run, results = fitted
    again = json.loads(usrn("evaluate", run, "--json"))
    assert again["runs"][0]["confusion"] == results["scores"][1]["confusion"]


def test_the_same_command_again_trains_nothing(fitted):
    run, results = fitted
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.keras")}
    assert before
    assert json.loads(usrn("fit", run / "recipe.toml", "--run", run, "--json")) == results
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.keras")} == before


def test_prediction_of_an_image(fitted, names, tmp_path):
    run, _ = fitted
    image = next((CAMVID / "images" / "val").glob(f"{names[0]}.*"))
    written = usrn("predict", run, image, "--out", tmp_path).split()
    assert [Path(path).name for path in written] == [f"{image.stem}.png", f"{image.stem}.png"]
    with Image.open(image) as original, Image.open(written[0]) as labels:
        assert labels.size == original.size
        assert np.asarray(labels).max() < 11
