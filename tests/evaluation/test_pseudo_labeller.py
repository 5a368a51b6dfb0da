"""What both branches say of whole images, against the losses' own code on logits of the whole."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.tools import fill, tiny_branches
from usrn_keras.evaluation.pseudo_labeller import PseudoLabeller, at_centres
from usrn_keras.losses.pseudo_labels import normalised_entropy, pseudo_labels
from usrn_keras.methods import USRN

PARENTS = [0, 0, 1, 1, 2]


def model(**options) -> USRN:
    keras.utils.set_random_seed(0)
    sharing = options.pop("sharing", "low")
    built = USRN(*tiny_branches(sharing=sharing), PARENTS, **options)
    fill(built.variables)
    return built


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
    built, picture = model(sharing=sharing, gate="fallback"), image(64, 96)  # nothing is padded
    head = built.sub_branch.classifier
    head.set_weights([factor * weight for weight in head.get_weights()])  # about as unsure as F
    logits, sub_logits = logits_of(built, picture[None])
    expected = {
        name: numpy_of(value)[0] for name, value in pseudo_labels(logits, sub_logits, PARENTS).items()
    }
    said = PseudoLabeller(built)(picture)
    assert said["labels"].shape == (8, 12)
    assert 0.05 < said["open"].mean() < 0.95
    for name in ("labels", "own_labels", "open"):
        np.testing.assert_array_equal(said[name], expected[name], err_msg=name)
    for name in ("confidence", "own_confidence", "sub_confidence"):
        np.testing.assert_allclose(said[name], expected[name], atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(said["sub_labels"], np.take(PARENTS, expected["sublabels"]))
    np.testing.assert_allclose(said["entropy"], numpy_of(normalised_entropy(logits))[0], atol=1e-5)
    np.testing.assert_allclose(said["sub_entropy"], numpy_of(normalised_entropy(sub_logits))[0], atol=1e-5)


@pytest.mark.parametrize(("height", "width", "cells"), [(40, 60, (5, 7)), (33, 4, (4, 0)), (5, 5, (1, 1))])
def test_cells_are_those_whose_centre_is_in_the_image(height, width, cells):
    said = PseudoLabeller(model())(image(height, width))
    assert {values.shape for values in said.values()} == {cells}
    assert at_centres(np.zeros((height, width))).shape == cells


@pytest.mark.parametrize(
    ("options", "opened"),
    [({"gate": "off"}, True), ({"terms": ["msl", "ost", "usr"]}, True), ({"terms": ["msl", "ost"]}, False)],
)
def test_the_gate_is_that_of_the_method(options, opened):
    said = PseudoLabeller(model(**options))(image())
    assert (said["open"] == opened).all()
    expected = said["sub_labels"] if opened else said["own_labels"]
    np.testing.assert_array_equal(said["labels"], expected)


def test_looking_changes_nothing():
    built = model()
    before = [np.array(numpy_of(variable.value)) for variable in built.variables]
    label = PseudoLabeller(built)
    first, second = label(image()), label(image())
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])
    for old, variable in zip(before, built.variables, strict=True):
        np.testing.assert_array_equal(old, numpy_of(variable.value), err_msg=variable.path)
