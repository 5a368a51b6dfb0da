"""Runs with labelling stages: pseudo masks on disk, rounds, resuming inside and between them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import cv2
import keras
import numpy as np
import pytest

from tests.tools import ROOT
from usrn_keras.data import load_dataset
from usrn_keras.errors import DataError, RunError
from usrn_keras.evaluation import evaluate_run
from usrn_keras.recipe import load_recipe
from usrn_keras.runs import open_run
from usrn_keras.stages import fit
from usrn_keras.stages.report import report_runs


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
    print((run/"2-labels_1/labels.json").read_text())
    print(records(run))
