"""The benchmark of the evaluation runs and says what it measured; that of padding, too."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest

from benchmarks import evaluate, padding
from benchmarks.evaluation_pass import Passes
from tests.evaluation.made_run import make_run
from tests.evaluation.networks import random_image, red_reader


@pytest.fixture
def camvid(tmp_path):
    """Three val images of 40 x 60 pixels whose class is the red value."""
    for folder in ("images", "labels"):
        (tmp_path / folder / "val").mkdir(parents=True)
    for number in range(3):
        image = random_image(40, 60, seed=number) // 128  # 0 or 1
        cv2.imwrite(str(tmp_path / f"images/val/{number}.jpg"), image)
        cv2.imwrite(str(tmp_path / f"labels/val/{number}.png"), image[..., 0])
    return tmp_path


def options_of(files, **changed) -> dict:
    images, masks = ([str(path) for path in paths] for paths in zip(*files, strict=True))
    settings = {"batch": 1, "workers": 1, "mode": "whole", "window": 32, "device": "cpu", "classes": 3}
    return {"images": images, "masks": masks, "model": None, **settings, **changed}


@pytest.mark.parametrize(("changed", "shapes"), [({}, 1), ({"batch": 2}, 1), ({"mode": "slide"}, 1)])
def test_passes_are_timed_and_shapes_counted(camvid, tmp_path, changed, shapes):
    red_reader(3).save(tmp_path / "model.keras")
    files = evaluate.camvid_files(camvid, 101)
    assert [image.stem for image, _ in files] == ["0", "1", "2"]
    passes = Passes(options_of(files, model=str(tmp_path / "model.keras"), **changed))
    assert passes.first()["shapes"] == shapes
    found = passes.passes(2)
    assert len(found["seconds"]) == 2
    for seconds, network in zip(found["seconds"], found["network_seconds"], strict=True):
        assert 0 < network < seconds
    assert 0 < found["miou"] < 1 and passes.passes(1)["miou"] == found["miou"]


def test_images_at_sizes_as_in_voc(camvid, tmp_path):
    (tmp_path / "voc").mkdir()
    files = evaluate.voc_files(tmp_path / "voc", evaluate.camvid_files(camvid, 2))
    for image, mask in files:
        height, width, _ = cv2.imread(str(image)).shape
        assert max(height, width) == 500 and min(height, width) >= 250
        labels = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
        assert labels.shape == (height, width) and set(np.unique(labels)) == {0, 1}


def test_a_row_for_each_backend(camvid, tmp_path, monkeypatch):
    """The worker is a process of its own; here it is called without one."""

    class Here:
        def __init__(self, script, options, environment):
            assert (script, environment["KERAS_BACKEND"]) == ("evaluation_pass.py", "jax")
            self.passes, self.start_seconds = Passes(options), 1.5
            self.facts = self.passes.facts

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            pass

        def call(self, method, *arguments):
            return getattr(self.passes, method)(*arguments)

    monkeypatch.setattr(evaluate, "Worker", Here)
    make_run(tmp_path)
    given = f"--camvid {camvid} --run {tmp_path / 'run'} --backends jax --rounds 2 --device cpu --commit abc"
    evaluate.main([*given.split(" "), "--csv", str(tmp_path / "rows.csv")])
    with open(tmp_path / "rows.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["backend"], row["images"], row["shapes"], row["commit"]) == ("jax", "3", "1", "abc")
    low, middle, high = (float(row[f"images_per_second_{key}"]) for key in ("min", "median", "max"))
    assert 0 < low <= middle <= high


def test_what_cannot_be_asked(tmp_path, capsys):
    with pytest.raises(SystemExit):
        evaluate.arguments(["--backends", "torch,mxnet"])
    assert "unknown mxnet; allowed: jax, torch, tensorflow" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        evaluate.arguments(["--run", str(tmp_path)])
    assert "is not a run folder" in capsys.readouterr().err
    make_run(tmp_path)
    with pytest.raises(SystemExit):
        evaluate.arguments(["--run", str(tmp_path / "run"), "--model", "oracle"])
    assert "has no oracle model" in capsys.readouterr().err


def test_the_model_is_one_of_the_run(tmp_path):
    make_run(tmp_path)
    given = ["--run", str(tmp_path / "run")]
    assert evaluate.arguments(given).model == str(tmp_path / "run/model.keras")
    baseline = evaluate.arguments([*given, "--model", "baseline"])
    assert baseline.model == str(tmp_path / "run/1-baseline/model.keras")


def test_rules_of_padding_side_by_side(capsys):
    padding.main(["sizes"])
    voc = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("VOC  "))
    assert voc.split() == ["VOC", "17", "6.1%", "9", "9.7%", "5", "12.1%", "9", "10.0%"]
