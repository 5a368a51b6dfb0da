"""The drawing of a scene: its classes, looks and shares, by measurement."""

from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.data.quickstart.aerial_images import VERSION
from usrn_keras.data.quickstart.aerial_scene import AerialScene, draw_scene
from usrn_keras.data.quickstart.looks import CLASSES, LOOKS, MAX_MODES, PALETTE, RARE

SIZE = (128, 192)


def draw(count: int, **options) -> list[AerialScene]:
    return [draw_scene(np.random.default_rng([0, seed]), SIZE, **options) for seed in range(count)]


def shares(scenes: list[AerialScene]) -> dict[str, float]:
    """Share of the pixels of each class."""
    counts = np.bincount(np.concatenate([scene.mask.ravel() for scene in scenes]), minlength=len(CLASSES))
    return dict(zip(CLASSES, counts / counts.sum(), strict=True))


@pytest.fixture(scope="module")
def scenes() -> list[AerialScene]:
    return draw(60)


@pytest.mark.parametrize("size", [(32, 32), (33, 95), (96, 40), (256, 256)])
def test_scenes_of_other_sizes(size):
    for seed in range(3):
        image, mask, modes = draw_scene(np.random.default_rng(seed), size)
        assert image.shape == (*size, 3) and image.dtype == np.uint8
        assert mask.shape == modes.shape == size and mask.dtype == modes.dtype == np.uint8
        assert mask.max() < len(CLASSES) and modes.max() < MAX_MODES


def test_shares_of_the_classes(scenes):
    share = shares(scenes)
    assert max(share, key=share.get) == "field"
    assert all(share[name] > 0.1 for name in ("field", "tree", "water", "road"))
    assert 0.02 < share["building"] < 0.08
    assert all(0.007 < share[name] < 0.03 for name in RARE)
    assert share["car"] > share["panel"]


def test_pixels_follow_the_imbalance():
    """The ratio of the largest to the smallest class is near the argument, which orders it."""
    ratios = []
    for imbalance in (20, 60, 180):
        share = shares(draw(40, imbalance=imbalance))
        ratios.append(share["field"] / min(share.values()))
        assert imbalance / 1.5 < ratios[-1] < 1.5 * imbalance
    assert ratios == sorted(ratios)


@pytest.mark.parametrize("modes", [1, 2, 4])
def test_every_class_has_as_many_looks_as_asked(modes):
    scenes = draw(40, modes=modes)
    mask, found = (np.stack([getattr(scene, name) for scene in scenes]) for name in ("mask", "modes"))
    for class_id, name in enumerate(CLASSES):
        assert set(np.unique(found[mask == class_id])) == set(range(modes)), name


def test_looks_of_a_class_differ_more_than_one_look_varies(scenes):
    """The looks are visible: between them colours spread more than within one, over all images."""
    image, mask, modes = (np.stack(arrays) for arrays in zip(*scenes, strict=True))
    for class_id, name in enumerate(CLASSES):
        pixels = [
            image[(mask == class_id) & (modes == mode)].astype(float) for mode in range(len(LOOKS[name]))
        ]
        centres = np.stack([colours.mean(axis=0) for colours in pixels])
        distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
        assert distances[np.triu_indices(len(centres), 1)].min() > 15, name


def test_one_look_gives_the_layout_of_four():
    """`modes` alone changes what an experiment on it compares."""
    one, four = (draw(20, modes=modes) for modes in (1, 4))
    same = np.mean([np.mean(a.mask == b.mask) for a, b in zip(one, four, strict=True)])
    assert same > 0.6 and abs(shares(one)["field"] - shares(four)["field"]) < 0.05


def test_complete_scenes_contain_every_class_although_it_is_rare():
    scenes = draw(12, imbalance=500, complete=True)
    found = [len(np.unique(scene.mask)) for scene in scenes]
    assert np.mean(found) > len(CLASSES) - 1
    assert np.mean([len(np.unique(scene.mask)) for scene in draw(12, imbalance=500)]) < len(CLASSES) - 2


def test_rare_objects_are_large_enough_to_be_learned():
    """At the default size, no object is narrower than 7 pixels."""
    assert all(min(look.size) >= 7 for name in RARE for look in LOOKS[name])


def test_objects_stand_where_they_belong():
    """A boat has water around it, a car the road."""
    for scene in draw(20):
        for name, ground in (("boat", "water"), ("car", "road")):
            where = scene.mask == CLASSES.index(name)
            around = np.zeros_like(where)
            around[1:-1, 1:-1] = where[:-2, 1:-1] | where[2:, 1:-1] | where[1:-1, :-2] | where[1:-1, 2:]
            neighbours = scene.mask[around & ~where]
            assert np.sum(neighbours == CLASSES.index(ground)) >= 0.8 * len(neighbours)


def test_colours_of_the_palette_differ():
    distances = np.linalg.norm(PALETTE[:, None].astype(float) - PALETTE[None], axis=-1)
    assert PALETTE.shape == (len(CLASSES), 3) and distances[~np.eye(len(CLASSES), dtype=bool)].min() > 50


def test_a_change_of_the_scenes_has_a_new_version(scenes):
    """Whoever changes the scenes increases VERSION: a folder of older scenes must not pass for new ones."""
    assert VERSION == 4
    pixels = np.bincount(scenes[0].mask.ravel(), minlength=len(CLASSES))
    # Versions of OpenCV may draw an edge differently.
    np.testing.assert_allclose(pixels, [11614, 5387, 4140, 2003, 0, 552, 110, 424, 346], atol=40)
