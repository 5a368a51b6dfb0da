from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.subclasses.feature_grid import choose_cells

RNG = np.random.default_rng(0)
MASK = RNG.choice(np.array([0, 0, 0, 1, 255], np.uint8), (33, 46))


@pytest.mark.parametrize("mask", [MASK, np.where(MASK == 255, -1, MASK.astype(np.int32))])
def test_all_are_kept_by_class(mask):
    cells = choose_cells(mask, 3, name="a")
    assert cells.complete and cells.labels.shape == (9, 12)
    flat = cells.labels.reshape(-1)
    for class_id in range(3):
        np.testing.assert_array_equal(cells.kept[class_id], np.flatnonzero(flat == class_id))
    assert cells.counts[2] == 0
    ignored = cells.kept[3]
    assert len(ignored) and (~np.isin(flat[ignored], [0, 1])).all()


def test_ignored_cells_without_any_label_are_not_kept():
    mask = np.full((8, 8), 255, np.uint8)
    mask[0, 0] = 1
    assert [kept.tolist() for kept in choose_cells(mask, 2, name="a").kept] == [[], [], [0]]


def test_a_limit_spares_small_classes():
    everything = choose_cells(MASK, 2, name="a")
    limit = everything.counts[1]
    cells = choose_cells(MASK, 2, name="a", limit=limit)
    assert not cells.complete and cells.counts == [limit, limit, 0]
    np.testing.assert_array_equal(cells.kept[1], everything.kept[1])
    assert set(cells.kept[0]) < set(everything.kept[0])
    assert (np.diff(cells.kept[0]) > 0).all()
    assert choose_cells(MASK, 2, name="a", limit=max(everything.counts)).complete


def test_what_is_drawn_depends_on_seed_and_name_alone():
    first, again, other_seed, other_name = (
        choose_cells(MASK, 2, limit=5, **options).kept[0].tolist()
        for options in (
            {"name": "a", "seed": 1},
            {"name": "a", "seed": 1},
            {"name": "a", "seed": 2},
            {"name": "b", "seed": 1},
        )
    )
    assert first == again != other_seed
    assert first != other_name
