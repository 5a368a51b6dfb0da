"""Each heuristic on what it is for, and on sound masks that resemble it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from usrn_keras.data.decoding.mask_files import RawMask
from usrn_keras.data.masks import Rules
from usrn_keras.inspection.suspicious_masks import (
    BETWEEN_AT_MOST,
    between_share,
    explain_values,
    stretched_ids,
)


def discs(values=(0, 9, 4), size: int = 96) -> np.ndarray:
    """Two discs on a ground."""
    mask = np.full((size, size), values[0], np.uint8)
    cv2.circle(mask, (30, 40), 20, values[1], -1)
    cv2.circle(mask, (66, 50), 18, values[2], -1)
    return mask


def explained(values: np.ndarray, **rules) -> str:
    return explain_values(RawMask(values, None, "L"), Rules(**{"num_classes": 4} | rules))


@pytest.mark.parametrize(
    ("found", "classes", "ids"),
    [
        ([0, 85, 170, 255], 4, (0, 85, 170, 255)),
        ([0, 170], 4, (0, 85, 170, 255)),
        ([0, 255], 2, (0, 255)),
        ([0, 255], 5, (0, 63, 127, 191, 255)),
        ([0, 127, 255], 3, (0, 127, 255)),
        ([0, 128, 255], 3, (0, 128, 255)),
        ([0, 51, 204], 6, (0, 51, 102, 153, 204, 255)),
        ([0, 65535], 2, (0, 65535)),
        ([0, 21845, 65535], 4, (0, 21845, 43690, 65535)),
    ],
)
def test_stretched_ids(found, classes, ids):
    assert stretched_ids(np.array(found), classes) == ids


@pytest.mark.parametrize(
    ("found", "classes"), [([0, 1, 2, 3], 4), ([0, 7], 4), ([3], 4), ([0, 85, 171], 4), ([0, 3, 204], 151)]
)
def test_other_values_are_not_stretched(found, classes):
    assert stretched_ids(np.array(found), classes) == ()


@pytest.mark.parametrize(
    ("values", "rules", "advice"),
    [
        ((0, 85, 255), {"ignore_index": 254}, "set data.mask_ids = [0, 85, 170, 255]."),
        (
            (0, 85, 255),
            {},
            "[0, 85, 170, 255] and data.ignore_index to another value or -1.",
        ),
        ((0, 85, 170), {"num_classes": 3}, "set data.mask_ids = [0, 85, 170]."),
        ((0, 85, 170), {"num_classes": 11}, "set data.mask_ids to the value of each class."),
    ],
)
def test_the_reason_of_stretched_values_names_the_keys(values, rules, advice):
    assert explained(discs(values), **rules).endswith(advice)


def test_anti_aliased_and_jpeg_borders_are_recognised():
    smooth = cv2.GaussianBlur(discs((0, 200, 100)), (3, 3), 0)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", discs((0, 200, 100)))[1], cv2.IMREAD_GRAYSCALE)
    rules = {"id_map": np.where(np.isin(np.arange(256), [0, 100, 200]), 0, -1)}
    for values in (smooth, jpeg):
        assert "only along borders" in explained(values, **rules)


def test_a_flat_unknown_value_has_no_reason():
    assert explained(discs((0, 7, 9))) == ""
    assert explained(discs((0, 7, 9)).astype(np.uint16)) == ""


def test_colours_are_left_to_the_error_of_reading_them():
    colours = np.repeat(discs((0, 85, 255))[..., None], 3, axis=2)
    assert explained(colours) == ""


def test_interpolated_ids_are_told_from_sound_ones():
    sound = discs()
    resized = cv2.resize(sound, (70, 70), interpolation=cv2.INTER_LINEAR)
    assert between_share(sound) == 0
    assert between_share(cv2.resize(sound, (70, 70), interpolation=cv2.INTER_NEAREST)) < BETWEEN_AT_MOST / 2
    assert between_share(resized) > 2 * BETWEEN_AT_MOST


def test_thin_lines_are_sound():
    poles = np.zeros((64, 64), np.uint8)
    poles[:, 32:] = 9
    poles[:32, ::8], poles[32:, ::8] = 4, 5  # only the one at the border of 0 and 9 lies between
    assert 0 < between_share(poles) < BETWEEN_AT_MOST


def test_a_class_of_outlines_is_sound():
    cells = np.zeros((64, 64), np.uint8)
    for row, column in ((16, 16), (40, 20), (30, 48)):
        cv2.circle(cells, (column, row), 9, 2, -1)
        cv2.circle(cells, (column, row), 9, 1, 1)
    assert between_share(cells) == 0
    cells[:3, 0] = 3, 4, 5  # a stray pixel in between changes nothing
    assert between_share(cells) == 0


def test_too_few_borders_tell_nothing():
    ramp = np.tile(np.arange(9, dtype=np.uint8), (3, 1))
    assert between_share(ramp) == 0
    assert between_share(np.tile(ramp, (9, 9))) > BETWEEN_AT_MOST
