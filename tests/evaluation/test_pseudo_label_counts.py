"""Counts of pseudo labels against loops over pixels."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from usrn_keras.evaluation.pseudo_label_quality import PseudoLabelCounts

CLASSES, GAMMA = 4, 0.7


def random_labels(seed: int, size: tuple[int, int] = (5, 6)) -> dict[str, np.ndarray]:
    """Random pseudo labels of two branches for an image; class 3 is never predicted."""
    rng = np.random.default_rng(seed)
    ids = {name: rng.integers(0, 3, size) for name in ("labels", "own_labels", "sub_labels")}
    shares = ("confidence", "own_confidence", "sub_confidence", "entropy", "sub_entropy")
    return (
        ids | {name: rng.random(size).astype("float32") for name in shares} | {"open": rng.random(size) < 0.5}
    )


def truth(seed: int, size: tuple[int, int] = (5, 6)) -> np.ndarray:
    return np.random.default_rng(seed + 100).integers(-1, CLASSES, size)


def pixels_of(seeds: list[int]) -> list[dict]:
    """One dict for each pixel, with its true class."""
    found = []
    for seed in seeds:
        values, labels = random_labels(seed), truth(seed)
        for place in np.ndindex(labels.shape):
            found.append({name: array[place] for name, array in values.items()} | {"truth": labels[place]})
    return found


def tally(pixels: list[dict], of: str, where: Callable[[dict], bool], weight: str = "") -> list:
    sums = [0] * CLASSES
    for pixel in pixels:
        if where(pixel):
            sums[pixel[of]] += pixel[weight] if weight else 1
    return sums


def confident(pixel: dict) -> bool:
    return pixel["confidence"] > GAMMA


def dropped(pixel: dict) -> bool:
    return pixel["own_confidence"] > GAMMA and not confident(pixel)


def overridden(pixel: dict) -> bool:
    return confident(pixel) and pixel["labels"] != pixel["own_labels"]


def counted(seeds: list[int], masks: bool = True) -> PseudoLabelCounts:
    counts = PseudoLabelCounts(CLASSES, GAMMA)
    for seed in seeds:
        counts.add(random_labels(seed), truth(seed) if masks else None)
    return counts


@pytest.mark.parametrize(
    ("group", "of", "lost_of"),
    [("by_pseudo_label", "labels", "own_labels"), ("by_true_class", "truth", "truth")],
)
def test_sums_per_class(group, of, lost_of):
    pixels = pixels_of([1, 2])
    if of == "truth":
        pixels = [pixel for pixel in pixels if pixel["truth"] >= 0]
    sums = getattr(counted([1, 2]), group)
    assert sums["pixels"].tolist() == tally(pixels, of, lambda pixel: True)
    assert sums["confident"].tolist() == tally(pixels, of, confident)
    assert sums["confident_sub"].tolist() == tally(pixels, of, lambda pixel: pixel["sub_confidence"] > GAMMA)
    assert sums["open"].tolist() == tally(pixels, of, lambda pixel: pixel["open"])
    assert sums["dropped"].tolist() == tally(pixels, lost_of, dropped)
    assert sums["overridden"].tolist() == tally(pixels, lost_of, overridden)
    np.testing.assert_allclose(sums["entropy"], tally(pixels, of, lambda pixel: True, "entropy"), rtol=1e-5)
    np.testing.assert_allclose(
        sums["entropy_sub"], tally(pixels, of, lambda pixel: True, "sub_entropy"), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("source", "label", "where"),
    [
        ("corrected", "labels", confident),
        ("own", "own_labels", lambda pixel: pixel["own_confidence"] > GAMMA),
        ("sub", "sub_labels", lambda pixel: pixel["sub_confidence"] > GAMMA),
        ("dropped", "own_labels", dropped),
    ],
)
def test_correct_labels_among_the_chosen(source, label, where):
    pixels = [pixel for pixel in pixels_of([1, 2]) if pixel["truth"] >= 0]
    found = counted([1, 2]).quality[source]
    assert found["chosen"].tolist() == tally(pixels, label, where)
    assert found["right"].tolist() == tally(
        pixels, label, lambda pixel: where(pixel) and pixel[label] == pixel["truth"]
    )
    assert found["chosen"].sum() > found["right"].sum() > 0


def test_images_without_masks_count_by_pseudo_label_alone():
    counts = counted([1, 2], masks=False)
    assert (counts.images, counts.masks) == (2, 0)
    assert counts.by_pseudo_label["pixels"].sum() == 60
    assert counts.by_true_class["pixels"].sum() == 0
    assert all(sums["chosen"].sum() == 0 for sums in counts.quality.values())


def test_a_record_is_json_with_all_counts():
    record = json.loads(json.dumps(counted([1]).to_record()))
    assert set(record) == {"images", "masks", "threshold", "by_pseudo_label", "by_true_class", "quality"}
    assert (record["images"], record["masks"], record["threshold"]) == (1, 1, GAMMA)
    assert sum(record["by_pseudo_label"]["pixels"]) == 30
    assert set(record["quality"]) == {"corrected", "own", "sub", "dropped"}


def test_a_method_without_a_second_branch_has_no_correction():
    counts = PseudoLabelCounts(CLASSES, GAMMA)
    for seed in (1, 2):
        found = random_labels(seed)
        counts.add(
            {name: found[name] for name in ("labels", "confidence", "own_labels", "entropy")}, truth(seed)
        )
    both = counted([1, 2])
    assert set(counts.by_pseudo_label) == {"pixels", "confident", "entropy"}
    for name in counts.by_pseudo_label:
        np.testing.assert_array_equal(counts.by_pseudo_label[name], both.by_pseudo_label[name])
        np.testing.assert_array_equal(counts.by_true_class[name], both.by_true_class[name])
    assert set(counts.quality) == {"corrected"}
    np.testing.assert_array_equal(counts.quality["corrected"]["right"], both.quality["corrected"]["right"])
