from __future__ import annotations

from dataclasses import replace

import cv2
import keras
import numpy as np
import pytest

from tests.tools import fill, tiny_branches
from usrn_keras.data import Dataset, Sample
from usrn_keras.evaluation.diagnose import Diagnosis, evenly
from usrn_keras.evaluation.pseudo_label_quality import Counts
from usrn_keras.evaluation.pseudo_labeller import PseudoLabeller
from usrn_keras.methods import USRN

CLASSES = ("road", "pole", "sky")


@pytest.fixture
def model() -> USRN:
    keras.utils.set_random_seed(0)
    built = USRN(*tiny_branches(), [0, 0, 1, 1, 2], threshold=0.4)
    fill(built.variables)
    return built


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    """Two unlabelled images, one of them with a mask, some of it ignored."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), rng.integers(0, 256, (40, 48, 3), dtype=np.uint8))
    mask = rng.integers(0, 3, (40, 48)).astype(np.uint8)
    mask[:8] = 255
    cv2.imwrite(str(tmp_path / "a_mask.png"), mask)
    samples = Sample("a", tmp_path / "a.png", tmp_path / "a_mask.png"), Sample("b", tmp_path / "b.png")
    return Dataset("made", CLASSES, np.zeros((3, 3), np.uint8), (), samples, ())


def test_a_record_counts_all_images_and_the_masks_that_exist(model, dataset, tmp_path):
    record = Diagnosis(model, dataset.unlabelled, dataset).record(7)
    expected, label = Counts(3, 0.4), PseudoLabeller(model)
    mask = cv2.imread(str(tmp_path / "a_mask.png"), cv2.IMREAD_UNCHANGED)
    centres = np.array([[mask[row, column] for column in range(4, 48, 8)] for row in range(4, 40, 8)])
    for name, labels in (("a", np.where(centres == 255, -1, centres.astype(int))), ("b", None)):
        expected.add(label(cv2.imread(str(tmp_path / f"{name}.png"))[..., ::-1]), labels)
    assert record == {"step": 7, **expected.to_record()}
    assert (record["images"], record["masks"]) == (2, 1)
    assert sum(record["by_pseudo_label"]["pixels"]) == 60 and sum(record["by_true_class"]["pixels"]) == 24


def test_a_mask_that_cannot_be_read_is_told_once_and_left_out(model, dataset, tmp_path):
    for content in (b"no picture", cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes()):
        (tmp_path / "a_mask.png").write_bytes(content)
        told: list[str] = []
        diagnosis = Diagnosis(model, dataset.unlabelled, dataset, told.append)
        assert diagnosis.record(1)["masks"] == diagnosis.record(2)["masks"] == 0
        assert len(told) == 1 and "goes without a mask" in told[0] and "a_mask.png" in told[0]


def test_without_any_mask(model, dataset):
    samples = [replace(sample, mask=None) for sample in dataset.unlabelled]
    record = Diagnosis(model, samples, dataset).record(0)
    assert record["masks"] == 0 and sum(record["by_true_class"]["pixels"]) == 0


@pytest.mark.parametrize(("count", "places"), [(0, []), (1, [0]), (3, [0, 1, 2]), (9, [0, 3, 5, 8])])
def test_evenly(count, places):
    samples = [Sample(str(i), f"{i}.png") for i in range(count)]
    assert [int(sample.name) for sample in evenly(samples, 4)] == places
