"""The benchmark of drives counts each image once in its drive, and replaces what it measures anew."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import by_drive, table
from usrn_keras.data import Sample
from usrn_keras.metrics import Scores
from usrn_keras.progress import SILENT


def sample(name: str) -> Sample:
    return Sample(name, Path(f"{name}.jpg"), Path(f"{name}.png"))


def test_each_image_is_in_its_drive():
    samples = [sample(name) for name in ("val/0016E5_07959", "train/0001TP_006690", "train/0016E5_00390")]
    found = by_drive.drives(samples)
    assert {drive: len(members) for drive, members in found.items()} == {"0016E5": 2, "0001TP": 1}
    assert found["0001TP"] == [samples[1]]


def test_all_are_the_sum_of_the_drives(monkeypatch):
    confusions = {"0016E5": np.array([[8, 2], [0, 0]]), "0001TP": np.array([[0, 0], [5, 5]])}

    def evaluate(segmenter, samples, dataset, **options):
        (drive,) = by_drive.drives(samples)
        return SimpleNamespace(scores=Scores("m", dataset.classes, confusions[drive]))

    samples = [sample("val/0016E5_1"), sample("val/0001TP_2"), sample("val/0016E5_3")]
    dataset = SimpleNamespace(classes=["road", "pole"], val=samples)
    monkeypatch.setattr(by_drive, "evaluate", evaluate)
    found = by_drive.scores_by_drive(None, dataset, "val", SILENT)
    assert list(found) == ["all", "0016E5", "0001TP"]
    np.testing.assert_array_equal(found["all"].confusion, [[8, 2], [5, 5]])


def test_an_absent_class_is_empty():
    found = by_drive.figures(Scores("m", ["road", "pole", "sky"], [[8, 2, 0], [0, 0, 0], [0, 0, 10]]))
    assert (found["iou road"], found["iou pole"], found["miou"]) == (0.8, "", 0.9)


def test_a_row_is_replaced_in_its_place_and_new_columns_are_kept(tmp_path):
    def row(run: str, **more: str) -> dict[str, str]:
        return {"run": run, "model": "usrn", "images_of": "val", "drive": "all", **more}

    rows = by_drive.merged([row("a", miou="0.1"), row("b", miou="0.2")], [row("a", miou="0.3", load="1")])
    assert [(r["run"], r["miou"]) for r in rows] == [("a", "0.3"), ("b", "0.2")]
    table.write(tmp_path / "rows.csv", rows)
    assert [row["load"] for row in table.read(tmp_path / "rows.csv")] == ["1", ""]


def test_no_run_at_all_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(by_drive, "RESULTS", tmp_path / "drives.csv")
    with pytest.raises(Exception, match="not a run folder"):
        by_drive.main([str(tmp_path / "nothing")])
    assert not (tmp_path / "drives.csv").exists()
