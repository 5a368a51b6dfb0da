"""The recipe with the network and the views of keras-cv, for a few steps on drawn streets."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usrn_keras.recipe import load_recipe
from usrn_keras.stages.fit import fit

ROAD, CAR, SKY = 0, 13, 10
COLOURS = {ROAD: (90, 60, 90), CAR: (20, 20, 160), SKY: (90, 160, 220)}
LISTS = {"labelled": range(4), "unlabelled": range(4, 8), "val": range(8, 10)}
SMALL = [
    "network.backbone=keras_cv/resnet14", "network.weights=none", "network.width=0.125",
    "network.aspp_rates=[2]", "network.aspp_channels=8", "network.low_level_channels=4",
    "network.decoder_channels=8", "subclasses.counts=[]", "views.crop_size=64", "views.long_side=128",
    "training.baseline_steps=24", "training.usrn_steps=8", "training.batch_labelled=2",
    "training.batch_unlabelled=2", "training.log_every=1", "data.workers=1", "data.split=lists",
]  # fmt: skip


def drawn_cityscapes(root: Path) -> None:
    """Ten streets of 64 x 128 in the layout of Cityscapes, with masks of train ids: sky, road and a car."""
    rng = np.random.default_rng(0)
    (root / "lists").mkdir(parents=True)
    for part, numbers in LISTS.items():
        names = [f"drawn_{number:06d}_000019" for number in numbers]
        (root / f"lists/{part}.txt").write_text("\n".join(names) + "\n")
        folder = "val/drawn" if part == "val" else "train/drawn"
        for name in names:
            ids = np.full((64, 128), SKY, np.uint8)
            ids[30:] = ROAD
            column = rng.integers(10, 90)
            ids[30:46, column : column + 28] = CAR
            image = np.array([COLOURS.get(i, (0, 0, 0)) for i in range(19)])[ids]
            image = np.clip(image + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8)
            for kind, array in (
                (f"leftImg8bit/{folder}/{name}_leftImg8bit.png", image),
                (f"gtFine/{folder}/{name}_gtFine_labelTrainIds.png", ids),
            ):
                (root / kind).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(root / kind)


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("keras_cv"), reason="keras-cv is not installed")
def test_a_few_steps_on_drawn_streets(tmp_path):
    drawn_cityscapes(tmp_path / "data")
    recipe = load_recipe("cityscapes_1_16_keras_cv", [f"data.root={tmp_path / 'data'}", *SMALL])
    results = fit(recipe, tmp_path / "run")
    records = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    baseline, usrn = (
        [record["loss"] for record in records if record.get("stage", "").endswith(name) and "loss" in record]
        for name in ("baseline", "usrn")
    )
    assert len(baseline) == 24 and len(usrn) == 8 and np.isfinite(baseline + usrn).all()
    assert np.mean(baseline[-4:]) < 0.7 * np.mean(baseline[:4])
    scores = json.loads((tmp_path / "run/evaluation.json").read_text())["scores"]
    assert len(scores) == len(results["scores"]) == 2  # the Baseline and USRN
    assert all(0 < score["miou"] <= 100 for score in scores)
