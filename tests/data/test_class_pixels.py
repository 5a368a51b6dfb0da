from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.data import load_dataset
from usrn_keras.data.split import class_pixels
from usrn_keras.errors import DataError
from usrn_keras.recipe.schema import DataSection


@pytest.mark.parametrize("workers", [0, 2])
def test_counts_leave_ignored_pixels_out(folder, files, workers):
    files.mask(folder / "masks/b.png", np.array([[0, 2, 2], [255, 255, 255]], np.uint8))
    dataset = load_dataset(DataSection(dataset="folder", root=str(folder), val="val.txt"))
    counts = class_pixels(dataset.labelled, dataset, workers=workers)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, [[0, 192, 0], [1, 0, 2], [0, 192, 0]])


def test_every_mask_that_cannot_be_read_is_named(folder, files):
    files.mask(folder / "masks/a.png", 7)
    (folder / "masks/b.png").write_bytes(b"")
    dataset = load_dataset(DataSection(dataset="folder", root=str(folder), val="val.txt"))
    with pytest.raises(DataError, match="cannot be counted") as caught:
        class_pixels(dataset.labelled, dataset)
    assert [fault.rsplit("/", 1)[1] for fault in caught.value.errors] == [
        "a.png contains ids outside the 3 classes: 7",
        "b.png is empty",
    ]
