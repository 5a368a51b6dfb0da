from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.evaluation.made_run import make_data
from usrn_keras.data import Sample, load_dataset
from usrn_keras.evaluation import EvaluationResult, ImageScore, report_files
from usrn_keras.evaluation.report_files import (
    image_mious,
    read_image_scores,
    worst_images,
    write_image_scores,
    write_reports,
)
from usrn_keras.metrics import Provenance, Scores
from usrn_keras.recipe.schema import DataSection
from usrn_keras.report import Comparison

PROVENANCE = Provenance("scenes", "val", 3, "4d51ba8f", "whole", "last")


def image(name: str, miou: float, accuracy: float = 0.5) -> ImageScore:
    return ImageScore(Sample(name, Path("image")), miou, accuracy)


@pytest.fixture
def scene(tmp_path):
    """A data set, and how to make an entry that predicts class 0 everywhere."""
    make_data(tmp_path / "data")
    dataset = load_dataset(DataSection(dataset="folder", root=str(tmp_path / "data"), val="val.txt"))

    def make(stem: str, report: Path | None):
        entry = SimpleNamespace(stem=stem, report=report, dataset=dataset)
        entry.predict = lambda samples: [np.zeros((20, 24), np.uint8) for _ in samples]
        scores = Scores(stem, dataset.classes, np.diag([5, 3, 2]), provenance=PROVENANCE)
        return entry, EvaluationResult(scores, tuple(ImageScore(sample, 0.5, 0.5) for sample in dataset.val))

    return make


def names(paths: list[Path], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in paths]


def test_each_run_gets_its_files_and_masks_none(scene, tmp_path):
    entries = [scene("usrn", tmp_path / "A"), scene("usrn", tmp_path / "B"), scene("masks", None)]
    kinds = ["scores.json", "confusion_usrn.png", "confusion_usrn.csv", "worst_usrn.png"]
    written = list(write_reports(entries))
    assert names(written, tmp_path) == [f"{run}/{kind}" for run in "AB" for kind in kinds]
    assert all(path.stat().st_size for path in written)
    assert sorted(names(list((tmp_path / "A").iterdir()), tmp_path / "A")) == sorted(
        kinds
    )  # no temporary file
    value = json.loads((tmp_path / "A/scores.json").read_text())
    assert [scores.name for scores in Comparison.from_json(value).scores] == ["usrn"]


def test_one_folder_for_all_of_them(scene, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(report_files, "comparison_png", lambda rows, *_: shown.extend(rows) or b"png")
    entries = [scene("usrn", tmp_path / "A"), scene("usrn", tmp_path / "B"), scene("masks", None)]
    written = names(list(write_reports(entries, tmp_path / "all")), tmp_path / "all")
    assert written == ["scores.json"] + [
        f"{kind}_{stem}.{suffix}"
        for stem in ("usrn_1", "usrn_2", "masks")
        for kind, suffix in (("confusion", "png"), ("confusion", "csv"), ("worst", "png"))
    ] + ["comparison.png"]
    assert len(shown) == 3 and [*shown[0].predictions] == ["usrn_1", "usrn_2", "masks"]
    value = json.loads((tmp_path / "all/scores.json").read_text())
    assert len(Comparison.from_json(value).scores) == 3


def test_the_gallery_shows_images_labels_and_predictions(scene, tmp_path, monkeypatch):
    shown = {}
    monkeypatch.setattr(
        report_files, "worst_png", lambda rows, *_, title: shown.update(rows=rows, title=title) or b"png"
    )
    list(write_reports([scene("usrn", tmp_path)]))
    assert shown["title"].splitlines() == [
        "The 3 worst of 3 images: usrn, mIoU over all 100.0 %",
        PROVENANCE.line(),
    ]
    row = shown["rows"][0]
    assert (row.name, row.mious, row.image.shape) == ("town/0", [0.5], (20, 24, 3))
    assert (row.labels[:3] == -1).all() and (row.labels[3:] >= 0).all()
    assert not row.predictions["usrn"].any()


def test_the_worst_come_first_and_images_without_a_label_not_at_all():
    images = [image("c", 0.5), image("b", 0.5), image("a", 0.5, 0.1), image("d", 0.2), image("e", np.nan)]
    measured = EvaluationResult(Scores("A", ["a"], [[1]]), tuple(images))
    assert [one.sample.name for one in worst_images(measured)] == ["d", "a", "b", "c"]
    assert [one.sample.name for one in worst_images(measured, 1)] == ["d"]


def test_without_a_labelled_image_there_is_no_gallery(scene, tmp_path):
    entry, measured = scene("usrn", tmp_path / "A")
    nothing = EvaluationResult(measured.scores, (image("a", np.nan),))
    assert "worst_usrn.png" not in names(list(write_reports([(entry, nothing)])), tmp_path / "A")


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
    assert image_mious(EvaluationResult(Scores("x", ["road"], [[1]]), tuple(images))) == {
        "a": 0.25,
        "b": None,
    }
