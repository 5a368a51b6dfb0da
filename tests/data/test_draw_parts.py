from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from usrn_keras.data import Dataset, Sample
from usrn_keras.data.random_split import Share, draw_parts, drawable
from usrn_keras.errors import DataError


def _samples(names, mask=True):
    return tuple(Sample(name, Path(name), Path(name) if mask else None) for name in names)


def _dataset(labelled="abcd", unlabelled="efgh", without_mask="xy", val="v", test="t"):
    further = (*_samples(unlabelled), *_samples(without_mask, mask=False))
    palette = np.zeros((3, 3), np.uint8)
    return Dataset(
        "d", ("sky", "road", "car"), palette, _samples(labelled), further, _samples(val), _samples(test)
    )


@pytest.mark.parametrize(
    ("text", "total", "count"),
    [("1/8", 367, 46), ("0.125", 367, 46), ("46", 367, 46), ("1/2", 5, 3), ("1e-1", 14, 1), ("1/3", 9, 3)],
)
def test_share(text, total, count):
    assert Share(text).of(total) == count


@pytest.mark.parametrize(
    "text", ["0", "-1", "1.0", "8/8", "9/8", "1/0", "nan", "inf", "", "many", "-1/8", "²"]
)
def test_no_share(text):
    with pytest.raises(ValueError, match=r"a fraction between 0 and 1 such as 1/8 or 0\.125, or a number"):
        Share(text)


def test_all_training_images_with_a_mask_may_be_labelled():
    assert [sample.name for sample in drawable(_dataset("db", "ca"))] == ["a", "b", "c", "d"]


def test_every_training_image_is_in_one_part():
    lists = draw_parts(_dataset(), Share("1/4"), Share("3"), seed=1)
    assert len(lists.val) == 3 and len(lists.labelled) == 1, "a quarter of the five that are not in val"
    assert sorted([*lists.labelled, *lists.unlabelled, *lists.val]) == list("abcdefghxy")
    assert {"x", "y"} <= set(lists.unlabelled) and lists.test == ("t",)


def test_val_stays_unless_it_is_asked_for():
    assert draw_parts(_dataset(), Share("4"), None, seed=0).val == ("v",)


@pytest.mark.parametrize("seed", range(6))
def test_val_leaves_the_only_image_of_a_class_to_the_labelled(seed):
    pixels = np.array([[9, 0, 0]] * 6 + [[9, 1, 0], [9, 0, 1]])
    lists = draw_parts(_dataset(), Share("2"), Share("4"), seed=seed, pixels=pixels)
    assert lists.labelled == ("g", "h")


def test_a_class_that_val_must_take_is_named():
    pixels = np.array([[9, 0, 0]] * 6 + [[9, 1, 0], [9, 0, 1]])
    with pytest.raises(DataError, match="cannot cover every class"):
        draw_parts(_dataset(), Share("1"), Share("7"), seed=0, pixels=pixels)


def test_too_few_images_for_the_classes():
    pixels = np.eye(8, 3, dtype=int)
    with pytest.raises(DataError, match="2 labelled images cannot cover every class") as caught:
        draw_parts(_dataset(), Share("2"), None, seed=0, pixels=pixels)
    assert len(caught.value.errors) == 1 and "is in 1 of 8 images" in caught.value.errors[0]


@pytest.mark.parametrize(
    ("labelled", "val", "data", "faults"),
    [
        ("9", None, {}, ["9 labelled and 0 val images are more than the 8 images with masks"]),
        ("6", "3", {}, ["6 labelled and 3 val images are more than the 8 images with masks"]),
        ("8", None, {"without_mask": ""}, ["no image would remain unlabelled"]),
        ("1/20", "1/20", {}, ["--labelled selects no image", "--val selects no image"]),
        ("1", None, {"labelled": "", "unlabelled": ""}, ["more than the 0 images with masks"]),
    ],
)
def test_counts_that_cannot_be(labelled, val, data, faults):
    with pytest.raises(DataError, match="the split cannot be drawn from") as caught:
        draw_parts(_dataset(**data), Share(labelled), val and Share(val), seed=0)
    assert len(caught.value.errors) == len(faults)
    assert all(part in fault for part, fault in zip(faults, caught.value.errors, strict=True))


def test_all_with_masks_may_be_labelled_beside_images_without():
    assert draw_parts(_dataset(), Share("8"), None, seed=0).unlabelled == ("x", "y")
