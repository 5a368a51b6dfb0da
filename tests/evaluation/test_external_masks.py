from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn import metrics

from tests.evaluation.made_run import VAL, make_data, write
from tests.evaluation.networks import red_dataset
from usrn_keras.data import Dataset, load_dataset
from usrn_keras.errors import DataError
from usrn_keras.evaluation.external_masks import PredictedMasks, read_prediction
from usrn_keras.metrics import boundary_counts
from usrn_keras.recipe.schema import DataSection


@pytest.fixture
def scene(tmp_path):
    """A data set of three val images, and for each a prediction that is right but at 20 pixels."""
    labels = make_data(tmp_path / "data")
    dataset = load_dataset(DataSection(dataset="folder", root=str(tmp_path / "data"), val="val.txt"))
    predictions = np.where(labels == 255, 200, labels)  # no class where there is no label
    predictions[:, 10, :20] = 1
    return dataset, labels, predictions


def write_ids(folder, predictions) -> None:
    for name, ids in zip(VAL, predictions, strict=True):
        write(folder / f"{name}_pred.png", ids)


def write_16_bits(folder, predictions) -> None:
    for name, ids in zip(VAL, predictions, strict=True):
        write(folder / f"{name}.png", np.where(ids == 200, 40_000, ids), np.uint16)


def write_palette(folder, predictions) -> None:
    folder.mkdir()
    for name, ids in zip(VAL, predictions, strict=True):
        picture = Image.fromarray(ids.astype(np.uint8))
        picture.putpalette(bytes(range(255, -1, -1)) * 3)  # colours that are not the data set's
        picture.save(folder / f"{name.split('/')[1]}.png")


def write_colours(folder, predictions, dataset: Dataset) -> None:
    colours = np.full((256, 3), 77, np.uint8)
    colours[: dataset.num_classes] = dataset.palette
    for name, ids in zip(VAL, predictions, strict=True):
        write(folder / f"{name}.png", colours[ids][..., ::-1])


@pytest.mark.parametrize("kind", ["ids", "16 bits", "palette", "colours"])
def test_scores_equal_scikit_learn_however_masks_are_stored(scene, tmp_path, kind):
    dataset, labels, predictions = scene
    folder = tmp_path / "masks"
    if kind == "colours":
        write_colours(folder, predictions, dataset)
    else:
        {"ids": write_ids, "16 bits": write_16_bits, "palette": write_palette}[kind](folder, predictions)
    measured = PredictedMasks(folder, dataset, "val").measure("others")
    counted = labels != 255
    expected = metrics.confusion_matrix(labels[counted], predictions[counted], labels=range(3))
    np.testing.assert_array_equal(measured.scores.confusion, expected)
    outlines = sum(boundary_counts(a, b, 3) for a, b in zip(labels, predictions, strict=True))
    np.testing.assert_array_equal(measured.scores.boundary, outlines)
    assert measured.scores.name == "others"
    line = f"{dataset.name} val, 3 images, lists {dataset.fingerprint()}, mode masks"
    assert measured.scores.provenance.line() == line
    assert [image.sample.name for image in measured.images] == list(VAL)
    last = metrics.accuracy_score(labels[2][counted[2]], predictions[2][counted[2]])
    assert measured.images[2].pixel_accuracy == pytest.approx(last)


def _with_mask_values(dataset: Dataset, values: list[int]) -> Dataset:
    table = np.full(256, -1, np.int32)
    table[values] = range(len(values))
    return replace(dataset, id_map=table)


@pytest.mark.parametrize("stored", [[0, 1, 2], [0, 255, 2], [0, 255, 254]])
def test_values_of_the_data_sets_own_masks_are_read_too(tmp_path, scene, stored):
    dataset, ids = _with_mask_values(scene[0], [0, 255, 254]), np.arange(12).reshape(3, 4) % 3
    write(tmp_path / "a.png", np.array(stored, np.uint8)[ids])
    np.testing.assert_array_equal(read_prediction(tmp_path / "a.png", np.zeros((3, 4)), dataset), ids)


def test_values_that_are_ids_of_other_classes_are_refused(tmp_path, scene):
    dataset = _with_mask_values(scene[0], [1, 2, 3])
    write(tmp_path / "a.png", np.full((20, 24), 3, np.uint8))
    with pytest.raises(DataError, match="contains ids of no class: 3; allowed: 0 to 2"):
        read_prediction(tmp_path / "a.png", np.zeros((20, 24), np.int32), dataset)


def test_50_images_of_19_classes_equal_a_loop(tmp_path):
    (tmp_path / "reds").mkdir()
    dataset, labels, reds = red_dataset(tmp_path / "reds", [(9, 11), (12, 8)] * 25, 19)
    confusion = np.zeros((19, 19), int)
    for index, (label, red) in enumerate(zip(labels, reds, strict=True)):
        write(tmp_path / f"masks/{index}.png", red)
        for truth, guess in zip(label.ravel().tolist(), red.ravel().tolist(), strict=True):
            if truth != 255:
                confusion[truth, guess] += 1
    measured = PredictedMasks(tmp_path / "masks", dataset, "val").measure(workers=0)
    np.testing.assert_array_equal(measured.scores.confusion, confusion)


def test_the_labels_themselves_score_one(scene):
    dataset, _, _ = scene
    lines = []
    folder = dataset.val[0].mask.parents[1]
    scores = PredictedMasks(folder, dataset, "val", log=lines.append).measure().scores
    assert (scores.miou, scores.pixel_accuracy, scores.boundary_miou) == (1, 1, 1)
    assert lines == [f"{folder}: 2 more PNG files belong to no image and are left out: a.png, b.png"]


def test_tells_the_suffix_that_was_found(scene, tmp_path):
    dataset, _, predictions = scene
    write_ids(tmp_path / "masks", predictions)
    lines = []
    masks = PredictedMasks(tmp_path / "masks", dataset, "val", log=lines.append)
    assert lines == [f"{tmp_path / 'masks'}: masks are named NAME_pred.png"]
    np.testing.assert_array_equal(masks.ids(dataset.val[1]), predictions[1])


def test_every_bad_mask_is_named_at_once(scene, tmp_path):
    dataset, _, predictions = scene
    many = Dataset(dataset.name, dataset.classes, dataset.palette, (), (), dataset.val * 2)
    folder = tmp_path / "masks"
    write(folder / "town/0.png", predictions[0][:, :-1])
    write(folder / "town/1.png", predictions[1] + 3)
    with pytest.raises(DataError) as refused:
        PredictedMasks(folder, many, "val").measure()
    assert refused.value.errors[:3] == (
        f"{folder / 'town/0.png'} is 23x20 pixels, the label of its image is 24x20",
        f"{folder / 'town/1.png'} contains ids of no class: 3, 4, 5; allowed: 0 to 2",
        "village/2: there is no village/2.png",
    )
    assert "does not contain a valid mask for each of the 6 val images" in refused.value.message
    assert "class ids, 0 to 2" in refused.value.hint


def test_refuses_colours_of_no_class_and_damaged_files(scene, tmp_path):
    dataset, _, predictions = scene
    folder = tmp_path / "masks"
    write_colours(folder, np.where(predictions == 1, 200, predictions), dataset)
    (folder / "town/1.png").write_bytes(b"no picture")
    (folder / "village/2.png").write_bytes(cv2.imencode(".jpg", np.zeros((20, 24, 3), np.uint8))[1].tobytes())
    with pytest.raises(DataError) as refused:
        PredictedMasks(folder, dataset, "val").measure()
    colours, damaged, jpeg = refused.value.errors
    assert colours == f"{folder / 'town/0.png'} contains colours of no class: 77 77 77"
    assert damaged.startswith(f"{folder / 'town/1.png'} cannot be read as an image")
    assert jpeg.startswith(f"{folder / 'village/2.png'} is a JPEG")


def test_refuses_colours_that_two_classes_share(scene, tmp_path):
    dataset, _, predictions = scene
    alike = Dataset(
        dataset.name, dataset.classes, np.zeros((3, 3), np.uint8), (), (), dataset.val, dataset.test
    )
    write_colours(tmp_path / "masks", predictions, alike)
    with pytest.raises(DataError) as refused:
        PredictedMasks(tmp_path / "masks", alike, "val").measure()
    assert refused.value.errors[0].endswith("share one: store class ids")


def test_refuses_a_split_without_images(scene, tmp_path):
    with pytest.raises(DataError, match="has no test images"):
        PredictedMasks(tmp_path, scene[0], "test")
