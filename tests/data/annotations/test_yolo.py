from __future__ import annotations

import numpy as np
import pytest

from tests.data.annotations.made_sources import box, imported, problems, write_photos

SQUARE = "0.25 0.25 0.75 0.25 0.75 0.5 0.25 0.5"  # of 32 x 24 pixels: x 8 to 24, y 6 to 12


def make_source(root, files, names="names: [cat, dog]", name_file="data.yaml"):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / name_file).write_text(names)
    return root


@pytest.mark.parametrize(
    ("names", "name_file"),
    [
        ("nc: 2\nnames: ['cat', 'dog']\n", "data.yaml"),
        ("names:\n  0: cat\n  1: dog\n", "data.yaml"),
        ("cat\ndog\n", "classes.txt"),
    ],
)
@pytest.mark.parametrize("labels", ["labels/train/a.txt", "train/labels/a.txt", "labels/a.txt"])
def test_polygons_and_names(names, name_file, labels, tmp_path):
    photos = write_photos(tmp_path / "photos", labels.replace("labels", "images").replace(".txt", ".jpg"))
    report, masks = imported(
        make_source(tmp_path / "yolo", {labels: f"1 {SQUARE}\n"}, names, name_file), photos
    )
    assert report.classes == ("background", "cat", "dog")
    assert np.array_equal(*masks.values(), box(8, 6, 16, 6, 2))


def test_an_empty_file_is_an_image_without_objects(tmp_path):
    photos = write_photos(tmp_path / "photos", "a.jpg", "b.jpg")
    report, masks = imported(make_source(tmp_path / "yolo", {"labels/a.txt": ""}), photos)
    assert not masks["a"].any() and report.without_annotation == ("b.jpg",)
    assert "1 annotated images have no labelled pixel, such as a.png" in report.notes


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "0 0.5 0.5 0.2 0.2",
            "labels/a.txt, line 2: a box (4 numbers) is not a mask; a line must be `CLASS x1 y1",
        ),
        (f"2 {SQUARE}", "labels/a.txt, line 2: the class 2 is not known; allowed are 0 to 1"),
        (f"cat {SQUARE}", "is not `CLASS x1 y1"),
        (f"0 {SQUARE} 0.1", "9 numbers after the class"),
        ("0 nan 0.1 0.2 0.2 0.3 0.3", "6 numbers after the class"),
        (
            "0 1.5 0.1 1.6 0.2 1.7 0.3",
            "labels/a.txt, line 2: the point 48, 2.4 lies outside the image of 32x24",
        ),
    ],
)
def test_damaged_lines_are_named(line, message, tmp_path):
    photos = write_photos(tmp_path / "photos", "a.jpg")
    assert message in problems(make_source(tmp_path / "yolo", {"labels/a.txt": f"\n{line}\n"}), photos)


@pytest.mark.parametrize("names", ["names: 3", "names: {1: cat}", "names: [", "- a"])
def test_damaged_names(names, tmp_path):
    photos = write_photos(tmp_path / "photos", "a.jpg")
    assert "data.yaml" in problems(
        make_source(tmp_path / "yolo", {"labels/a.txt": f"0 {SQUARE}"}, names), photos
    )
