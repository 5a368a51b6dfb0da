from __future__ import annotations

import itertools

import numpy as np
import pytest

from usrn_keras.data.formats.lists import shipped_list
from usrn_keras.data.random_split import draw_split
from usrn_keras.errors import DataError

NAMES = [f"n{number:02d}" for number in range(20)]


@pytest.mark.parametrize(("split", "ratio"), [("1_16", 1 / 16), ("1_8", 1 / 8), ("1_4", 1 / 4)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_rule_gives_the_shipped_camvid_splits(split, ratio, seed):
    train = shipped_list("camvid", "train")
    drawn = draw_split(train[::-1], int(len(train) * ratio + 0.5), seed=seed)
    assert drawn == shipped_list("camvid", f"labelled_{split}_seed{seed}")


def test_draws_of_one_seed_are_nested_and_those_of_others_differ():
    draws = [set(draw_split(NAMES, count, seed=7)) for count in range(len(NAMES) + 1)]
    assert [len(draw) for draw in draws] == list(range(21))
    assert all(small < large for small, large in itertools.pairwise(draws))
    assert draw_split(NAMES, 10, seed=8) != draw_split(NAMES, 10, seed=7)


@pytest.mark.parametrize("seed", range(5))
def test_every_class_that_exists_is_covered(seed):
    pixels = np.zeros((20, 5), int)
    pixels[:, 0] = 100
    pixels[3, 1] = pixels[11, 2] = pixels[[4, 11], 3] = 1  # class 4 is nowhere
    drawn = draw_split(NAMES, 4, seed=seed, pixels=pixels)
    assert {"n03", "n11"} <= set(drawn) and len(drawn) == 4 and list(drawn) == sorted(drawn)
    assert draw_split(NAMES, 2, seed=seed, pixels=pixels) == ("n03", "n11")


def test_what_a_cover_leaves_free_depends_on_the_seed():
    pixels = np.ones((20, 2), int)
    assert len({draw_split(NAMES, 5, seed=seed, pixels=pixels) for seed in range(5)}) == 5


def test_pixels_belong_to_the_names_in_their_order():
    pixels = np.array([[0, 1], [1, 0], [1, 0]])
    assert draw_split(["z", "b", "a"], 1, seed=0, pixels=pixels[:, 1:]) == ("z",)


def test_too_few_images_for_the_classes_cover_what_they_can():
    assert len(draw_split(NAMES[:4], 2, seed=0, pixels=np.eye(4, dtype=int))) == 2


@pytest.mark.parametrize("count", [-1, 21])
def test_more_than_there_are(count):
    with pytest.raises(DataError, match=f"{count} images cannot be drawn from 20"):
        draw_split(NAMES, count, seed=0)
