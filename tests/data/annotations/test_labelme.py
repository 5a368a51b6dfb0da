from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.data.annotations.made_sources import (
    HEIGHT,
    WIDTH,
    box,
    imported,
    problems,
    write_json,
    write_photos,
)
from usrn_keras.data.annotations.labelme import labelme_document


def document(*shapes, image="a.jpg", **keys):
    return {
        "version": "5.4.1",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": image,
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
        **keys,
    }


def shape(label, points, kind="polygon", **keys):
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **keys}


DRAWN = {  # as labelme.utils.shape_to_mask draws
    "polygon": ([[4, 3], [20.6, 5.2], [9, 19]], lambda p, xy: p.polygon(xy, outline=1, fill=1)),
    "rectangle": ([[18, 12], [5, 3]], lambda p, xy: p.rectangle([5, 3, 18, 12], outline=1, fill=1)),
    "circle": ([[12, 10], [12, 15]], lambda p, xy: p.ellipse([7, 5, 17, 15], outline=1, fill=1)),
    "line": ([[4, 4], [25, 18]], lambda p, xy: p.line(xy, fill=1, width=10)),
    "linestrip": ([[4, 4], [25, 4], [25, 20]], lambda p, xy: p.line(xy, fill=1, width=10)),
    "point": ([[12, 10]], lambda p, xy: p.ellipse([7, 5, 17, 15], outline=1, fill=1)),
}


@pytest.mark.parametrize("kind", DRAWN)
def test_every_type_of_shape_as_labelme_draws_it(kind, tmp_path):
    points, draw = DRAWN[kind]
    photos = write_photos(tmp_path / "photos", "a.jpg")
    write_json(photos / "a.json", document(shape("cat", points, kind)))
    report, masks = imported(photos, photos)
    expected = Image.new("L", (WIDTH, HEIGHT))
    draw(ImageDraw.Draw(expected), [tuple(point) for point in points])
    assert np.array_equal(masks["a"], np.asarray(expected)) and masks["a"].any()
    assert report.classes == ("background", "cat")


def test_a_shape_without_a_type_is_a_polygon(tmp_path):
    """As in version 3 of the format; the size is that of the photograph."""
    photos = write_photos(tmp_path / "photos", "a.jpg")
    old = {"shapes": [{"label": "cat", "points": [[2, 3], [9, 3], [9, 6], [2, 6]]}], "imagePath": "a.jpg"}
    write_json(photos / "a.json", old)
    assert np.array_equal(imported(photos, photos)[1]["a"], box(2, 3, 8, 4))


def test_later_shapes_cover_earlier_ones_and_labels_are_sorted(tmp_path):
    photos = write_photos(tmp_path / "photos", "a.jpg", "b.jpg")
    dog = shape("dog", [[2, 2], [12, 12]], "rectangle")
    cat = shape("cat", [[8, 8], [20, 20]], "rectangle")
    ignored = shape("__ignore__", [[0, 0], [3, 3]], "rectangle")
    write_json(photos / "a.json", document(dog, cat, ignored))
    report, masks = imported(photos, photos)
    expected = box(0, 0, 4, 4, 255, box(8, 8, 13, 13, 1, box(2, 2, 11, 11, 2)))
    assert np.array_equal(masks["a"], expected)
    assert report.classes == ("background", "cat", "dog")
    assert report.overlapping == {"a.png": 25 + 4} and report.without_annotation == ("b.jpg",)
    assert report.ignored == 16 and "labels without a class: __ignore__" in report.notes


def test_masks_of_shapes_and_the_way_back(tmp_path):
    photos = write_photos(tmp_path / "photos", "a.jpg")
    labels = np.random.default_rng(0).integers(0, 4, (HEIGHT, WIDTH)).astype(np.uint8)
    labels[labels == 3] = 255
    names = {0: "background", 1: "cat", 2: "dog", 255: "__ignore__"}
    write_json(tmp_path / "json/a.json", labelme_document("../photos/a.jpg", labels, names))
    assert np.array_equal(imported(tmp_path / "json", photos)[1]["a"], labels)


@pytest.mark.parametrize("path", ["a.jpg", r"..\..\elsewhere\a.jpg", "/home/other/pictures/b.jpg", "a.png"])
def test_the_image_of_a_json_file(path, tmp_path):
    """Found by `imagePath`, which may lead to where the image was, and else by the name of the file."""
    photos = write_photos(tmp_path / "photos", "a.jpg")
    write_json(tmp_path / "json/a.json", document(shape("cat", [[2, 3], [4, 5]], "rectangle"), image=path))
    assert np.array_equal(imported(tmp_path / "json", photos)[1]["a"], box(2, 3, 3, 3))


def test_folders_of_labelme_json_to_dataset(tmp_path):
    """The ids differ from image to image, and label_names.txt says what they mean."""
    photos = write_photos(tmp_path / "photos", "a.jpg", "b.jpg")
    for name, values in (("a", ("_background_", "dog")), ("b", ("_background_", "cat", "dog"))):
        folder = tmp_path / f"labels/{name}_json"
        folder.mkdir(parents=True)
        mask = Image.fromarray(box(4, 4, 5, 5, len(values) - 1))
        mask.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        mask.save(folder / "label.png")
        (folder / "label_names.txt").write_text("".join(f"{value}\n" for value in values))
    report, masks = imported(tmp_path / "labels", photos)
    assert report.classes == ("background", "cat", "dog")
    assert np.array_equal(masks["a"], box(4, 4, 5, 5, 2)) and np.array_equal(masks["b"], masks["a"])
    Image.new("RGB", (32, 24)).save(folder / "img.png")
    message = problems(tmp_path / "labels", tmp_path / "labels")
    assert (
        "(LabelMe folders with label.png), such as a_json/label.png" in message
        and "mkdir photos; for d" in message
    )
    (folder / "label_names.txt").write_text("_background_\ncat\n")
    message = problems(tmp_path / "labels", photos, replace=True)
    assert "b_json/label.png contains the value 2; allowed are 0 to 1" in message


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (shape("cat", [[1, 1], [5, 5]]), "shapes[0]: a polygon must have 3 or more points, received 2"),
        (
            shape("cat", [[1, 1]], "cuboid"),
            "shapes[0]: the shape type 'cuboid' is not known; allowed are polygon",
        ),
        (shape("", [[1, 1]], "point"), "shapes[0].label: string should have at least 1 character"),
        (shape("cat", [[1, "x"]], "point"), "shapes[0].points[0][1]: input should be a valid number"),
        (
            shape("cat", [[1, float("nan")]], "point"),
            "shapes[0].points[0][1]: input should be a finite number",
        ),
        (shape("cat", [[1, 1], [5, 5]], "mask"), "must have `mask`, a PNG in base64"),
        (shape("cat", [[1, 1], [5, 5]], "mask", mask="!!"), "shapes[0].mask: not base64"),
        (shape("cat", [[1, 1], [5, 5]], "mask", mask="AAAA"), "shapes[0].mask: the data is not a PNG file"),
        (
            shape("cat", [[500, 20], [600, 20], [600, 30]]),
            "a.json, shapes[0]: the point 500, 20 lies outside the image of 32x24 pixels; allowed "
            "are x 0 to 32 and y 0 to 24",
        ),
        (shape("cat", [[4, 4], [9, 9], [9e30, 5]]), "shapes[0]: the point 9e+30, 5 lies outside the image"),
    ],
)
def test_damaged_shapes_are_named(bad, message, tmp_path):
    photos = write_photos(tmp_path / "photos", "a.jpg")
    write_json(photos / "a.json", document(bad))
    assert message in problems(photos, photos)


def test_a_mask_of_another_size_is_refused_before_it_is_decoded(tmp_path):
    photos = write_photos(tmp_path / "photos", "a.jpg")
    large = labelme_document("a.jpg", box(1, 1, 20, 20), {1: "cat"})
    large["shapes"][0]["points"] = [[1, 1], [5, 5]]
    write_json(photos / "a.json", large)
    assert "a.json, shapes[0].mask: the PNG has 20x20 pixels; its shape has 5x5" in problems(photos, photos)


def test_shapes_that_reach_beyond_the_image_are_cut_off_and_counted(tmp_path):
    photos = write_photos(tmp_path / "photos", "a.jpg")
    write_json(photos / "a.json", document(shape("cat", [[-6, -4], [9, 9]], "rectangle")))
    report, masks = imported(photos, photos)
    assert np.array_equal(masks["a"], box(0, 0, 10, 10))
    assert report.notes == ("1 shapes reach beyond their image and were cut off at its border",)


def test_an_annotation_of_another_size_is_refused(tmp_path):
    photos = write_photos(tmp_path / "photos", "a.jpg")
    turned = document(shape("cat", [[2, 2]], "point"), imageHeight=WIDTH, imageWidth=HEIGHT)
    write_json(photos / "a.json", turned)
    message = problems(photos, photos)
    assert "a.json is for an image of 24x32 pixels; its image has 32x24; the photo carries an EXIF" in message
