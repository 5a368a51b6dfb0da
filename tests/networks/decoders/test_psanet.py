"""PSANet's decoder: sizes, parameters, what reaches where."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.tools import fill
from usrn_keras.networks.decoders.psanet import psa_mask_size, psanet


def maps_of(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def values_of(tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor))


@pytest.mark.parametrize(("crop", "mask"), [(465, 59), (705, 89), (473, 59), (713, 89)])
def test_masks_of_the_authors_configurations(crop, mask):
    """config/*/ *_psanet50.yaml of hszhao/semseg: train_h 465 (VOC, ADE20K) and 705 (Cityscapes), with the
    default mask; their crops are 8 n + 1 pixels."""
    assert psa_mask_size(crop, output_stride=8) == mask


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("crop", [32, 96, 320])
@pytest.mark.parametrize("shrink", [1, 2])
def test_the_mask_covers_every_offset_of_a_crop_and_no_more(crop, output_stride, shrink):
    side = -(-(crop // output_stride) // shrink)
    assert psa_mask_size(crop, output_stride=output_stride, shrink=shrink) == 2 * side - 1


def test_parameters_are_those_of_the_authors_head():
    """`PSA` and `cls` of the authors' PyTorch code (hszhao/semseg, model/psanet.py) at a crop of 465, without
    the last convolution: 1x1 convolutions without bias, batch normalisation of two numbers a channel."""
    decoder = psanet(256, 2048, mask=59, decoder_channels=512)
    branch = (2048 * 512 + 2 * 512) + (512 * 512 + 2 * 512) + 512 * 59**2
    projection = 1024 * 2048 + 2 * 2048
    bottleneck = 9 * 4096 * 512 + 2 * 512
    trained = sum(int(np.prod(variable.shape)) for variable in decoder.trainable_variables)
    assert trained == 2 * branch + projection + bottleneck == 27_166_720


@pytest.mark.parametrize(("low", "high"), [((8, 12), (4, 6)), ((16, 8), (5, 3)), ((8, 8), (1, 1))])
@pytest.mark.parametrize("shrink", [1, 2])
def test_features_stand_at_stride_4(low, high, shrink):
    decoder = psanet(5, 8, mask=5, attention_channels=4, shrink=shrink, decoder_channels=6)
    assert decoder(maps_of((2, *low, 5), (2, *high, 8))).shape == (2, *low, 6)
    assert decoder.output_shape == (None, None, None, 6)


def reach(mask: int) -> np.ndarray:
    """Which features of a map of 12 x 12 change with its first pixel."""
    decoder = psanet(2, 4, mask=mask, attention_channels=4, shrink=1, decoder_channels=6)
    fill(decoder.variables)
    low, high = maps_of((1, 12, 12, 2), (1, 12, 12, 4))
    before = values_of(decoder([low, high]))
    high[0, 0, 0] += 100
    return np.abs(values_of(decoder([low, high])) - before).max(-1)[0] > 0


def test_a_pixel_reaches_as_far_as_the_mask():
    """Distribution divides by what all pixels send to a target: within the mask of the target. So the first
    pixel reaches half a mask, and the 3x3 convolution one pixel more."""
    assert reach(mask=23).mean() > 0.95
    near = reach(mask=5)
    assert near[:4, :4].mean() > 0.9 and not near[4:].any() and not near[:, 4:].any()
