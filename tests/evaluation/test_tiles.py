"""Large images in tiles: the ids of the whole image, up to its borders."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest

from tests.tools import fill, tiny_branches
from usrn_keras.evaluation import Inference, Predictor
from usrn_keras.evaluation.tiles import TiledNetwork, is_large, tile_sides


def scene(height: int, width: int) -> np.ndarray:
    """Smooth noise, so that the ids of a random network have regions."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:height, :width]


def filled(branch) -> keras.Model:
    model = branch.segmenter()
    fill(model.variables)
    return model


@pytest.fixture(scope="module")
def segmenter():
    return filled(tiny_branches(aspp_rates=[1])[0])


@pytest.mark.parametrize("flip", [False, True])
def test_ids_and_confidence_are_those_of_the_whole_image(segmenter, flip):
    options, image = Inference(flip=flip), scene(500, 900)  # padded with 12 rows, 60 columns
    whole, tiled = Predictor(segmenter, options), Predictor(segmenter, options, largest_whole=0, tile=512)
    network = TiledNetwork.of(segmenter, 512)
    assert len(tile_sides(960, network.tile, network.halo)) == 3 and network.halo == 128
    ids, confidence = whole.ids_and_confidence(image)
    found, its_confidence = tiled.ids_and_confidence(image)
    assert len(np.unique(ids)) > 1
    np.testing.assert_allclose(its_confidence, confidence, atol=1e-5)
    close = np.sort(whole.probabilities(image), axis=-1)
    assert np.array_equal(
        found[close[..., -1] - close[..., -2] > 1e-5], ids[close[..., -1] - close[..., -2] > 1e-5]
    )
    assert np.array_equal(tiled.ids(image), found)


def test_probabilities_at_several_sizes(segmenter):
    options, image = Inference(scales=(0.5, 1.0)), scene(700, 640)
    whole = Predictor(segmenter, options).probabilities(image)
    tiled = Predictor(segmenter, options, largest_whole=0, tile=512).probabilities(image)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_the_mean_is_that_of_the_whole_image(segmenter):
    """With the mean of each tile the result would differ."""
    image = scene(1024, 512)
    image[512:] //= 8  # dark below
    network = TiledNetwork.of(segmenter, 512)
    means = [network._mean(part) for part in (image, image[:512])]
    assert not np.allclose(*means, rtol=0.01)
    whole = network._pooled(image[None])[0].mean(axis=(0, 1))
    np.testing.assert_allclose(means[0], whole, rtol=1e-4)


def test_a_network_with_a_pyramid_of_poolings_is_not_cut():
    branch, _ = tiny_branches(decoder="pspnet")
    assert TiledNetwork.of(branch.segmenter()) is None
    image = scene(64, 96)
    predictor = Predictor(branch.segmenter(), largest_whole=0)
    assert np.array_equal(predictor.ids(image), Predictor(branch.segmenter()).ids(image))


@pytest.mark.parametrize(("size", "tile", "halo"), [(256, 512, 64), (1152, 512, 96), (8064, 2048, 352)])
def test_tiles_cover_a_side_once(size, tile, halo):
    sides = tile_sides(size, tile, halo)
    assert [side.own[0] for side in sides] == [0, *(side.own[1] for side in sides[:-1])]
    assert sides[-1].own[1] == sides[-1].stop == size
    for before, side in itertools.pairwise(sides):
        assert side.stop - side.start == tile and side.start % 32 == 0
        assert before.stop - before.own[1] >= halo and side.own[0] - side.start >= halo


def test_4k_is_predicted_whole():
    assert not is_large((2160, 3840)) and is_large((6000, 8000))
