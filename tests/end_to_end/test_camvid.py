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
        not CAMVID.is_dir(), reason=f"no CamVid at {CAMVID}; USRN_SHARED names another folder"
    ),
]

SETTINGS = {
    "data.root": CAMVID,
    "network.weights": WEIGHTS,
    "views.crop_size": 96,
    "training.baseline_steps": 40,
    "training.usrn_steps": 20,
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
def run(tmp_path_factory) -> Path:
    """A run folder that `usrn fit` has completed."""
    folder = tmp_path_factory.mktemp("camvid") / "run"
    overrides = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
    usrn("fit", "camvid_1_8", *overrides, "--run", folder)
    return folder


@pytest.fixture(scope="module")
def scores(run) -> dict:
    """Baseline and USRN of the run, as `usrn evaluate --json` gives them."""
    return json.loads(usrn("evaluate", run, "--model", "baseline", "--model", "usrn", "--json"))


def test_every_labelled_pixel_is_counted_once(scores):
    masks = [np.asarray(Image.open(path)) for path in sorted((CAMVID / "labels" / "val").iterdir())]
    pixels = sum(np.bincount(mask.ravel(), minlength=256)[:11] for mask in masks)
    for one in scores["runs"]:
        np.testing.assert_array_equal(np.sum(one["confusion"], axis=1), pixels)


def test_it_learned_more_than_the_largest_class(scores):
    """A model that learned nothing is at the share of the largest class; no more can be asked so soon."""
    for one in scores["runs"]:
        assert one["pixel_accuracy"] > max(scores["pixel_share"]) + 0.1


def test_the_same_command_again_trains_nothing(run):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.keras")}
    assert before
    usrn("fit", run / "recipe.toml", "--run", run)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.keras")} == before


def test_prediction_of_an_image(run, tmp_path):
    image = sorted((CAMVID / "images" / "val").iterdir())[0]
    written = usrn("predict", run, image, "--out", tmp_path).split()
    assert [Path(path).name for path in written] == [f"{image.stem}.png", f"{image.stem}_overlay.png"]
    with Image.open(image) as original, Image.open(written[0]) as labels:
        assert labels.size == original.size
        assert np.asarray(labels).max() < 11
