"""`usrn init --masks SOURCE` where SOURCE is annotations of a labelling tool."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.data.annotations.made_sources import write_json, write_photos
from tests.data.annotations.test_coco import annotation, document, image
from tests.tools import shared
from usrn_keras.data import load_dataset, read_mask
from usrn_keras.errors import DataError
from usrn_keras.project import ProjectRequest, create_project
from usrn_keras.recipe import load_recipe


def created(tmp_path, images, masks, **options):
    """The project, and the data set that its recipe loads."""
    project = create_project(tmp_path / "p", ProjectRequest(images, masks, gpu=False, **options))
    return project, load_dataset(load_recipe(str(tmp_path / "p/p.toml")).data)


def make_source(tmp_path, part="", count=8):
    names = [f"{part}{index}.jpg" for index in range(count)]
    photos = write_photos(tmp_path / f"photos{part}", *names)
    polygons = [
        annotation(index, category, [[x, 4, x + 9, 4, x + 9, 15, x, 15]])
        for index in range(5)
        for category, x in ((7, 2), (3, 18))
    ]
    coco = document([image(index, name) for index, name in enumerate(names)], polygons)
    return photos, write_json(tmp_path / f"labels{part}.json", coco)


def test_masks_lie_in_the_project(tmp_path):
    project, dataset = created(tmp_path, *make_source(tmp_path))
    assert dataset.classes == ("background", "cat", "dog")
    assert len(dataset.labelled) == 4 and len(dataset.val) == 1 and len(dataset.unlabelled) == 3
    mask = read_mask(dataset.labelled[0].mask, dataset)
    assert dataset.labelled[0].mask.parent == tmp_path / "p/masks"
    assert (mask[4:15, 2:11] == 2).all() and (mask[4:15, 18:27] == 1).all() and (mask == 0).sum() == 768 - 198
    assert f"the masks are drawn from COCO JSON: {tmp_path}/labels.json" in project.assumptions
    (tmp_path / "p").rename(tmp_path / "p2")  # nothing refers to the old place
    moved = load_dataset(load_recipe(str(tmp_path / "p2/p.toml")).data)
    assert moved.labelled[0].mask.parent == tmp_path / "p2/masks"


def test_names_and_ignored_labels(tmp_path):
    (tmp_path / "names.txt").write_text("background\ndog\nhorse\n")
    options = {"names": str(tmp_path / "names.txt"), "ignore": ("cat",)}
    _, dataset = created(tmp_path, *make_source(tmp_path), **options)
    assert dataset.classes == ("background", "dog", "horse")
    mask = read_mask(dataset.labelled[0].mask, dataset)
    assert (mask[4:15, 2:11] == 1).all() and (mask[4:15, 18:27] == dataset.ignore_index).all()


def test_a_separate_val_folder_has_its_own_annotations(tmp_path):
    val, val_labels = make_source(tmp_path, "val")
    options = {"val": str(val), "val_masks": str(val_labels)}
    _, dataset = created(tmp_path, *make_source(tmp_path), **options)
    assert len(dataset.val) == 5 and dataset.val[0].mask.parent == tmp_path / "p/val_masks"


def test_an_error_leaves_no_project(tmp_path):
    photos, labels = make_source(tmp_path)
    write_json(labels, document([image(0, "0.jpg")], [annotation(0, 5, [[1, 1, 5, 1, 5, 5]])]))
    with pytest.raises(DataError, match="cannot be imported; nothing was written"):
        created(tmp_path, photos, labels)
    assert not (tmp_path / "p").exists() and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("images", "masks", "exact"),
    [
        ("labelme_json/data", "labelme_json/data", False),
        ("coco_json/images", "coco_json/instances_polygons.json", False),
        ("coco_json/images", "coco_json/instances_rle.json", True),
        ("cvat_labelmap/export/JPEGImages", "cvat_labelmap/export", True),
    ],
)
def test_cases_of_public_reports(images, masks, exact, tmp_path):
    """8 masks and 4 unlabelled images; polygons may differ by a pixel at their outlines."""
    _, dataset = created(tmp_path, shared("cases") / images, shared("cases") / masks)
    assert dataset.classes == ("background", "cat", "dog") and len(dataset.unlabelled) == 4
    found = (*dataset.labelled, *dataset.val)
    assert len(found) == 8
    right = shared("cases") / ("coco_json" if "cvat" in masks else masks.split("/")[0]) / "right"
    for sample in found:
        number = int("".join(filter(str.isdigit, sample.name)))
        (file,) = (path for path in right.iterdir() if int("".join(filter(str.isdigit, path.stem))) == number)
        with Image.open(file) as opened:
            expected = np.asarray(opened).astype(int)
        wrong = read_mask(sample.mask, dataset) != expected
        edges = sum(np.diff(expected, axis=axis).astype(bool).sum() for axis in (0, 1))
        assert not wrong.any() if exact else wrong.sum() < edges
