"""Findings of several files, from made-up readings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from usrn_keras.data import Dataset, Sample
from usrn_keras.inspection.across_files import (
    absent_classes,
    black_and_white,
    case_collisions,
    duplicates,
    mixed_sizes,
    small_images,
)
from usrn_keras.inspection.data_findings import CLASS_NOT_LABELLED, CLASS_NOT_MEASURED
from usrn_keras.inspection.reading import Reading
from usrn_keras.recipe.schema import ViewsSection

DATASET = Dataset("x", ("road", "car"), np.zeros((2, 3), np.uint8), (), (), ())


def reading(split: str, name: str, digest: bytes | None = None, pixels=None, size=(40, 48)) -> Reading:
    sample = Sample(name, Path(f"{name}.png"), Path(f"{name}_mask.png"))
    return Reading(split, sample, size, digest, None if pixels is None else np.array(pixels))


def test_copies_across_splits_are_a_fault_within_one_a_note():
    found = duplicates(
        [
            reading("labelled", "a", b"1"),
            reading("labelled", "b", b"2"),
            reading("unlabelled", "c", b"2"),
            reading("val", "d", b"2"),
            reading("val", "e", b"3"),
            reading("val", "f", b"3"),
            reading("labelled", "g", b"4"),
            reading("unlabelled", "h", b"4"),
            reading("labelled", "i", b"5"),
            reading("unlabelled", "i", b"5"),  # the same file, as the Oracle has it
            reading("test", "unreadable"),
            reading("test", "unreadable too"),
        ]
    )
    assert [(finding.message, finding.is_error) for finding in found] == [
        ("labelled: b.png = unlabelled: c.png = val: d.png", True),
        ("val: e.png = val: f.png", False),
        ("labelled: g.png = unlabelled: h.png", False),
    ]


def test_names_that_one_file_system_takes_for_one():
    names = ["street/A", "street/a", "b", "Caf\u00e9", "Cafe\u0301", "c"]
    found = case_collisions([reading("labelled", name) for name in names])
    assert [finding.message.count(" and ") for finding in found] == [1, 1]
    assert case_collisions([reading("labelled", "a"), reading("val", "a")]) == []  # one name, not two


def test_absent_classes_by_split():
    readings = [
        reading("labelled", "a", pixels=[9, 0, 1]),
        reading("labelled", "b"),
        reading("val", "c", pixels=[0, 3, 0]),
        reading("unlabelled", "d"),
    ]
    labelled, val = absent_classes(readings, DATASET)
    assert (labelled.kind, val.kind) == (CLASS_NOT_LABELLED, CLASS_NOT_MEASURED)
    assert labelled.message == "car (id 1): no pixel in 1 labelled mask (1 more cannot be counted)"
    assert val.message == "road (id 0): no pixel in 1 val mask"
    assert absent_classes(readings[1:2], DATASET) == []  # nothing was counted


@pytest.mark.parametrize(
    ("pixels", "found"), [([5, 0, 3], True), ([5, 1, 3], False), ([0, 0, 3], False), ([5, 0, 0], False)]
)
def test_black_and_white_masks(pixels, found):
    readings = [reading("labelled", "a", pixels=[4, 0, 0]), reading("val", "b", pixels=pixels)]
    readings[0].pixels[0] = pixels[0]
    assert bool(black_and_white(readings, DATASET)) == found
    assert not black_and_white(readings, replace(DATASET, id_map=np.array([0, 1])))


def test_small_images_of_training_alone():
    views = ViewsSection(crop_size=96, long_side=100)
    readings = [
        reading("labelled", "just", size=(10, 48)),
        reading("unlabelled", "small", size=(25, 20)),
        reading("val", "held out", size=(2, 2)),
        reading("labelled", "unreadable", size=None),
    ]
    (found,) = small_images(readings, views)
    assert found.message == "small.png is 20x25 pixels, the crop 96x96: enlarged 4.0 times at scale 1"


def test_one_note_on_sizes():
    same = [reading("labelled", "a"), reading("val", "b"), reading("test", "unreadable", size=None)]
    assert mixed_sizes(same, ViewsSection()) == []
    (found,) = mixed_sizes([*same, reading("val", "c", size=(10, 300))], ViewsSection())
    assert found.message == "2 sizes from 48x40 to 300x10, most often 48x40 (2 of 3 images)"
