"""The mask of boxes and the paste of CutMix, on every backend."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.methods.logit_networks import box_of
from usrn_keras.data.views.cutmix_boxes import OneBox, SeveralBoxes
from usrn_keras.methods.cutmix import box_mask, paste

pytestmark = pytest.mark.every_backend


@pytest.mark.parametrize("boxes", [SeveralBoxes(), OneBox()])
def test_a_pixel_counts_in_how_many_boxes_it_is(boxes):
    drawn = boxes.draw(np.random.default_rng(1), 6, 24, 40)
    expected = np.zeros((6, 24, 40), bool)
    for mask, some in zip(expected, drawn, strict=True):
        for top, left, bottom, right in some:
            mask[top:bottom, left:right] ^= True
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(box_mask(drawn, 24, 40)), expected)


def test_paste():
    mask = np.array([[[True, False]]])
    donor = {"images": np.full((1, 1, 2, 3), 5.0, "float32"), "labels": np.int32([[[1, 1]]])}
    target = {"images": np.zeros((1, 1, 2, 3), "float32"), "labels": np.int32([[[2, 2]]])}
    found = {name: keras.ops.convert_to_numpy(value) for name, value in paste(mask, donor, target).items()}
    assert found["images"][0, 0].tolist() == [[5, 5, 5], [0, 0, 0]]
    assert found["labels"].tolist() == [[[1, 2]]]


def test_box_of_a_mask():
    mask = np.zeros((5, 6), bool)
    assert box_of(mask) == [0, 0, 0, 0]
    mask[1:3, 2:6] = True
    assert box_of(mask) == [1, 2, 3, 6]
