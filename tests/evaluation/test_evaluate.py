from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from tests.evaluation.networks import pooling_network, red_dataset, red_reader
from usrn_keras.errors import DataError
from usrn_keras.evaluation import Inference, evaluate
from usrn_keras.metrics import Scores
from usrn_keras.metrics.boundary_counts import boundary_counts

SIZES = [(20, 24), (20, 24), (33, 18), (40, 31), (40, 30)] * 10


@pytest.fixture(scope="module")
def reds(tmp_path_factory):
    """50 images of 19 classes, their labels, and what `red_reader` predicts."""
    return red_dataset(tmp_path_factory.mktemp("reds"), SIZES, 19)


@pytest.mark.parametrize(
    ("options", "batch", "workers"),
    [(Inference(), 1, 0), (Inference(), 4, 3), (Inference("slide", window=32, flip=True), 2, 1)],
)
def test_50_images_of_19_classes_equal_scikit_learn_and_a_loop(reds, options, batch, workers):
    dataset, labels, predicted = reds
    measured = evaluate(red_reader(19), dataset.val, dataset, options=options, batch=batch, workers=workers)
    every = [np.concatenate([each.ravel() for each in maps]) for maps in (labels, predicted)]
    valid = every[0] != 255
    expected = metrics.confusion_matrix(every[0][valid], every[1][valid], labels=range(19))
    np.testing.assert_array_equal(measured.scores.confusion, expected)
    np.testing.assert_array_equal(measured.scores.confusion, loop(labels, predicted))
    outlines = sum(boundary_counts(a, b, 19) for a, b in zip(labels, predicted, strict=True))
    np.testing.assert_array_equal(measured.scores.boundary, outlines)


def loop(labels: list[np.ndarray], predictions: list[np.ndarray]) -> np.ndarray:
    confusion = np.zeros((19, 19), int)
    for label, prediction in zip(labels, predictions, strict=True):
        for i in range(19):
            for j in range(19):
                confusion[i, j] += np.sum((label == i) & (prediction == j))
    return confusion


def test_each_image_and_where_the_scores_come_from(reds):
    dataset, labels, predicted = reds
    measured = evaluate(red_reader(19), dataset.val, dataset, name="reader", checkpoint="best (step 3)")
    assert [image.sample for image in measured.images] == list(dataset.val)
    first = Scores("", dataset.classes, loop(labels[:1], predicted[:1]))
    assert measured.images[0].miou == pytest.approx(first.miou)
    assert measured.images[0].pixel_accuracy == pytest.approx(first.pixel_accuracy)
    assert measured.scores.name == "reader"
    line = measured.scores.provenance.line()
    assert line == f"reds val, 50 images, lists {dataset.fingerprint()}, mode whole, checkpoint best (step 3)"
    some = evaluate(red_reader(19), dataset.val[:2], dataset, boundary=False).scores
    assert (some.provenance.split, some.provenance.images, some.boundary) == ("some", 2, None)


@pytest.mark.parametrize("batch", [1, 4])
def test_scores_of_an_image_do_not_depend_on_the_others(reds, batch):
    dataset, *_ = reds
    model, some = pooling_network(19), dataset.val[:10]
    together = evaluate(model, some, dataset, batch=batch)
    assert [image.sample for image in together.images] == list(some)
    backwards = evaluate(model, some[::-1], dataset, batch=batch)
    np.testing.assert_array_equal(backwards.scores.confusion, together.scores.confusion)
    assert backwards.images == together.images[::-1]
    alone = [evaluate(model, [sample], dataset, batch=batch).scores.confusion for sample in some]
    np.testing.assert_array_equal(sum(alone), together.scores.confusion)


def test_what_cannot_be_read_is_named(tmp_path):
    dataset, *_ = red_dataset(tmp_path, [(20, 20)] * 3, 3)
    dataset.val[1].image.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1\.png"):
        evaluate(red_reader(3), dataset.val, dataset)


@pytest.mark.every_backend
def test_on_every_backend(tmp_path):
    dataset, labels, predicted = red_dataset(tmp_path, [(20, 24), (32, 31), (40, 20)], 19)
    scores = evaluate(red_reader(19), dataset.val, dataset, batch=2, workers=1).scores
    np.testing.assert_array_equal(scores.confusion, loop(labels, predicted))
