"""Pseudo labels of whole images: counted, and equal to those of the losses' own code on the whole logits."""

from __future__ import annotations

from dataclasses import replace

import cv2
import keras
import numpy as np
import pytest

from tests.tools import fill, tiny_branches
from usrn_keras.data import Dataset, Sample
from usrn_keras.evaluation.pseudo_label_quality import (
    PseudoLabelCounts,
    PseudoLabelQuality,
    at_centres,
    evenly_spaced,
)
from usrn_keras.losses.pseudo_labels import normalised_entropy, pseudo_labels
from usrn_keras.methods import USRN

CLASSES = ("road", "pole", "sky")
PARENTS = [0, 0, 1, 1, 2]


def build(**options) -> USRN:
    keras.utils.set_random_seed(0)
    built = USRN(*tiny_branches(sharing=options.pop("sharing", "low")), PARENTS, **options)
    fill(built.variables)
    return built


@pytest.fixture
def method() -> USRN:
    return build(threshold=0.4)


def pseudo_labels_of(method: USRN, image: np.ndarray) -> dict[str, np.ndarray]:
    return PseudoLabelQuality(method, (), None).pseudo_labels(image)


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


def test_a_record_counts_all_images_and_the_masks_that_exist(method, dataset, tmp_path):
    record = PseudoLabelQuality(method, dataset.unlabelled, dataset).record(7)
    expected = PseudoLabelCounts(3, 0.4)
    mask = cv2.imread(str(tmp_path / "a_mask.png"), cv2.IMREAD_UNCHANGED)
    centres = np.array([[mask[row, column] for column in range(4, 48, 8)] for row in range(4, 40, 8)])
    for name, labels in (("a", np.where(centres == 255, -1, centres.astype(int))), ("b", None)):
        image = cv2.imread(str(tmp_path / f"{name}.png"))[..., ::-1]
        expected.add(pseudo_labels_of(method, image), labels)
    assert record == {"step": 7, **expected.to_record()}
    assert (record["images"], record["masks"]) == (2, 1)
    assert sum(record["by_pseudo_label"]["pixels"]) == 60 and sum(record["by_true_class"]["pixels"]) == 24


def test_a_mask_that_cannot_be_read_is_reported_once_and_left_out(method, dataset, tmp_path):
    for content in (b"no picture", cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes()):
        (tmp_path / "a_mask.png").write_bytes(content)
        lines: list[str] = []
        quality = PseudoLabelQuality(method, dataset.unlabelled, dataset, lines.append)
        assert quality.record(1)["masks"] == quality.record(2)["masks"] == 0
        assert len(lines) == 1 and "without a mask" in lines[0] and "a_mask.png" in lines[0]


def test_without_any_mask(method, dataset):
    samples = [replace(sample, mask=None) for sample in dataset.unlabelled]
    record = PseudoLabelQuality(method, samples, dataset).record(0)
    assert record["masks"] == 0 and sum(record["by_true_class"]["pixels"]) == 0


@pytest.mark.parametrize(("count", "places"), [(0, []), (1, [0]), (3, [0, 1, 2]), (9, [0, 3, 5, 8])])
def test_evenly_spaced(count, places):
    samples = [Sample(str(i), f"{i}.png") for i in range(count)]
    assert [int(sample.name) for sample in evenly_spaced(samples, 4)] == places


def image(height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def numpy_of(tensor) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def logits_of(built: USRN, padded: np.ndarray) -> list[np.ndarray]:
    """By plain calls of the layers: features, their means over 2 x 2, classifier."""
    found = []
    for branch in (built.branch, built.sub_branch):
        low = branch.stem(padded.astype("float32"), training=False)
        features = numpy_of(branch.decoder([low, branch.tail(low, training=False)], training=False))
        batch, rows, columns, channels = features.shape
        pooled = features.reshape(batch, rows // 2, 2, columns // 2, 2, channels).mean(axis=(2, 4))
        found.append(numpy_of(branch.classifier(pooled, training=False)))
    return found


@pytest.mark.parametrize(
    ("sharing", "factor"),
    [("none", 0.45), pytest.param("low", 0.166, marks=pytest.mark.every_backend), ("low_high", 0.26)],
)
def test_the_weak_view_is_the_image_at_stride_8(sharing, factor):
    built, picture = build(sharing=sharing, gate="fallback"), image(64, 96)  # nothing is padded
    head = built.sub_branch.classifier
    head.set_weights([factor * weight for weight in head.get_weights()])  # about as unsure as F
    logits, sub_logits = logits_of(built, picture[None])
    expected = {
        name: numpy_of(value)[0] for name, value in pseudo_labels(logits, sub_logits, PARENTS).items()
    }
    found = pseudo_labels_of(built, picture)
    assert found["labels"].shape == (8, 12)
    assert 0.05 < found["open"].mean() < 0.95
    for name in ("labels", "own_labels", "open"):
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    for name in ("confidence", "own_confidence", "sub_confidence"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(found["sub_labels"], np.take(PARENTS, expected["sublabels"]))
    np.testing.assert_allclose(found["entropy"], numpy_of(normalised_entropy(logits))[0], atol=1e-5)
    np.testing.assert_allclose(found["sub_entropy"], numpy_of(normalised_entropy(sub_logits))[0], atol=1e-5)


@pytest.mark.parametrize(("height", "width", "cells"), [(40, 60, (5, 7)), (33, 4, (4, 0)), (5, 5, (1, 1))])
def test_cells_are_those_whose_centre_is_in_the_image(height, width, cells):
    found = pseudo_labels_of(build(), image(height, width))
    assert {values.shape for values in found.values()} == {cells}
    assert at_centres(np.zeros((height, width))).shape == cells


@pytest.mark.parametrize(
    ("options", "opened"),
    [({"gate": "off"}, True), ({"terms": ["msl", "ost", "usr"]}, True), ({"terms": ["msl", "ost"]}, False)],
)
def test_the_gate_is_that_of_the_method(options, opened):
    found = pseudo_labels_of(build(**options), image())
    assert (found["open"] == opened).all()
    expected = found["sub_labels"] if opened else found["own_labels"]
    np.testing.assert_array_equal(found["labels"], expected)


def test_measuring_changes_nothing():
    built = build()
    before = [np.array(numpy_of(variable.value)) for variable in built.variables]
    quality = PseudoLabelQuality(built, (), None)
    first, second = quality.pseudo_labels(image()), quality.pseudo_labels(image())
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])
    for old, variable in zip(before, built.variables, strict=True):
        np.testing.assert_array_equal(old, numpy_of(variable.value), err_msg=variable.path)
