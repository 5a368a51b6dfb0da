from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.report.test_cluster_report import subclass_map
from usrn_keras.data import Sample
from usrn_keras.report import montage
from usrn_keras.report.montage import (
    CELL,
    COLUMNS,
    GAP,
    NAME_WIDTH,
    OUTLINE,
    ROWS,
    TITLE_HEIGHT,
    cut_patch,
    dense_pixels,
    montage_png,
)

COLOURS = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 0, 250], [250, 250, 250]], np.uint8)


@pytest.fixture
def samples(tmp_path) -> list[Sample]:
    """Ten images whose colour says the subclass: pole 0, road 1 to 3, the rest ignored."""
    made = []
    for i in range(10):
        sublabels = np.full((90, 120), 255, np.uint8)
        for k in range(4):
            sublabels[10:80, 30 * k : 30 * k + 20] = (k + i) % 4
        Image.fromarray(sublabels).save(tmp_path / f"{i}-sub.png")
        Image.fromarray(COLOURS[np.minimum(sublabels, 4)]).save(tmp_path / f"{i}.png")
        made.append(Sample(str(i), tmp_path / f"{i}.png", sublabels=tmp_path / f"{i}-sub.png"))
    return made


def cells(content: bytes) -> np.ndarray:
    """(rows, columns, CELL, CELL, 3)"""
    sheet = np.asarray(Image.open(io.BytesIO(content)))[TITLE_HEIGHT:, NAME_WIDTH:]
    rows = sheet.shape[0] // (CELL + GAP)
    grid = sheet.reshape(rows, CELL + GAP, COLUMNS, CELL + GAP, 3).swapaxes(1, 2)
    return grid[:, :, :CELL, :CELL]


def test_a_row_for_each_subclass_around_its_pixels(samples):
    grid = cells(montage_png(samples, subclass_map(), 2))
    assert grid.shape[:2] == (3, COLUMNS)
    for row, colour in zip(grid, COLOURS[1:4], strict=True):
        for cell in row:
            centre = cell[CELL // 2 - 3 : CELL // 2 + 4, CELL // 2 - 3 : CELL // 2 + 4].reshape(-1, 3)
            own = (np.abs(centre.astype(int) - colour) <= 8).all(axis=1)
            outline = (centre == OUTLINE).all(axis=1)
            assert own.any() and (own | outline).mean() > 0.4
            bright = cell.reshape(-1, 3)
            for other in set(range(4)) - {list(map(tuple, COLOURS)).index(tuple(colour))}:
                assert not (np.abs(bright.astype(int) - COLOURS[other]) <= 8).all(axis=1).any()


def test_patches_come_from_different_images(samples):
    counts = np.array([[5], [0], [7], *[[1]] * 7])
    (images,) = montage._choose_images(counts, seed=0)
    assert len(set(images)) == COLUMNS and 1 not in images


def test_few_images_are_used_again_and_an_empty_subclass_has_no_patch():
    first, second = montage._choose_images(np.array([[4, 0], [2, 0]]), seed=0)
    assert sorted(first) == [0] * (COLUMNS // 2) + [1] * (COLUMNS // 2)
    assert second == []


def test_the_same_seed_gives_the_same_picture(samples):
    first, again, other = (montage_png(samples, subclass_map(), 2, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_many_subclasses_are_chosen_evenly_and_the_title_says_so(samples, monkeypatch):
    shown = {}
    monkeypatch.setattr(montage, "_sheet", lambda *arguments: shown.update(all=arguments) or b"")
    counts = np.array([1, 0, 100])
    many = subclass_map(counts=counts, sizes=np.full(101, 9), centers=np.zeros((101, 2), np.float32))
    montage_png(samples, many, 2)
    title, names, patches = shown["all"]
    assert title.startswith(f"road: {ROWS} of 100 subclasses, evenly chosen")
    assert [name for name, _ in names] == [f"road/{9 * k}" for k in range(ROWS)]
    assert len(patches) == ROWS


@pytest.mark.parametrize("letters", ["абвгдж", "αβγδεζ", "ßåłřőğ"])
def test_letters_of_other_alphabets_are_drawn_and_are_no_boxes(samples, letters):
    named = {montage_png(samples, subclass_map(classes=("a", "b", 3 * letter)), 2) for letter in letters}
    assert len(named) == len(letters)


def test_a_long_name_is_shortened_and_keeps_the_number_of_its_subclass(samples):
    long, short = (subclass_map(classes=("a", "b", name)) for name in ("m" * 40, "m"))
    sheets = [np.asarray(Image.open(io.BytesIO(montage_png(samples, one, 2)))) for one in (long, short)]
    (names, others) = (sheet[TITLE_HEIGHT:] for sheet in sheets)
    assert (names[:, NAME_WIDTH:] == others[:, NAME_WIDTH:]).all()
    first, second = (names[row * (CELL + GAP) :][:CELL, : NAME_WIDTH - GAP] for row in (0, 1))
    assert (first != second).any()  # mmm…/0 and mmm…/1


def test_pixels_of_other_subclasses_are_grey_and_faded():
    image = np.full((64, 64, 3), (240, 90, 0), np.uint8)
    inside = np.zeros((64, 64), bool)
    inside[:, :32] = True
    patch = cut_patch(image, inside, (32, 32), 64)
    assert patch.shape == (CELL, CELL, 3)
    assert patch[CELL // 2, CELL // 4].tolist() == [240, 90, 0]
    assert patch[CELL // 2, 3 * CELL // 4].tolist() == [165, 165, 165]
    assert patch[CELL // 2, CELL // 2].tolist() == list(OUTLINE)


def test_a_patch_at_the_corner_stays_within_the_image():
    image = np.zeros((80, 80, 3), np.uint8)
    image[16, 64] = 255  # centre of the last square that fits, in the upper right corner
    ends = cut_patch(image, np.ones((80, 80), bool), (0, 79), 32)
    middle = cut_patch(image, np.ones((80, 80), bool), (16, 64), 32)
    np.testing.assert_array_equal(ends, middle)
    assert middle[CELL // 2 + 2, CELL // 2 + 2].max() > 100


def test_dense_pixels_avoid_stray_ones_and_each_other():
    inside = np.zeros((60, 60), bool)
    inside[20:50, 20:50] = True
    inside[0, 0] = True
    found = dense_pixels(inside, 3, np.random.default_rng(0), window=8)
    assert len(found) == 3 and (0, 0) not in found
    assert all(inside[at] for at in found)
    apart = [max(abs(a[0] - b[0]), abs(a[1] - b[1])) for i, a in enumerate(found) for b in found[:i]]
    assert min(apart) > 8


def test_dense_pixels_of_a_single_pixel_and_of_none():
    inside = np.zeros((9, 9), bool)
    assert dense_pixels(inside, 2, np.random.default_rng(0), window=4) == []
    inside[4, 5] = True
    assert dense_pixels(inside, 2, np.random.default_rng(0), window=4) == [(4, 5)]
