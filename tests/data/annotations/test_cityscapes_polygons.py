from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from tests.data.annotations.made_sources import HEIGHT, WIDTH, imported, problems, write_json, write_photos
from usrn_keras.data.formats.cityscapes import TABLE

ROAD, CAR, PERSON = 0, 13, 11  # train ids


def document(*objects):
    return {
        "imgHeight": HEIGHT,
        "imgWidth": WIDTH,
        "objects": [dict(zip(("label", "polygon"), o, strict=True)) for o in objects],
    }


def source(tmp_path, value):
    photos = write_photos(tmp_path / "photos", "jena/jena_0_1_leftImg8bit.png")
    write_json(tmp_path / "gtFine/jena/jena_0_1_gtFine_polygons.json", value)
    return tmp_path / "gtFine", photos


def test_polygons_are_drawn_as_cityscapes_scripts_do(tmp_path):
    """Groups count as their class, deleted objects are left out, pixels of no shape have no class."""
    road, car = [[0, 10], [31, 12], [31, 23], [0, 23]], [[4.0, 5], [14, 6], [12, 15], [3, 13]]
    person, frame = [[20, 4], [24, 4], [24, 18], [20, 18]], [[0, 0], [31, 0], [31, 1], [0, 1]]
    value = document(("road", road), ("cargroup", car), ("person", person), ("ego vehicle", frame))
    value["objects"].append({"label": "bus", "polygon": person, "deleted": 1})
    report, masks = imported(*source(tmp_path, value))
    expected = Image.new("L", (WIDTH, HEIGHT), 255)
    pencil = ImageDraw.Draw(expected)
    for polygon, value in ((road, ROAD), (car, CAR), (person, PERSON), (frame, 255)):
        pencil.polygon([tuple(point) for point in polygon], fill=value)
    assert np.array_equal(masks["jena/jena_0_1_leftImg8bit"], np.asarray(expected))
    assert report.classes == tuple(name for name, _, _ in TABLE) and report.unlabelled_as == "ignored"
    assert any("does not evaluate are ignored: ego vehicle" in note for note in report.notes)


def test_damaged_polygons_are_named(tmp_path):
    message = problems(*source(tmp_path, document(("road", [[1, 1], [2, 2]]))))
    assert (
        "jena/jena_0_1_gtFine_polygons.json, objects[0].polygon: tuple should have at least 3 items"
        in message
    )
