"""Modes of inference on networks that are known, on every backend."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluation.networks import (
    pooling_network,
    probabilities,
    random_convolution,
    random_image,
    red_reader,
)
from usrn_keras.evaluation import WHOLE, Inference, Predictor, predict_ids
from usrn_keras.evaluation.predictor import resized, scaled
from usrn_keras.evaluation.sliding_windows import window_starts

pytestmark = pytest.mark.every_backend
SLIDE = Inference("slide", window=32, overlap=0.4)


def pixelwise(image: np.ndarray, seed: int = 0) -> np.ndarray:
    """Probabilities of a network that sees one pixel, on an image of any size."""
    padded = np.zeros((64, 96, 3), np.uint8)
    padded[: image.shape[0], : image.shape[1]] = image
    return probabilities(random_convolution(1, seed=seed), padded)[: image.shape[0], : image.shape[1]]


@pytest.mark.parametrize(("height", "width"), [(50, 70), (20, 70), (20, 20)])
def test_slide_equals_whole_for_a_network_that_sees_one_pixel(height, width):
    image, model = random_image(height, width), random_convolution(1)
    expected = pixelwise(image)
    for options in (WHOLE, SLIDE):
        found = Predictor(model, options, batch=2).probabilities(image)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_slide_equals_whole_away_from_the_borders_of_windows():
    image, model = random_image(64, 96), random_convolution(3)
    rows, columns = (np.ones(size, bool) for size in (64, 96))
    for inside in (rows, columns):
        for start in window_starts(len(inside), 32, SLIDE.overlap):
            inside[[start, start + 31]] = False  # there a window lacks what lies beyond it
    whole, slid = (Predictor(model, options).probabilities(image) for options in (WHOLE, SLIDE))
    inside = rows[:, None] & columns
    assert inside.mean() > 0.7
    np.testing.assert_allclose(slid[inside], whole[inside], atol=1e-5)
    assert np.abs(slid - whole).max() > 1e-3


def test_flip_of_a_mirror_symmetric_network_changes_nothing():
    image, model = random_image(32, 64), random_convolution(3)
    kernel, bias = model.layers[-1].get_weights()
    expected = Predictor(model, Inference(flip=True)).probabilities(image)
    there, mirrored = probabilities(model, image), probabilities(model, image[:, ::-1])[:, ::-1]
    np.testing.assert_allclose(expected, (there + mirrored) / 2, atol=1e-5)
    assert np.abs(expected - there).max() > 1e-3
    model.layers[-1].set_weights([kernel + kernel[:, ::-1], bias])
    for mode in ("whole", "slide"):
        plain, flipped = (
            Predictor(model, Inference(mode, window=32, flip=flip)).probabilities(image)
            for flip in (False, True)
        )
        np.testing.assert_allclose(flipped, plain, atol=1e-5)


def test_scale_1_is_whole_and_others_are_averaged():
    image, model = random_image(40, 60), random_convolution(1)
    expected = pixelwise(image)
    small = resized(pixelwise(scaled(image, 0.5)).astype(np.float32), 40, 60)
    for scales, mean in [((1.0,), expected), ((1.0, 1.0), expected), ((0.5, 1.0), (small + expected) / 2)]:
        for mode in ("whole", "slide"):
            found = Predictor(model, Inference(mode, window=32, scales=scales)).probabilities(image)
            np.testing.assert_allclose(found, mean, atol=1e-5)


def test_ids_in_every_mode():
    red = np.random.default_rng(0).integers(0, 4, (5, 8)).repeat(8, 0).repeat(8, 1)
    image = np.stack([red, red * 0, red * 0], axis=-1).astype(np.uint8)
    for options in (WHOLE, SLIDE, Inference(flip=True), Inference("slide", window=32, flip=True)):
        np.testing.assert_array_equal(predict_ids(red_reader(4), image, options), red)


def test_images_of_a_batch_keep_their_sizes():
    images = [random_image(33, 40, seed=1) % 4, random_image(64, 64, seed=2) % 4]
    found = Predictor(red_reader(4)).ids_of(images)
    for ids, image in zip(found, images, strict=True):
        np.testing.assert_array_equal(ids, image[..., 0])


def test_the_company_in_a_batch_changes_nothing():
    images = [random_image(40 + 3 * number, 64 - 5 * number, seed=number) for number in range(4)]
    predictor = Predictor(pooling_network(), batch=3)
    alone = [predictor.ids(image) for image in images]
    assert len(np.unique(np.concatenate([ids.ravel() for ids in alone]))) == 4
    for group in ([0, 1, 2], [3, 0], [2, 3, 1]):
        for number, ids in zip(group, predictor.ids_of([images[i] for i in group]), strict=True):
            np.testing.assert_array_equal(ids, alone[number])


def test_padding_is_the_mean_colour_of_the_image():
    """What is predicted is what the network says of the image with its mean colour around."""
    image, model = random_image(33, 60), pooling_network()
    padded = np.empty((64, 64, 3), np.uint8)
    padded[:] = np.rint(image.reshape(-1, 3).mean(axis=0))
    padded[:33, :60] = image
    expected = probabilities(model, padded)[:33, :60]
    predictor = Predictor(model)
    np.testing.assert_allclose(predictor.probabilities(image), expected, atol=1e-5)
    np.testing.assert_array_equal(predictor.ids(image), expected.argmax(axis=-1))


@pytest.mark.parametrize("flip", [False, True])
def test_classes_with_confidence_are_those_without(flip):
    """Softmax rounds logits that differ by 1e-9 to one value, of which the first class would be taken."""
    image = random_image(32, 64)
    nearly_equal = random_convolution(1)
    nearly_equal.set_weights([1e-9 * weight for weight in nearly_equal.get_weights()])
    predictor = Predictor(nearly_equal, Inference(flip=flip))
    ids, confidence = predictor.ids_and_confidence(image)
    np.testing.assert_array_equal(ids, predictor.ids(image))
    np.testing.assert_allclose(confidence, 0.25, atol=1e-6)
    assert flip or len(np.unique(ids)) > 1


def test_weights_that_have_changed_are_seen():
    image, model = random_image(32, 32), random_convolution(1)
    predictor = Predictor(model)
    before = predictor.ids(image)
    model.set_weights([-weight for weight in model.get_weights()])
    assert (predictor.ids(image) != before).any()


def test_more_than_256_classes():
    image = np.zeros((32, 32, 3), np.uint8)
    image[..., 0] = 255
    model = red_reader(300)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias + np.where(np.arange(300) == 299, 1e6, 0)])
    assert (Predictor(model).ids(image) == 299).all()
