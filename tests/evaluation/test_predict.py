from __future__ import annotations

import os
from types import SimpleNamespace

import cv2
import keras
import numpy as np
import pytest
from PIL import Image

from tests.data.band_files import write_tiff
from usrn_keras.errors import DataError, OutOfMemoryError, WeightsError
from usrn_keras.evaluation import inference_of, memory_needed, predict, prediction_jobs
from usrn_keras.evaluation.predict import predict_files
from usrn_keras.networks import load_segmenter
from usrn_keras.recipe import load_recipe

PALETTE = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)


def brightest_channel() -> keras.Model:
    """A model whose logits are the channels of its image: the class is the brightest channel."""
    images = keras.Input((None, None, 3), name="images")
    return keras.Model(images, keras.layers.Rescaling(1.0)(images))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A complete run folder whose model tells the brightest channel."""
    folder = tmp_path / "run"
    folder.mkdir()
    brightest_channel().save(folder / "model.keras")
    recipe = load_recipe("quickstart")
    opened = SimpleNamespace(path=folder, palette=PALETTE, model_path=folder / "model.keras", recipe=recipe)
    monkeypatch.setattr(predict, "open_run", lambda run_dir: opened)
    return opened


def write_image(path, seed=0, height=20, width=45):
    """An image of blocks of 5 x 5 pixels; returns its classes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    classes = np.random.default_rng(seed).integers(0, 3, (height // 5, width // 5))
    classes = classes.repeat(5, 0).repeat(5, 1)
    assert cv2.imwrite(str(path), PALETTE[classes][..., ::-1])
    return classes


def test_labels_and_overlay_of_an_image(run, tmp_path):
    classes = write_image(tmp_path / "photo.png")
    written = predict_files(run.path, [tmp_path / "photo.png"], tmp_path / "out")
    assert written == [tmp_path / "out/photo.png", tmp_path / "out/overlays/photo.png"]
    with Image.open(written[0]) as labels, Image.open(written[1]) as overlay:
        np.testing.assert_array_equal(np.asarray(labels), classes)
        np.testing.assert_array_equal(np.asarray(labels.convert("RGB")), PALETTE[classes])
        np.testing.assert_array_equal(np.asarray(overlay), PALETTE[classes])


def test_windows_in_place_of_whole_images(run, tmp_path, monkeypatch):
    classes = write_image(tmp_path / "photo.png", height=200, width=300)
    modes = []
    kind = prediction_jobs.Predictor
    monkeypatch.setattr(
        prediction_jobs,
        "Predictor",
        lambda model, options, batch: modes.append(options) or kind(model, options, batch=batch),
    )
    labels, _ = predict_files(run.path, [tmp_path / "photo.png"], tmp_path / "out", mode="slide")
    assert [options.mode for options in modes] == ["slide"]
    with Image.open(labels) as picture:
        np.testing.assert_array_equal(np.asarray(picture), classes)


@pytest.mark.parametrize(("mode", "hint"), [("whole", "--mode slide"), ("slide", "--max-side")])
def test_memory_that_runs_out_names_the_image(run, tmp_path, monkeypatch, mode, hint):
    write_image(tmp_path / "photo.png")

    def ids(predictor, image):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(prediction_jobs.Predictor, "ids", ids)
    with pytest.raises(
        OutOfMemoryError, match=f"photo.png has 45 x 20 pixels, predicted as {mode}"
    ) as caught:
        predict_files(run.path, [tmp_path / "photo.png"], tmp_path / "out", mode=mode)
    assert hint in caught.value.hint


def test_an_image_that_does_not_fit_is_refused_before_it_is_predicted(run, tmp_path, monkeypatch):
    write_image(tmp_path / "photo.png", height=1600, width=2000)
    monkeypatch.setattr(memory_needed, "on_accelerator", lambda: False)
    monkeypatch.setattr(memory_needed, "available_memory", lambda: 10**8)
    monkeypatch.setattr(prediction_jobs.Predictor, "ids", lambda *args: pytest.fail("it was predicted"))
    with pytest.raises(OutOfMemoryError, match=r"photo.png: predicting 2000 x 1600 .* 0\.1 GB") as caught:
        predict_files(run.path, [tmp_path / "photo.png"], tmp_path / "out")
    assert "--mode slide" in caught.value.hint and "--max-side" in caught.value.hint
    assert not list((tmp_path / "out").rglob("*.png"))


def test_classes_at_a_reduced_size_are_enlarged_to_that_of_the_image(run, tmp_path, monkeypatch):
    classes = write_image(tmp_path / "photo.png", height=200, width=450)
    monkeypatch.setattr(memory_needed, "available_memory", lambda: 0)  # so small an image always fits
    files = predict_files(run.path, [tmp_path / "photo.png"], tmp_path / "out", max_side=90, confidence=True)
    labels, _, confidence = (cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in files)
    assert labels.shape[:2] == (200, 450) and confidence.shape == (200, 450)
    with Image.open(files[0]) as picture:
        np.testing.assert_array_equal(np.asarray(picture), classes)  # blocks of 5 x 5 become pixels
    sizes = []
    monkeypatch.setattr(
        prediction_jobs.Predictor,
        "ids",
        lambda self, image: sizes.append(image.shape) or np.zeros(image.shape[:2], np.uint8),
    )
    for side in (90, 1000):
        predict_files(run.path, [tmp_path / "photo.png"], tmp_path / "out", max_side=side)
    assert sizes == [(40, 90, 3), (200, 450, 3)]


def test_large_images_are_in_memory_one_at_a_time(run, tmp_path, monkeypatch):
    for number in range(5):
        write_image(tmp_path / f"in/{number}.png", seed=number, height=100, width=100)
    in_memory, most, read, write = set(), [], prediction_jobs.read_image, prediction_jobs._write

    def read_image(path, **options):
        in_memory.add(path.name)
        most.append(len(in_memory))
        return read(path, **options)

    def write_last(path, content):
        write(path, content)
        if path.parent.name == "overlays":
            in_memory.discard(path.name)

    monkeypatch.setattr(prediction_jobs, "IN_FLIGHT", 2 * 10**5)  # an image takes 16 x 10**4
    monkeypatch.setattr(prediction_jobs, "read_image", read_image)
    monkeypatch.setattr(prediction_jobs, "_write", write_last)
    assert len(predict_files(run.path, [tmp_path / "in"], tmp_path / "out")) == 10
    assert most == [1] * 5


@pytest.mark.parametrize("override", ["evaluation.mode=slide", "evaluation.scales=[0.5, 1.0]"])
def test_images_are_predicted_as_they_are_measured(run, tmp_path, monkeypatch, override):
    run.recipe = load_recipe("quickstart", [override, "views.crop_size=32"])
    write_image(tmp_path / "photo.png")
    asked = []

    class Recorded(prediction_jobs.Predictor):
        def __init__(self, segmenter, options, **settings):
            asked.append(options)
            super().__init__(segmenter, options, **settings)

    monkeypatch.setattr(prediction_jobs, "Predictor", Recorded)
    labels, _ = predict_files(run.path, [tmp_path / "photo.png"], tmp_path / "out")
    assert asked == [inference_of(run.recipe)] and asked[0].line() != "whole"
    assert cv2.imread(str(labels)).shape == (20, 45, 3)


def test_more_than_256_classes_are_grey_values_of_16_bits(run, tmp_path, monkeypatch):
    run.palette = np.zeros((1000, 3), np.uint8)
    write_image(tmp_path / "photo.png")
    monkeypatch.setattr(prediction_jobs.Predictor, "ids", lambda self, image: np.full((20, 45), 999))
    labels, _ = predict_files(run.path, [tmp_path / "photo.png"], tmp_path / "out")
    found = cv2.imread(str(labels), cv2.IMREAD_UNCHANGED)
    assert found.dtype == np.uint16 and (found == 999).all()


def test_folders_are_walked_and_keep_their_sub_folders(run, tmp_path):
    for i, name in enumerate(["b.jpg", "a.JPG", "deep/er/a.png"]):
        write_image(tmp_path / "in" / name, seed=i)
    (tmp_path / "in/notes.txt").write_text("no image")
    written = predict_files(run.path, [tmp_path / "in"], tmp_path / "out")
    names = [path.relative_to(tmp_path / "out").as_posix() for path in written]
    assert names == [f"{top}{stem}.png" for stem in ("a", "b", "deep/er/a") for top in ("", "overlays/")]


@pytest.mark.parametrize("out", ["in", "in/out", "in/deep/out"])
def test_the_output_is_not_inside_an_input_folder(run, tmp_path, out):
    """A second call would segment the predictions, and `usrn init` would take them for photographs."""
    write_image(tmp_path / "in/a.jpg")
    with pytest.raises(DataError, match="is inside the input folder"):
        predict_files(run.path, [tmp_path / "in"], tmp_path / out)
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == ["a.jpg"]


def test_confidence_is_the_probability_of_the_class(run, tmp_path):
    classes = write_image(tmp_path / "photo.png")
    written = predict_files(run.path, [tmp_path / "photo.png"], tmp_path / "out", confidence=True)
    assert written[2] == tmp_path / "out/confidence/photo.png" and len(written) == 3
    with Image.open(written[0]) as labels, Image.open(written[2]) as confidence:
        np.testing.assert_array_equal(np.asarray(labels), classes)
        assert np.asarray(confidence).min() == 255  # logits 255 and 0
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 1] = 1  # logits 0, 1, 0
    cv2.imwrite(str(tmp_path / "flat.png"), image)
    *_, confidence = predict_files(run.path, [tmp_path / "flat.png"], tmp_path / "out", confidence=True)
    share = np.e / (np.e + 2)
    assert (cv2.imread(str(confidence), cv2.IMREAD_UNCHANGED) == round(255 * share)).all()


def test_unreadable_inputs_are_all_named_and_the_others_written(run, tmp_path):
    write_image(tmp_path / "in/good.png")
    (tmp_path / "in/broken.jpg").write_bytes(b"no image")
    (tmp_path / "in/empty.png").touch()
    (tmp_path / "nothing").mkdir()
    (tmp_path / "in/._good.png").write_bytes(b"what macOS writes beside it")
    inputs = [tmp_path / "missing.jpg", tmp_path / "nothing", tmp_path / "in"]
    with pytest.raises(DataError, match="could not be segmented") as raised:
        predict_files(run.path, inputs, tmp_path / "out")
    named = "\n".join(raised.value.errors)
    assert len(raised.value.errors) == 4
    for name in ("missing.jpg does not exist", "nothing contains no images", "broken.jpg", "empty.png"):
        assert name in named
    assert sorted(os.listdir(tmp_path / "out")) == ["good.png", "overlays"]


def test_no_image_is_overwritten(run, tmp_path):
    write_image(tmp_path / "photo.png")
    before = (tmp_path / "photo.png").read_bytes()
    with pytest.raises(DataError, match="would overwrite") as raised:
        predict_files(run.path, [tmp_path / "photo.png"], tmp_path)
    assert "photo.png is one of the images" in raised.value.errors[0]
    assert (tmp_path / "photo.png").read_bytes() == before


@pytest.mark.parametrize("names", [("a.jpg", "a.png"), ("a.jpg", "other/a.jpg")])
def test_two_images_with_the_same_result_are_refused(run, tmp_path, names):
    for name in names:
        write_image(tmp_path / name)
    with pytest.raises(DataError, match="would overwrite") as raised:
        predict_files(run.path, [tmp_path / name for name in names], tmp_path / "out")
    assert "2 times" in raised.value.errors[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kept", [0, 100, 0.5])
def test_a_damaged_model_is_refused(run, kept):
    file = run.model_path
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(WeightsError, match="cannot be loaded as a Keras model"):
        load_segmenter(file)


def test_a_file_of_other_bands_than_the_model_is_named_and_the_others_are_predicted(run, tmp_path):
    images = keras.Input((None, None, 4), name="images")
    keras.Model(images, keras.layers.Rescaling(1.0)(images)).save(run.model_path)
    run.palette = np.vstack([PALETTE, [[9, 9, 9]]]).astype(np.uint8)
    run.recipe = load_recipe("quickstart", ['data.bands=["blue", "green", "red", "nir"]'])
    image = np.random.default_rng(0).integers(0, 256, (20, 45, 4), dtype=np.uint8)
    write_tiff(tmp_path / "in/a.tif", image)
    write_image(tmp_path / "in/b.png")
    with pytest.raises(DataError) as raised:
        predict_files(run.path, [tmp_path / "in"], tmp_path / "out")
    assert "b.png is a PNG of 3 bands of 8 bits; data.bands asks for files of exactly 4 bands" in str(
        raised.value
    )
    with Image.open(tmp_path / "out/a.png") as labels, Image.open(tmp_path / "out/overlays/a.png") as overlay:
        classes = image.argmax(axis=-1)
        np.testing.assert_array_equal(np.asarray(labels), classes)
        shown = 0.5 * image[..., [2, 1, 0]] + 0.5 * run.palette[classes]
        assert np.abs(np.asarray(overlay) - shown).max() <= 1
