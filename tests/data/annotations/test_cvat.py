from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.data.annotations.made_sources import box, imported, problems, write_photos
from usrn_keras.data.annotations.cvat import LabelMapEntry, label_map_text, parse_label_map_line
from usrn_keras.data.mask_values import voc_palette

COLOURS = np.array([[10, 20, 30], [48, 112, 32], [176, 112, 32]], np.uint8)
LABELS = ("background", "traffic light: red", "dog")


def make_export(root, mask, text=None):
    (root / "SegmentationClass").mkdir(parents=True, exist_ok=True)
    Image.fromarray(COLOURS[mask]).save(root / "SegmentationClass/a.png")
    entries = [LabelMapEntry(label, tuple(c)) for label, c in zip(LABELS, COLOURS.tolist(), strict=True)]
    (root / "labelmap.txt").write_text(text or label_map_text(entries))
    return root


@pytest.mark.parametrize(
    ("line", "label", "colour"),
    [
        ("cat:48,112,32::", "cat", (48, 112, 32)),
        ("traffic light:250,170,30:pole,lamp:on,off", "traffic light", (250, 170, 30)),
        ("sign: stop:1,2,3::", "sign: stop", (1, 2, 3)),
    ],
)
def test_lines_of_a_label_map(line, label, colour):
    assert parse_label_map_line(line) == LabelMapEntry(label, colour)


@pytest.mark.parametrize("line", ["cat", "cat:1,2::", "cat:1,2,300::", "cat 1 2 3", ":1,2,3::"])
def test_other_lines_are_not_of_a_label_map(line):
    assert parse_label_map_line(line) is None


def test_colours_become_the_ids_of_the_label_map(tmp_path):
    """A background that is not black; a label that no mask shows; objects that are not classes."""
    photos = write_photos(tmp_path / "photos", "a.jpg", "b.jpg")
    export = make_export(tmp_path / "export", box(3, 3, 5, 5, 2))
    (export / "SegmentationObject").mkdir()
    Image.fromarray(COLOURS[box(3, 3, 5, 5)]).save(export / "SegmentationObject/a.png")
    report, masks = imported(export, photos)
    assert np.array_equal(masks["a"], box(3, 3, 5, 5, 2))
    assert report.classes == LABELS and report.pixels[1] == 0 and report.without_annotation == ("b.jpg",)
    assert "SegmentationObject has objects" in report.notes[0]
    with Image.open(tmp_path / "masks/a.png") as mask:
        assert np.array_equal(np.array(mask.getpalette())[:9].reshape(3, 3), COLOURS)


def test_palette_masks(tmp_path):
    photos = write_photos(tmp_path / "photos", "a.jpg")
    export = make_export(tmp_path / "export", box(3, 3, 5, 5))
    mask = Image.fromarray(box(3, 3, 5, 5, 7))
    palette = voc_palette(256)
    palette[[0, 7]] = COLOURS[[0, 1]]
    mask.putpalette(palette.tobytes())
    mask.save(export / "SegmentationClass/a.png")
    assert np.array_equal(imported(export, photos)[1]["a"], box(3, 3, 5, 5))


def test_the_folder_of_the_photographs_must_not_hold_the_masks(tmp_path):
    export = make_export(tmp_path / "export", box(3, 3, 5, 5))
    write_photos(export / "JPEGImages", "a.jpg")
    message = problems(export, export)
    assert (
        "contains 1 masks of the annotations (CVAT segmentation masks 1.1), such as SegmentationClass/a.png"
        in message
    )
    assert f"--images {export / 'JPEGImages'}; or choose mask files: usrn init with --mask-pattern" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "background:10,20,30::\n",
            "SegmentationClass/a.png contains 1 colours that are not in labelmap.txt: 48 112",
        ),
        (
            "background 10 20 30\n",
            "labelmap.txt, line 1: 'background 10 20 30' is not `label:RED,GREEN,BLUE:parts",
        ),
        (
            "a:1,2,3::\nb:1,2,3::\n",
            "line 2: `b` has the colour of `a`, (1, 2, 3); each label must have its own",
        ),
        ("# empty\n", "labelmap.txt contains no label"),
    ],
)
def test_damaged_exports_are_named(text, message, tmp_path):
    photos = write_photos(tmp_path / "photos", "a.jpg")
    assert message in problems(make_export(tmp_path / "export", box(3, 3, 5, 5), text), photos)
