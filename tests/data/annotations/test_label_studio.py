from __future__ import annotations

import cv2
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
from usrn_keras.data.annotations.label_studio import image_names, label_studio_task
from usrn_keras.data.annotations.regions import inside_ellipse
from usrn_keras.data.annotations.run_lengths import encode_brush

SIZE = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
RECTANGLE = {"x": 25.0, "y": 25.0, "width": 50.0, "height": 25.0, "rotation": 0}


def result(kind, value, label="cat"):
    return {"type": kind, "from_name": "tag", "to_name": "image", **SIZE, "value": {**value, kind: [label]}}


def task(*results, number=1, name="a.jpg", **keys):
    data = {"image": f"/data/upload/2/0a1b2c3d-{name}", "camera": "left"}
    return {"id": number, "data": data, "annotations": [{"id": 10 + number, "result": list(results), **keys}]}


def one(tmp_path, *tasks):
    photos = write_photos(tmp_path / "photos", "a.jpg")
    return write_json(tmp_path / "project.json", list(tasks)), photos


SHAPES = {
    "rectanglelabels": (RECTANGLE, box(8, 6, 16, 6)),
    "polygonlabels": ({"points": [[25, 25], [75, 25], [75, 50], [25, 50]], "closed": True}, box(8, 6, 16, 6)),
    "brushlabels": ({"format": "rle", "rle": encode_brush(box(3, 4, 5, 6) > 0)}, box(3, 4, 5, 6)),
    "ellipselabels": (
        {"x": 50, "y": 50, "radiusX": 25, "radiusY": 25, "rotation": 0},
        inside_ellipse((16, 12), (8, 6), 0, HEIGHT, WIDTH),
    ),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_every_kind_of_region(kind, tmp_path):
    value, expected = SHAPES[kind]
    report, masks = imported(*one(tmp_path, task(result(kind, value))))
    assert np.array_equal(masks["a"], expected) and report.classes == ("background", "cat")


def test_a_rectangle_turns_about_its_corner(tmp_path):
    """Clockwise by 90 degrees about the upper left corner."""
    turned = {"x": 50.0, "y": 25.0, "width": 25.0, "height": 25.0, "rotation": 90}
    expected = box(10, 6, 6, 8)  # 8 x 6 pixels at (16, 6) lie below and to the left of it
    assert np.array_equal(imported(*one(tmp_path, task(result("rectanglelabels", turned))))[1]["a"], expected)


def test_json_min_and_separate_labels(tmp_path):
    smallest = {
        "image": "/data/local-files/?d=photos/a.jpg",
        "id": 3,
        "tag": [{**RECTANGLE, **SIZE, "rectanglelabels": ["cat"]}],
        "annotation_id": 5,
    }
    assert np.array_equal(imported(*one(tmp_path, smallest))[1]["a"], box(8, 6, 16, 6))
    pair = [
        {"id": "r", "type": "rectangle", **SIZE, "value": RECTANGLE},
        {"id": "r", "type": "labels", **SIZE, "value": {**RECTANGLE, "labels": ["cat"]}},
        {"id": "c", "type": "choices", "value": {"choices": ["blurred"]}},
    ]
    report, masks = imported(*one(tmp_path, task(*pair)), tmp_path / "second")
    assert np.array_equal(masks["a"], box(8, 6, 16, 6))
    assert "1 results of the type choices are not regions, and not read" in report.notes


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/1/0a1b2c3d-street%20a.jpg",
        "/data/local-files/?d=photos/street%20a.jpg",
        "s3://bucket/photos/street a.jpg",
        "https://host.example/photos/street%20a.jpg?size=full",
    ],
)
def test_the_image_of_a_task(address):
    names = image_names({"data": {"image": address}})
    assert names[-1].rsplit("/", 1)[-1] == "street a.jpg"


def test_the_way_back(tmp_path):
    labels = np.random.default_rng(0).integers(0, 3, (HEIGHT, WIDTH)).astype(np.uint8)
    back = label_studio_task(1, "photos/a.jpg", labels, {0: "background", 1: "cat", 2: "dog"})
    assert np.array_equal(imported(*one(tmp_path, back))[1]["a"], labels)


def test_two_annotations_of_a_task_and_skipped_ones(tmp_path):
    twice = task(result("rectanglelabels", RECTANGLE))
    twice["annotations"] *= 2
    message = problems(*one(tmp_path, twice))
    assert "project.json, [0].annotations: 2 annotations of one image (ids 11, 11); allowed is one" in message
    twice["annotations"][1] = {**twice["annotations"][0], "was_cancelled": True}
    report, masks = imported(*one(tmp_path, twice))
    assert np.array_equal(masks["a"], box(8, 6, 16, 6))
    assert "1 skipped annotations (`was_cancelled`) are not read" in report.notes


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (
            {"format": "rle", "rle": [1, 2]},
            "brushlabels",
            "[0].annotations[0].result[0].value.rle: the run lengths are",
        ),
        (
            {"format": "rle", "rle": [0, 0, 0, 8, *[0] * 9]},
            "brushlabels",
            "hold 8 values; 32x24 pixels of 4 channels",
        ),
        ({"points": [[1, 1], [2, 2]]}, "polygonlabels", "a polygon must have 3 or more points, received 2"),
        (
            {"points": [[110, 1], [120, 2], [130, 9]]},
            "polygonlabels",
            "lies outside the image of 32x24 pixels",
        ),
        (
            {**RECTANGLE, "width": "wide"},
            "rectanglelabels",
            "result[0], value.width: input should be a valid number",
        ),
        ({"radiusX": 5, "x": 4, "y": 4, "radiusY": 0}, "ellipselabels", "radiusX and radiusY above 0"),
    ],
)
def test_damaged_regions_are_named(value, kind, message, tmp_path):
    assert message in problems(*one(tmp_path, task(result(kind, value))))


def test_png_files_of_a_brush_export(tmp_path):
    """They name the task, and the JSON export beside them the image of the task."""
    photos = write_photos(tmp_path / "photos", "a.jpg")
    folder = tmp_path / "export"
    folder.mkdir()
    for index, (label, mask) in enumerate((("dog", box(2, 2, 5, 5)), ("cat", box(10, 10, 4, 4)))):
        cv2.imwrite(str(folder / f"task-1-annotation-11-by-me@x.org-tag-{label}-{index}.png"), 255 * mask)
    message = problems(folder, photos)
    assert (
        "the image of the task 1 is not known: put the JSON export of the project into the folder" in message
    )
    write_json(folder / "project.json", [task()])
    report, masks = imported(folder, photos)
    assert report.classes == ("background", "cat", "dog")
    assert np.array_equal(masks["a"], box(10, 10, 4, 4, 1, box(2, 2, 5, 5, 2)))


def test_tasks_without_a_region_are_explained(tmp_path):
    """The task list of a brush export of PNG files, given alone."""
    tasks = [{"id": 1, "image": "/data/upload/1/0a1b2c3d-a.jpg", "annotation_id": 41}]
    problem = problems(*one(tmp_path, *tasks))
    assert "project.json: no task has a region. If the masks are the PNG files" in problem
