from __future__ import annotations

import numpy as np
import pytest

from tests.data.annotations.made_sources import (
    HEIGHT,
    WIDTH,
    box,
    imported,
    problems,
    write_json,
    write_photos,
)
from usrn_keras.data.annotations.coco import coco_annotations
from usrn_keras.data.annotations.run_lengths import encode_counts, format_counts

CATEGORIES = ({"id": 7, "name": "dog"}, {"id": 3, "name": "cat"})
SQUARE = [[4, 4, 9, 4, 9, 9, 4, 9]]


def image(number, name, **keys):
    return {"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH, **keys}


def annotation(number, category, segmentation, **keys):
    return {"id": 1, "image_id": number, "category_id": category, "segmentation": segmentation, **keys}


def document(images, annotations, categories=CATEGORIES):
    return {"images": list(images), "annotations": list(annotations), "categories": list(categories)}


IMAGES = (image(1, "a.jpg"),)


def source(tmp_path, *annotations, images=IMAGES, **keys):
    write_photos(tmp_path / "photos", *{entry["file_name"] for entry in images})
    return write_json(tmp_path / "instances.json", document(images, annotations, **keys)), tmp_path / "photos"


def test_ids_with_gaps_become_classes_in_their_order(tmp_path):
    report, masks = imported(
        *source(tmp_path, annotation(1, 7, SQUARE), annotation(1, 3, [[8, 8, 12, 8, 12, 12, 8, 12]]))
    )
    assert report.classes == ("background", "cat", "dog")
    assert np.array_equal(masks["a"], box(8, 8, 4, 4, 1, box(4, 4, 5, 5, 2)))
    assert report.overlapping == {"a.png": 1}


def test_all_segmentations_as_pycocotools_reads_them(tmp_path):
    """Several polygons of an object, run lengths plain and compressed, a crowd."""
    pytest.importorskip("pycocotools")
    from pycocotools import mask as masks_of_coco

    rng = np.random.default_rng(0)
    random = rng.random((HEIGHT, WIDTH)) < 0.3
    two = [rng.uniform(0, 24, 10).round(2).tolist(), SQUARE[0]]
    plain = {"size": [HEIGHT, WIDTH], "counts": encode_counts(random)}
    compressed = {"size": [HEIGHT, WIDTH], "counts": format_counts(encode_counts(~random))}
    for index, (segmentation, crowd) in enumerate([(two, 0), (plain, 1), (compressed, 0)]):
        file, photos = source(tmp_path, annotation(1, 3, segmentation, iscrowd=crowd))
        report, masks = imported(file, photos, tmp_path / f"masks{index}")
        code = segmentation
        if isinstance(segmentation, list):
            code = masks_of_coco.merge(masks_of_coco.frPyObjects(segmentation, HEIGHT, WIDTH))
        elif isinstance(segmentation["counts"], list):
            code = masks_of_coco.frPyObjects(segmentation, HEIGHT, WIDTH)
        assert np.array_equal(masks["a"], masks_of_coco.decode(code)) and masks["a"].any()
        assert ("1 crowd regions (`iscrowd`) are drawn as their class" in report.notes) == bool(crowd)


def test_images_in_folders_and_without_annotations(tmp_path):
    images = [image(1, "street/a.jpg"), image(2, "park/a.jpg"), image("x", "park/b.jpg")]
    report, masks = imported(
        *source(tmp_path, annotation("x", 3, SQUARE), annotation(2, 7, SQUARE), images=images)
    )
    assert sorted(masks) == ["park/a", "park/b"]
    assert report.without_annotation == ("street/a.jpg",)
    assert "1 images without a shape are not annotated" in report.notes[0]


def test_the_way_back(tmp_path):
    labels = np.random.default_rng(1).integers(0, 3, (HEIGHT, WIDTH)).astype(np.uint8)
    names = {0: "background", 1: "cat", 2: "dog"}
    categories = [{"id": key + 1, "name": name} for key, name in names.items()]
    found = coco_annotations(1, labels, names, 1)
    report, masks = imported(*source(tmp_path, *found, categories=categories))
    assert np.array_equal(masks["a"], labels) and report.classes == tuple(names.values())


def test_roboflow_has_a_group_of_its_classes_and_keeps_names(tmp_path):
    categories = [
        {"id": 0, "name": "animals", "supercategory": "none"},
        {"id": 1, "name": "cat", "supercategory": "animals"},
    ]
    photos = write_photos(tmp_path / "photos", "a.jpg", "b.jpg")
    for part, name in (("train", "a"), ("valid", "b")):
        entry = image(0, f"{name}_jpg.rf.4f1c.jpg", extra={"name": f"{name}.jpg"})
        write_json(
            tmp_path / f"export/{part}/_annotations.coco.json",
            document([entry], [annotation(0, 1, SQUARE)], categories),
        )
    report, masks = imported(tmp_path / "export", photos)
    assert report.classes == ("background", "cat") and sorted(masks) == ["a", "b"]
    assert "the category 0, `animals`, is the group of the others, and not a class" in report.notes


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (annotation(9, 3, SQUARE), "annotations[0].image_id: 9 is the id of no entry of `images`"),
        (
            annotation(1, 4, SQUARE),
            "instances.json, annotations[0].category_id: 4 is the id of no category; allowed are 3 cat, "
            "7 dog",
        ),
        (
            annotation(1, 3, []),
            "1 annotations have no `segmentation`, such as instances.json, annotations[0]",
        ),
        (annotation(1, 3, [[1, 1, 2, 2]]), "annotations[0].segmentation: must be polygons"),
        (annotation(1, 3, [[1, 1, 2, 2, 3, None]]), "annotations[0].segmentation: must be polygons"),
        (
            annotation(1, 3, {"size": [24, 31], "counts": [744]}),
            "segmentation.size: [24, 31] must be the height and width of a.jpg, [24, 32]",
        ),
        (
            annotation(1, 3, {"size": [24, 32], "counts": [700, 2**61]}),
            f"annotations[0].segmentation.counts: the run lengths add up to {700 + 2**61}; they must add "
            "up to 24 x 32 = 768 pixels",
        ),
        (
            annotation(1, 3, {"size": [24, 32], "counts": "PPo"}),
            "counts: the compressed run lengths end within",
        ),
        (annotation(1, 3, {"counts": [768]}), "annotations[0].segmentation, size: field required"),
        (
            annotation(1, 3, [[90, 4, 95, 4, 95, 9]]),
            "segmentation: the point 90, 4 lies outside the image of 32x24",
        ),
        (annotation(1, 3, [[34, 4, 40, 4, 40, 9]]), "segmentation: the point 34, 4 lies outside the image"),
        (annotation(1, "cat", SQUARE), "annotations[0].category_id: input should be a valid integer"),
    ],
)
def test_damaged_annotations_are_named(bad, message, tmp_path):
    assert message in problems(*source(tmp_path, bad))


@pytest.mark.parametrize("second", [1, 2])
def test_images_that_are_listed_twice(second, tmp_path):
    """With the same id or another one: the shapes of both entries are those of the image."""
    images = [image(1, "a.jpg"), image(second, "a.jpg")]
    shapes = [annotation(1, 3, SQUARE), annotation(second, 7, [[20, 4, 25, 4, 25, 9, 20, 9]])]
    report, masks = imported(*source(tmp_path, *shapes, images=images))
    assert np.array_equal(masks["a"], box(20, 4, 5, 5, 2, box(4, 4, 5, 5)))
    assert "1 entries of `images` repeat a file name; the shapes of all entries are drawn" in report.notes


def test_images_that_contradict_each_other(tmp_path):
    images = [image(1, "a.jpg"), image(1, "b.jpg"), image(2, "b.jpg") | {"width": 5}]
    message = problems(*source(tmp_path, annotation(1, 3, SQUARE), images=images))
    assert "images[1].id: 1 is also the id of a.jpg" in message
    assert "images[2]: b.jpg has two sizes, (24, 32) and (24, 5)" in message


def test_two_files_about_one_image(tmp_path):
    photos = source(tmp_path, annotation(1, 3, SQUARE))[1]
    folder = tmp_path / "both"
    for name in ("first", "second"):
        write_json(folder / f"{name}.json", document([image(1, "a.jpg")], [annotation(1, 3, SQUARE)]))
    message = problems(folder, photos)
    assert "first.json, a.jpg and second.json, a.jpg are two annotations of a.jpg; allowed is one" in message


def test_panoptic_and_captions_are_told_apart(tmp_path):
    file, photos = source(tmp_path, {"image_id": 1, "segments_info": [], "category_id": 3})
    assert "instances.json is COCO panoptic JSON" in problems(file, photos)
    write_json(file, {"images": [image(1, "a.jpg")], "annotations": [{"image_id": 1, "caption": "a cat"}]})
    assert "instances.json: COCO JSON without `categories`" in problems(file, photos)
