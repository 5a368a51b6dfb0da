from __future__ import annotations

import csv
from pathlib import Path

import pytest

from usrn_keras.data import Sample
from usrn_keras.evaluation.evaluate import ImageScore, Measured
from usrn_keras.evaluation.report_files import image_mious, read_image_scores, write_image_scores
from usrn_keras.metrics import Scores


@pytest.mark.parametrize("name", ["town/0", 'a "quoted", name', "two\nlines", "# no comment", "道路"])
def test_any_name_comes_back(tmp_path, name):
    models = {"Baseline": {name: 1 / 3, "other": None}, "USRN, 2": {name: 0.0, "other": 1.0}}
    write_image_scores(tmp_path / "a.csv", models)
    assert read_image_scores(tmp_path / "a.csv") == models


def test_an_image_that_a_model_lacks_is_an_empty_cell(tmp_path):
    write_image_scores(tmp_path / "a.csv", {"Baseline": {}, "USRN": {"town/0": 0.5}})
    rows = list(csv.reader((tmp_path / "a.csv").read_text().splitlines()))
    assert rows[:2] == [["image", "Baseline", "USRN"], ["town/0", "", "0.5"]]


def test_an_image_without_any_class_has_no_score():
    images = [
        ImageScore(Sample(name, Path(f"{name}.png")), miou, 0.0)
        for name, miou in (("a", 0.25), ("b", float("nan")))
    ]
    assert image_mious(Measured(Scores("x", ["road"], [[1]]), tuple(images))) == {"a": 0.25, "b": None}
