"""Predictions in the formats of labelling tools, and the way back to masks."""

from __future__ import annotations

import json
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.evaluation.made_run import make_run
from usrn_keras.data.annotations import import_annotations
from usrn_keras.errors import DataError, StorageError
from usrn_keras.evaluation.label_export import export_labels

FORMATS = ("labelme", "coco", "cvat", "labelstudio", "masks")
DOUBTFUL = 1  # the class between two others: its probability is 0.58, that of the others 0.72


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run whose class is the red value, and 3 photographs in 2 folders with their red values."""
    folder = tmp_path_factory.mktemp("run")
    make_run(folder, "background\npole\nsky\n")
    rng = np.random.default_rng(0)
    reds = {}
    for name in ("a", "street/a", "street/b"):
        reds[name] = rng.integers(0, 3, (20, 24)).astype(np.uint8)
        path = folder / f"photos/{name}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        cv2.imwrite(str(path), np.stack([0 * reds[name], 0 * reds[name], reds[name]], axis=-1))
    return folder, reds


def masks_after(made, source, out, **options) -> dict[str, np.ndarray]:
    """The masks of the import of an export."""
    folder, reds = made
    import_annotations(source, folder / "photos", out, **options)
    found = {}
    for name in reds:
        if (out / f"{name}.png").exists():
            with Image.open(out / f"{name}.png") as mask:
                found[name] = np.asarray(mask)
    return found


def source_of(format, out):
    """What is imported: masks are read as they are by `usrn init`, the others are annotations."""
    return out / {"coco": "instances.json", "labelstudio": "tasks.json"}.get(format, "")


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "masks"])
@pytest.mark.parametrize("doubtful", ["ignore", "leave-out"])
@pytest.mark.parametrize("archive", [False, True])
def test_the_way_back_gives_equal_masks(format, doubtful, archive, made, tmp_path):
    folder, reds = made
    out = tmp_path / ("labels.zip" if archive else "labels")
    options = {"confidence": 0.65, "doubtful": doubtful}
    if doubtful == "leave-out" and format == "cvat":
        with pytest.raises(DataError, match="every pixel of the format cvat has a value"):
            export_labels(folder / "run", [folder / "photos"], out, format, **options)
        return
    exported = export_labels(folder / "run", [folder / "photos"], out, format, **options)
    source = out if archive else source_of(format, out)
    found = masks_after(
        made, source, tmp_path / "masks", unlabelled=exported.unlabelled, names=exported.names
    )
    assert found.keys() == reds.keys()
    for name, red in reds.items():
        np.testing.assert_array_equal(found[name], np.where(red == DOUBTFUL, 255, red))
    assert exported.doubtful == np.mean([red == DOUBTFUL for red in reds.values()])


def test_masks_are_the_labels(made, tmp_path):
    folder, reds = made
    exported = export_labels(
        folder / "run", [folder / "photos"], tmp_path / "masks", "masks", confidence=0.65
    )
    command = (
        f"usrn init PROJECT --images IMAGES --masks {tmp_path}/masks --names {tmp_path}/masks/classes.txt"
    )
    assert exported.lines()[-1].strip() == command
    for name, red in reds.items():
        with Image.open(tmp_path / f"masks/{name}.png") as mask:
            np.testing.assert_array_equal(np.asarray(mask), np.where(red == DOUBTFUL, 255, red))
    assert (tmp_path / "masks/classes.txt").read_text() == "background\npole\nsky\n"


def test_only_the_listed_images(made, tmp_path):
    folder, _ = made
    (tmp_path / "next.txt").write_text("# most useful first\nstreet/a.png\n\nb\n")
    options = {"only": tmp_path / "next.txt"}
    exported = export_labels(folder / "run", [folder / "photos"], tmp_path / "out", "masks", **options)
    assert exported.images == ("street/a.png", "street/b.png")
    (tmp_path / "next.txt").write_text("a\nmissing\n")
    with pytest.raises(DataError) as raised:
        export_labels(folder / "run", [folder / "photos"], tmp_path / "second", "masks", **options)
    assert "line 2: `missing` is none of the images" in raised.value.errors[0]


def test_labelme_finds_the_image_from_its_json_file(made, tmp_path):
    folder, _ = made
    export_labels(folder / "run", [folder / "photos"], tmp_path / "x/out", "labelme")
    document = json.loads((tmp_path / "x/out/street/a.json").read_text())
    image = tmp_path / "x/out/street" / document["imagePath"]
    assert image.resolve() == (folder / "photos/street/a.png").resolve()


def test_cvat_lists_its_images_and_labels(made, tmp_path):
    folder, _ = made
    export_labels(folder / "run", [folder / "photos"], tmp_path / "out.zip", "cvat")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        names = archive.namelist()
        assert {"labelmap.txt", "SegmentationClass/street/b.png"} <= set(names)
        assert archive.read("ImageSets/Segmentation/default.txt").decode().split() == [
            "a",
            "street/a",
            "street/b",
        ]
        label_map = archive.read("labelmap.txt").decode()
    assert label_map.splitlines()[1:] == [
        "background:0,0,0::",
        "pole:128,0,0::",
        "sky:0,128,0::",
        "__ignore__:224,224,192::",
    ]


def test_existing_folders_and_wrong_options(made, tmp_path):
    folder, _ = made
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").touch()
    with pytest.raises(StorageError, match="exists already"):
        export_labels(folder / "run", [folder / "photos"], tmp_path / "out", "masks")
    with pytest.raises(DataError) as raised:
        export_labels(folder / "run", ["x"], tmp_path / "y", "voc", confidence=2, doubtful="maybe")
    assert len(raised.value.errors) == 3
    with pytest.raises(DataError, match="cannot be exported") as raised:
        export_labels(folder / "run", [tmp_path / "missing"], tmp_path / "y", "masks")
    assert not (tmp_path / "y").exists()


def test_an_unreadable_image_leaves_nothing(made, tmp_path):
    folder, _ = made
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes((folder / "photos/a.png").read_bytes())
    (tmp_path / "photos/b.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"b\.png cannot be read"):
        export_labels(folder / "run", [tmp_path / "photos"], tmp_path / "out", "labelme")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
