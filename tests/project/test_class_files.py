"""Masks of one class each: found by their names, joined, refused where names do not tell."""

from __future__ import annotations

from pathlib import Path, PurePath

import cv2
import numpy as np
import pytest

from tests.project.made_folders import write_photo
from usrn_keras.data import load_dataset, read_mask
from usrn_keras.data.masks import Rules
from usrn_keras.errors import DataError
from usrn_keras.inspection import inspect_data
from usrn_keras.project import ProjectRequest, create_project
from usrn_keras.project.class_files import find_class_files
from usrn_keras.project.naming_rules import File
from usrn_keras.recipe import load_recipe

SHAPE = (24, 32)


def areas(seed):
    """Class ids `(height, width)`: 0, and two boxes of cat and dog."""
    ids = np.zeros(SHAPE, np.uint8)
    ids[4:12, seed : seed + 9] = 1
    ids[14:22, 20 - seed : 30 - seed] = 2
    return ids


def write_grey(path: Path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.asarray(values, np.uint8))


def make(root, pattern, *, masks="masks", white=255, photos="photos", labelled=6):
    for i in range(9):
        write_photo(root / f"{photos}/a_{i}.jpg", seed=i)
        for class_id, name in ((1, "cat"), (2, "dog")) if i < labelled else ():
            path = root / masks / pattern.format(name=f"a_{i}", label=name)
            write_grey(path, (areas(i) == class_id) * white)


def created(root, images="photos", masks="masks", **options):
    project = create_project(root / "p", ProjectRequest(root / images, root / masks, gpu=False, **options))
    return project, load_recipe(str(root / "p/p.toml"))


@pytest.mark.parametrize(
    "pattern",
    ["{name}_{label}.png", "{label}-{name}.png", "{label}/{name}.png", "{name}/{label}.png"],
)
@pytest.mark.parametrize("white", [1, 255])
def test_masks_are_joined_wherever_the_class_is_written(tmp_path, pattern, white):
    make(tmp_path, pattern, white=white)
    project, recipe = created(tmp_path)
    dataset = load_dataset(recipe.data)
    assert dataset.classes == ("background", "cat", "dog")
    assert [len(dataset.labelled), len(dataset.unlabelled), len(dataset.val)] == [5, 3, 1]
    for sample in (*dataset.labelled, *dataset.val):
        np.testing.assert_array_equal(read_mask(sample.mask, dataset), areas(int(sample.name[-1])))
    assert not inspect_data(recipe).errors
    assert any("12 black-and-white masks of one class each" in line for line in project.assumptions)


def test_in_the_folder_of_the_images(tmp_path):
    make(tmp_path, "{name}_{label}.png", masks="photos")
    _, recipe = created(tmp_path, masks="photos")
    dataset = load_dataset(recipe.data)
    assert [len(dataset.labelled), len(dataset.unlabelled), len(dataset.val)] == [5, 3, 1]


def test_pixels_of_two_classes_are_counted(tmp_path):
    make(tmp_path, "{name}_{label}.png")
    both = (areas(0) > 0) * 255
    write_grey(tmp_path / "masks/a_0_dog.png", both)
    project, _ = created(tmp_path)
    count = np.count_nonzero(areas(0) == 1)
    assert any(f"{count} pixels of 1 image(s) are in several classes" in note for note in project.notes)
    found = read_mask(tmp_path / "p/masks/a_0.png", Rules())
    assert set(np.unique(found)) == {0, 2} and (found == 2).sum() == np.count_nonzero(both)


def test_names_give_the_order(tmp_path):
    make(tmp_path, "{name}_{label}.png")
    (tmp_path / "names.txt").write_text("background\ndog\ncat\n")
    _, recipe = created(tmp_path, names=str(tmp_path / "names.txt"))
    assert load_dataset(recipe.data).classes == ("background", "dog", "cat")
    (tmp_path / "names.txt").write_text("background\ndog\n")
    with pytest.raises(DataError, match="--names does not list cat"):
        create_project(
            tmp_path / "q",
            ProjectRequest(tmp_path / "photos", tmp_path / "masks", names=str(tmp_path / "names.txt")),
        )
    assert not (tmp_path / "q").exists()


def test_other_files_of_an_image_are_no_classes(tmp_path):
    """Masks of ids with a picture of them beside are as ambiguous as before."""
    for i in range(6):
        write_photo(tmp_path / f"photos/a_{i}.jpg", seed=i)
        write_grey(tmp_path / f"masks/a_{i}_ids.png", areas(i))
        write_grey(tmp_path / f"masks/a_{i}_trainIds.png", areas(i))
    with pytest.raises(DataError, match="2 naming rules pair 6 images each"):
        created(tmp_path)


def test_numbers_may_be_objects(tmp_path):
    for i in range(6):
        write_photo(tmp_path / f"photos/a_{i}.jpg", seed=i)
        for value in (1, 2):
            write_grey(tmp_path / f"masks/a_{i}_{value}.png", (areas(i) == value) * 255)
    with pytest.raises(DataError, match="whether a number is a class or an object is not known"):
        created(tmp_path)


def test_a_mask_of_another_size_leaves_nothing_behind(tmp_path):
    make(tmp_path, "{name}_{label}.png")
    write_grey(tmp_path / "masks/a_1_dog.png", np.zeros((5, 5)))
    with pytest.raises(DataError, match=r"a_1_dog\.png is 5x5 pixels, its image"):
        created(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks", "photos"]


def test_each_file_is_looked_up_a_few_times(monkeypatch):
    """It was as often as there are masks, so that time grew with the square of the number of files."""
    names = [f"{number:03d}" for number in range(200)]
    images = [File("", name, Path(f"photos/{name}.png")) for name in names]
    masks = [File("cat", name, Path(f"masks/cat/{name}.png")) for name in names]  # of one class alone
    calls, hashed = [], PurePath.__hash__
    monkeypatch.setattr(PurePath, "__hash__", lambda path: calls.append(path) or hashed(path))
    assert find_class_files(images, masks) is None
    assert len(calls) < 10 * len(images + masks)
