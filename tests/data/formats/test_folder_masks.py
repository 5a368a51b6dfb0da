from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from usrn_keras.data import load_dataset, read_mask
from usrn_keras.errors import DataError
from usrn_keras.recipe.schema import DataSection


def _load(root, **settings):
    return load_dataset(DataSection(dataset="folder", root=str(root), **{"val": "val.txt", **settings}))


def _names(samples):
    return [sample.name for sample in samples]


def _colour_masks(folder):
    colours = np.array([[0, 0, 0], [10, 200, 30], [255, 0, 255], [7, 7, 7]], np.uint8)
    (folder / "palette.txt").write_text("# sky, road, car\n0 0 0\n10 200 30\n\n255 0 255\n")
    for path in (folder / "masks").rglob("*.png"):
        Image.fromarray(colours[np.array([[0, 1, 2, 3]])]).save(path)


def test_masks_in_the_colours_of_the_palette(folder):
    _colour_masks(folder)
    dataset = _load(folder, mask_format="colours", ignore_colours=[[7, 7, 7]])
    assert dataset.ignore_index == 255 and dataset.id_map is None
    np.testing.assert_array_equal(
        dataset.colour_map[1:], [[10, 200, 30, 1], [255, 0, 255, 2], [7, 7, 7, 255]]
    )
    np.testing.assert_array_equal(read_mask(dataset.labelled[0].mask, dataset), [[0, 1, 2, 255]])
    dataset = _load(folder, mask_format="colours")
    with pytest.raises(DataError, match=r"a\.png contains colours of no class: 7 7 7 \(1 pixels\)"):
        read_mask(dataset.labelled[0].mask, dataset)


@pytest.mark.parametrize(
    ("palette", "ignored", "fault"),
    [
        (None, [], r"data.mask_format = 'colours' needs the file .*palette\.txt"),
        ("0 0 0\n1 1 1\n", [], "has 2 colours for 3 classes"),
        ("0 0 0\n1 1 1\n0 0 0\n", [], "`sky` and `car` have the same colour 0 0 0"),
        ("0 0 0\n1 1 1\n2 2 2\n", [[1, 1, 1]], "data.ignore_colours: 1 1 1 is the colour of class `road`"),
        ("0 0 0\n1 1 1\n2 2 2\n", [[1, 1]], r"each colour must be \[RED, GREEN, BLUE\], received \[1, 1\]"),
    ],
)
def test_faults_of_colours(folder, palette, ignored, fault):
    if palette is not None:
        (folder / "palette.txt").write_text(palette)
    with pytest.raises(DataError, match=fault):
        _load(folder, mask_format="colours", ignore_colours=ignored)


def test_values_of_the_classes_in_the_masks(folder, files):
    values = np.array([[0, 128, 255, 9]], np.uint8)
    files.mask(folder / "masks/a.png", values)
    dataset = _load(folder, mask_ids=[0, 255, 128], ignore_index=9)
    np.testing.assert_array_equal(read_mask(folder / "masks/a.png", dataset), [[0, 2, 1, 255]])
    dataset = _load(folder, mask_ids=[0, 255, 128], ignore_index=-1)
    with pytest.raises(DataError, match="outside the 3 ids of the data set: 9"):
        read_mask(folder / "masks/a.png", dataset)
    with pytest.raises(DataError, match=r"data\.mask_ids has 2 values for 3 classes"):
        _load(folder, mask_ids=[0, 255], ignore_index=9)


def test_without_ignore_index_255_is_not_allowed(folder, files):
    path = files.mask(folder / "masks/a.png", np.array([[0, 1, 2]], np.uint8))
    dataset = _load(folder, ignore_index=-1)
    assert dataset.ignore_index == 255
    np.testing.assert_array_equal(read_mask(path, dataset), [[0, 1, 2]])
    files.mask(path, np.array([[0, 255]], np.uint8))
    with pytest.raises(DataError, match="outside the 3 ids of the data set: 255"):
        read_mask(path, dataset)


def test_300_classes(folder, files):
    names = [f"c{number}" for number in range(300)]
    path = files.mask(folder / "masks/a.png", np.array([[0, 255, 299, 999]], np.uint16))
    for settings in ({"mask_ids": list(range(300)), "ignore_index": 999}, {"ignore_index": 999}):
        dataset = _load(folder, classes=names, **settings)
        mask = read_mask(path, dataset)
        assert mask.dtype == np.uint16 and mask[0, :3].tolist() == [0, 255, 299]
        assert mask[0, 3] == dataset.ignore_index == (65535 if "mask_ids" in settings else 999)
    with pytest.raises(DataError, match=r"data\.ignore_index = 255 is the id of class `c255`"):
        _load(folder, classes=names)
