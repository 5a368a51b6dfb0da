from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from usrn_keras.data import Dataset, Sample


def _samples(*names):
    return tuple(Sample(name, Path(f"{name}.jpg")) for name in names)


DATASET = Dataset(
    "x", ("a", "b"), np.zeros((2, 3), np.uint8), _samples("1", "2"), _samples("3"), _samples("4")
)


def test_num_classes():
    assert DATASET.num_classes == 2


def test_fingerprint_depends_on_the_names_in_each_list_alone():
    elsewhere = tuple(replace(sample, image=Path("elsewhere.png")) for sample in DATASET.labelled)
    assert replace(DATASET, labelled=elsewhere, name="y").fingerprint() == DATASET.fingerprint()
    others = {
        replace(DATASET, labelled=_samples("1"), unlabelled=_samples("2", "3")).fingerprint(),
        replace(DATASET, labelled=_samples("2", "1")).fingerprint(),
        replace(DATASET, val=(), test=_samples("4")).fingerprint(),
        DATASET.fingerprint(),
    }
    assert len(others) == 4


def test_fingerprint_is_stable_between_processes():
    assert DATASET.fingerprint() == "8fc04acd211d1707"
