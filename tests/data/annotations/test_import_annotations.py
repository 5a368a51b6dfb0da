from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
from PIL import Image

from tests.data.annotations.made_sources import box, imported, problems, write_json, write_photos
from tests.data.annotations.test_labelme import document, shape
from usrn_keras.data.annotations import import_annotations, is_annotation_source

CAT = shape("cat", [[2, 2], [5, 5]], "rectangle")
DOG = shape("dog", [[10, 10], [13, 13]], "rectangle")


def source(tmp_path, *names, shapes=(CAT, DOG)):
    """A JSON file and a photograph of each name."""
    for name in names:
        write_photos(tmp_path / "photos", f"{name}.jpg")
        write_json(tmp_path / f"json/{name}.json", document(*shapes, image=f"{name.rsplit('/')[-1]}.jpg"))
    return tmp_path / "json", tmp_path / "photos"


def test_what_pixels_of_no_shape_are(tmp_path):
    found = source(tmp_path, "a")
    report, masks = imported(*found)
    assert report.classes == ("background", "cat", "dog") and report.unlabelled == 32 * 24 - 32
    assert "pixels of no shape are background (736 pixels)" in report.facts()[0]
    report, ignoring = imported(*found, tmp_path / "second", unlabelled="ignore")
    assert report.classes == ("cat", "dog") and report.ignored == 736
    assert np.array_equal(ignoring["a"], np.where(masks["a"] == 0, 255, masks["a"] - 1))


def test_shapes_of_one_class_do_not_overlap(tmp_path):
    report, masks = imported(*source(tmp_path, "a", shapes=(CAT, CAT, DOG)))
    assert not report.overlapping and (masks["a"] == 1).sum() == 16


def test_names_decide_ids_and_refuse_other_labels(tmp_path):
    found = source(tmp_path, "a")
    report, masks = imported(*found, names=("background", "dog", "cow", "cat"))
    assert np.array_equal(masks["a"], box(2, 2, 4, 4, 3, box(10, 10, 4, 4, 1))) and report.pixels[2] == 0
    message = problems(*found, replace=True, names=("background", "dog"))
    assert (
        "the label `cat`, first in a.json, shapes[0], is not in --names; allowed are `background`" in message
    )
    assert "--names lists no class `background`" in problems(*found, replace=True, names=("cat", "dog"))
    assert imported(*found, replace=True, names=("background", "dog"), ignore=["cat"])[0].ignored == 16
    assert "--ignore horse: no such label" in problems(*found, replace=True, ignore=["horse"])


def test_a_label_that_is_called_background(tmp_path):
    """It is the class of the pixels of no shape, and the first one."""
    ground = shape("_background_", [[2, 2], [3, 3]], "rectangle")
    report, masks = imported(*source(tmp_path, "a", shapes=(CAT, ground)))
    assert report.classes == ("background", "cat")
    assert np.array_equal(masks["a"], box(2, 2, 2, 2, 0, box(2, 2, 4, 4)))


def test_masks_are_where_their_images_are(tmp_path):
    found = source(tmp_path, "street/a", "park/a", "b.c")
    report, masks = imported(*found)
    assert sorted(masks) == ["b.c", "park/a", "street/a"] and not report.without_image
    assert (tmp_path / "masks/classes.txt").read_text() == "background\ncat\ndog\n"
    assert (tmp_path / "masks/palette.txt").read_text().splitlines()[0] == "0 0 0"


def test_images_are_not_taken_for_those_of_other_folders(tmp_path):
    """One annotation of street/a has no image; park/a is another image of the same name."""
    labels, photos = source(tmp_path, "street/a", "b")
    (photos / "street/a.jpg").unlink()
    write_photos(photos, "park/a.jpg")
    write_json(labels / "street/a.json", document(CAT, image="street/a.jpg"))
    report, masks = imported(labels, photos)
    assert sorted(masks) == ["b"] and report.without_image == ("street/a.json",)
    assert report.without_annotation == ("park/a.jpg",)


def test_an_image_that_may_be_one_of_two(tmp_path):
    labels, photos = source(tmp_path, "a")
    write_photos(photos, "x/a.jpg", "y/a.jpg")
    (photos / "a.jpg").unlink()
    message = problems(labels, photos)
    assert "a.json: its image `a.jpg` may be x/a.jpg or y/a.jpg; allowed is one" in message


def test_two_annotations_of_one_image(tmp_path):
    labels, photos = source(tmp_path, "a")
    write_json(labels / "copy.json", document(CAT, image="a.jpg"))
    message = problems(labels, photos)
    assert "a.json and copy.json are two annotations of a.jpg; allowed is one for each image" in message


def test_names_in_another_unicode_form(tmp_path):
    write_photos(tmp_path / "photos", "straße ü.jpg")
    write_json(tmp_path / "json/1.json", document(CAT, image="straße ü.jpg"))
    assert len(imported(tmp_path / "json", tmp_path / "photos")[1]) == 1


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_size_is_that_of_the_image_as_shown(orientation, tmp_path):
    labels, photos = source(tmp_path, "a")
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (32, 24) if orientation == 1 else (24, 32)).save(photos / "a.jpg", exif=exif)
    assert imported(labels, photos)[1]["a"].shape == (24, 32)


def test_every_problem_of_all_files_at_once(tmp_path):
    labels, photos = source(tmp_path, "a", "b", "c")
    write_json(labels / "a.json", document(shape("cat", [[1, 1]])))
    write_json(labels / "b.json", document(shape("cat", [[1, 1], [2, 2]], "mask")))
    message = problems(labels, photos)
    assert (
        "a.json, shapes[0]: a polygon" in message and "b.json, shapes[0]: a shape of the type mask" in message
    )
    (labels / "c.json").write_text('{"shapes": [')
    assert "c.json, line 1: not valid JSON" in problems(labels, photos)
    (labels / "c.json").write_bytes(b"\xff\xfe{")
    assert "c.json is not text in UTF-8" in problems(labels, photos)
    (labels / "c.json").write_text("[" * 100_000)
    assert "c.json is not valid JSON" in problems(labels, photos)
    (labels / "c.json").write_text('{"shapes": [], "version": ' + "9" * 5000 + "}")
    assert "c.json is not valid JSON" in problems(labels, photos)


def test_json_of_another_tool(tmp_path):
    photos = write_photos(tmp_path / "photos", "a.jpg")
    other = write_json(tmp_path / "via.json", {"_via_settings": {}, "_via_img_metadata": {}})
    message = problems(other, photos)
    assert "via.json: a project of the VGG Image Annotator; export it as COCO JSON" in message
    assert "Allowed are LabelMe JSON, COCO" in message
    write_json(other, {"a": 1, "b": 2})
    assert "via.json: an object with the keys a, b" in problems(other, photos)
    assert "no such file or folder" in problems(tmp_path / "missing.json", photos)
    (tmp_path / "a.xml").write_text("<annotations/>")
    assert "XML is not read: export from CVAT as `Segmentation mask 1.1`" in problems(
        tmp_path / "a.xml", photos
    )
    (tmp_path / "empty").mkdir()
    assert "contains no annotations that can be read" in problems(tmp_path / "empty", photos)


def test_other_json_files_beside_the_annotations_are_named(tmp_path):
    labels, photos = source(tmp_path, "a")
    write_json(labels / "settings.json", {"theme": "dark"})
    notes = imported(labels, photos)[0].notes
    assert "1 JSON files are not LabelMe annotations, and not read: settings.json" in notes
    write_json(labels / "coco.json", {"images": [], "annotations": [], "categories": []})
    message = problems(labels, photos, replace=True)
    assert "COCO: 1 files, such as coco.json" in message and "LabelMe: 1 files, such as a.json" in message


def test_no_annotation_belongs_to_an_image(tmp_path):
    labels, _ = source(tmp_path, "a")
    other = write_photos(tmp_path / "other", "b.jpg")
    message = problems(labels, other)
    assert "annotated: a.jpg" in message and "images: b.jpg" in message


def test_masks_are_added_to_a_folder_with_its_classes(tmp_path):
    """The ids stay those of the first import, although the second has other labels first."""
    found = source(tmp_path, "a", shapes=(DOG,))
    imported(*found)
    first = (tmp_path / "masks/a.png").read_bytes()
    (tmp_path / "json/a.json").unlink()
    report, masks = imported(*source(tmp_path, "b", shapes=(DOG,)))
    assert report.classes == ("background", "dog") and report.masks == ("b.png",)
    assert sorted(masks) == ["a", "b"] and (tmp_path / "masks/a.png").read_bytes() == first
    assert "the label `cat`" in problems(*source(tmp_path, "c"))


def test_masks_are_not_replaced_by_accident(tmp_path):
    found = source(tmp_path, "a")
    imported(*found)
    before = (tmp_path / "masks/a.png").read_bytes()
    assert "1 masks exist already" in problems(*found)
    write_json(tmp_path / "json/a.json", document(CAT))
    imported(*found, replace=True)
    assert (tmp_path / "masks/a.png").read_bytes() != before
    (tmp_path / "masks/classes.txt").unlink()
    assert "contains masks, but no classes.txt" in problems(*found, replace=True)


def test_an_interrupt_leaves_nothing_half_written(tmp_path, monkeypatch):
    imported(*source(tmp_path, "a", shapes=(DOG,)))
    found = source(tmp_path, "a", "b", "c", shapes=(DOG, DOG, shape("dog", [[1, 1], [2, 2]], "rectangle")))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    written = []

    def interrupted(path, *arguments):
        written.append(path)
        if len(written) == 2:
            raise KeyboardInterrupt
        return write_mask(path, *arguments)

    module = importlib.import_module("usrn_keras.data.annotations.import_annotations")
    write_mask = module.write_mask
    monkeypatch.setattr(module, "write_mask", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_annotations(*found, tmp_path / "masks", replace=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_more_classes_than_a_palette_holds(tmp_path):
    shapes = [shape(f"label {index}", [[2, 2]], "point") for index in range(256)]
    message = problems(*source(tmp_path, "a", shapes=shapes))
    assert "the annotations have 257 classes; a palette PNG holds at most 255" in message


def test_what_counts_as_annotations(tmp_path):
    labels, photos = source(tmp_path, "a")
    assert is_annotation_source(labels) and is_annotation_source(labels / "a.json")
    assert not is_annotation_source(photos) and not is_annotation_source(tmp_path / "missing")
    imported(labels, photos)
    assert not is_annotation_source(tmp_path / "masks")  # classes.txt and palette.txt are no polygons of YOLO
    cityscapes = tmp_path / "gtFine"
    write_json(cityscapes / "x_gtFine_polygons.json", {"imgHeight": 1, "imgWidth": 1, "objects": []})
    assert is_annotation_source(cityscapes)
    Image.new("L", (1, 1)).save(cityscapes / "x_gtFine_labelIds.png")
    assert not is_annotation_source(cityscapes)


def test_the_report_as_text_and_json(tmp_path):
    report, _ = imported(*source(tmp_path, "a"))
    lines = report.lines()
    assert lines[0] == "read: LabelMe JSON" and "class 1 cat: 16 pixels (2.08 %)" in lines
    assert lines[-1] == f"written: 1 masks to {tmp_path / 'masks'}"
    content = json.loads(json.dumps(report.to_json()))
    assert content["classes"][2] == {"id": 2, "name": "dog", "pixels": 16} and content["masks"] == ["a.png"]
