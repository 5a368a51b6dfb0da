"""Runs with labelling stages: pseudo masks on disk, rounds, resuming inside and between them."""

from __future__ import annotations

import json

import cv2
import numpy as np

from usrn_keras.recipe import load_recipe
from usrn_keras.stages import fit


def mask_of(run, stage: str, name: str, kind: str = "masks") -> np.ndarray:
    return cv2.imread(str(run / stage / kind / f"{name}.png"), cv2.IMREAD_UNCHANGED)


def records(run) -> list[tuple[str, int]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [(record["stage"], record["step"]) for record in map(json.loads, lines)]


def test_dars(recipe_file, tmp_path):
    run, lines = tmp_path / "run", []
    recipe = load_recipe(str(recipe_file), ["training.method=dars"])
    results = fit(recipe, run, log=lines.append)
    print(lines)
    print(results["scores"])
    print(sorted(p.name for p in run.iterdir()))
    print((run / "2-labels_1/labels.json").read_text())
    print(records(run))
