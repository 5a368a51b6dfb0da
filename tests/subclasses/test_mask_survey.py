from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.subclasses.made_dataset import SIZES, masks_of, write_dataset
from usrn_keras.errors import DataError
from usrn_keras.subclasses.feature_grid import class_pixels, survey_masks


def test_numbers_of_every_image(tmp_path):
    masks = masks_of(*SIZES)
    survey = survey_masks(write_dataset(tmp_path, masks), limit=0, seed=0)
    order = [int(sample.name.split("/")[1]) for sample in survey.samples]
    assert sorted(order) == list(range(7)) and survey.complete.all()
    assert [survey.sizes[i] for i in range(7)] == [masks[i].shape for i in order]
    padded = [tuple(-(-side // 32) for side in size) for size in survey.sizes]
    assert padded == sorted(padded)  # equal padded sizes lie together
    assert order[:3] == [1, 4, 6]  # and keep the order of the list
    np.testing.assert_array_equal(survey.pixels, [class_pixels([masks[i]], 3) for i in order])


def test_a_changed_mask_changes_the_digest(tmp_path):
    masks = masks_of(*SIZES[:2])
    first, again = (survey_masks(write_dataset(tmp_path, masks), limit=0, seed=0).digest for _ in range(2))
    masks[1][3, 3] = 1 - masks[1][3, 3] % 2
    assert first == again != survey_masks(write_dataset(tmp_path, masks), limit=0, seed=0).digest


def test_a_broken_mask_is_named(tmp_path):
    dataset = write_dataset(tmp_path, masks_of(*SIZES[:2]))
    Image.fromarray(np.full((32, 32), 77, np.uint8)).save(dataset.labelled[1].mask)
    with pytest.raises(DataError, match=r"1_mask\.png contains ids outside the 3 classes: 77"):
        survey_masks(dataset, limit=0, seed=0)
