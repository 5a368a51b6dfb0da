"""The confusion matrix against a loop over pixels, and whole-image evaluation against numpy."""

from __future__ import annotations

import cv2
import keras
import numpy as np
import pytest

from usrn_keras.data import Dataset, Sample
from usrn_keras.evaluation import evaluate
from usrn_keras.metrics import confusion_matrices

pytestmark = pytest.mark.every_backend


def loop(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    confusion = np.zeros((classes, classes), int)
    for label, prediction in zip(labels.ravel(), predictions.ravel(), strict=True):
        if 0 <= label < classes:
            confusion[label, prediction] += 1
    return confusion


@pytest.mark.parametrize("classes", [1, 2, 19])
def test_equals_a_loop_over_pixels(classes):
    rng = np.random.default_rng(classes)
    labels = rng.integers(-1, classes + 1, (3, 7, 5))
    labels[0, 0] = 255
    predictions = rng.integers(0, classes, (3, 7, 5))
    found = keras.ops.convert_to_numpy(confusion_matrices(labels, predictions, classes))
    expected = [loop(a, b, classes) for a, b in zip(labels, predictions, strict=True)]
    np.testing.assert_array_equal(found, expected)


def test_all_ignored_is_empty():
    labels = np.full((1, 4, 4), 255)
    assert not keras.ops.convert_to_numpy(confusion_matrices(labels, labels * 0, 3)).any()


def write(tmp_path, sizes) -> list[Sample]:
    rng = np.random.default_rng(0)
    samples = []
    for index, size in enumerate(sizes):
        image, mask = tmp_path / f"{index}.png", tmp_path / f"{index}_mask.png"
        cv2.imwrite(str(image), rng.integers(0, 256, (*size, 3), dtype=np.uint8))
        cv2.imwrite(str(mask), rng.choice(np.array([0, 1, 2, 255], np.uint8), size))
        samples.append(Sample(str(index), image, mask))
    return samples


@pytest.mark.parametrize("batch", [1, 2])
def test_whole_images_of_any_size(tmp_path, batch):
    """A network that looks at one pixel knows nothing of padding: numpy must get the same counts."""
    samples = write(tmp_path, [(33, 40), (33, 40), (33, 40), (64, 20)])
    dataset = Dataset("test", ("a", "b", "c"), np.zeros((3, 3), np.uint8), (), (), tuple(samples))
    kernel = np.random.default_rng(1).normal(size=(1, 1, 3, 3)).astype("float32")
    segmenter = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(3, 1, use_bias=False)])
    segmenter.set_weights([kernel])
    scores = evaluate(segmenter, samples, dataset, batch=batch, workers=1)
    expected = np.zeros((3, 3), int)
    for sample in samples:
        image = cv2.imread(str(sample.image))[..., ::-1].astype("float32")
        expected += loop(cv2.imread(str(sample.mask), -1), (image @ kernel[0, 0]).argmax(-1), 3)
    assert np.abs(scores.confusion - expected).sum() <= 2  # ties in float32 may fall either way
    assert scores.confusion.sum() == expected.sum()
