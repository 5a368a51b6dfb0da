"""PSPNet's decoder: sizes, parameters, what reaches where."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.tools import fill
from usrn_keras.networks.decoders.pspnet import pspnet


def maps_of(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def values_of(tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor))


def test_parameters_are_those_of_the_authors_head():
    """`PPM` and `cls` of the authors' PyTorch code (hszhao/semseg, model/pspnet.py) without the last
    convolution: four 1x1 convolutions 2048 -> 512 and one 3x3 convolution 4096 -> 512, none with a bias,
    each followed by batch normalisation of two numbers that are learnt for each channel."""
    decoder = pspnet(256, 2048, decoder_channels=512)
    pyramid = 4 * (2048 * 512 + 2 * 512)
    bottleneck = 9 * 4096 * 512 + 2 * 512
    trained = sum(int(np.prod(variable.shape)) for variable in decoder.trainable_variables)
    assert trained == pyramid + bottleneck == 23_073_792


@pytest.mark.parametrize(("low", "high"), [((8, 12), (4, 6)), ((16, 8), (2, 1)), ((8, 8), (1, 1))])
def test_features_stand_at_stride_4(low, high):
    decoder = pspnet(5, 8, decoder_channels=6)
    assert decoder(maps_of((2, *low, 5), (2, *high, 8))).shape == (2, *low, 6)
    assert decoder.output_shape == (None, None, None, 6)


def test_a_single_pixel_reaches_the_whole_map():
    """The 1 x 1 region sees everything; a 3x3 convolution alone would reach three pixels."""
    decoder = pspnet(2, 4, decoder_channels=6)
    fill(decoder.variables)
    low, high = maps_of((1, 16, 16, 2), (1, 16, 16, 4))
    before = values_of(decoder([low, high]))
    high[0, 0, 0] += 100
    assert (np.abs(values_of(decoder([low, high])) - before).max(-1) > 0).mean() > 0.95


def test_low_level_features_say_the_size_alone():
    decoder = pspnet(3, 4, decoder_channels=6)
    low, high = maps_of((1, 8, 8, 3), (1, 2, 2, 4))
    np.testing.assert_array_equal(values_of(decoder([low, high])), values_of(decoder([0 * low, high])))
