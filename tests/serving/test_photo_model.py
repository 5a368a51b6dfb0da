"""A photo is read and predicted as `usrn predict` does, byte for byte of the mask."""

from __future__ import annotations

import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tomli_w
from PIL import Image

from tests.evaluation.made_run import make_run
from tests.serving.photos import PALETTE, ask, brightest_model, parts, parts_of, photo, served, unpacked
from usrn_keras.data.decoding.decode import ImageSizeError
from usrn_keras.data.decoding.images import read_image
from usrn_keras.evaluation.predict import predict_files
from usrn_keras.recipe.bands import parse_bands
from usrn_keras.serving.photo_answer import answer_form, photo_facts
from usrn_keras.serving.photo_model import PhotoModel, SegmentedPhoto, load_photo_model
from usrn_keras.serving.upload_limits import UploadLimits


def write_turned(path: Path, image: np.ndarray) -> None:
    """A JPEG whose orientation says that it lies on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(path, quality=100, subsampling=0, exif=exif)


def write_deep(path: Path, image: np.ndarray) -> None:
    """A PNG of 16 bits."""
    cv2.imwrite(str(path), image[..., ::-1].astype(np.uint16) * 257)


def set_keys(recipe: Path, section: str, **values: object) -> None:
    """Set keys of the recipe of a run."""
    content = tomllib.loads(recipe.read_text())
    content[section] |= values
    recipe.write_text(tomli_w.dumps(content))


@pytest.mark.every_backend
@pytest.mark.parametrize(("name", "write"), [("turned.jpg", write_turned), ("deep.png", write_deep)])
@pytest.mark.parametrize(
    "options",
    [{}, {"mode": "slide", "flip": True}, {"scales": [0.5, 1.0]}],
    ids=["whole", "slide", "scales"],
)
def test_the_mask_is_the_file_of_predict(tmp_path, name, write, options):
    make_run(tmp_path)
    set_keys(tmp_path / "run/recipe.toml", "evaluation", **options)
    image = np.random.default_rng(0).integers(0, 3, (40, 50, 3), dtype=np.uint8)
    write(tmp_path / name, image)
    mask, *_ = predict_files(tmp_path / "run", [tmp_path / name], tmp_path / "out")
    *_, confidence = predict_files(tmp_path / "run", [tmp_path / name], tmp_path / "more", confidence=True)
    with served(load_photo_model(tmp_path / "run")) as server:
        answer = parts(ask(server, "POST", f"/segment?name={name}", (tmp_path / name).read_bytes()))
    assert answer["mask"] == mask.read_bytes()
    grey = cv2.imread(str(confidence), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(unpacked(answer["confidence"], grey.shape), grey)
    assert grey.shape == ((50, 40) if name == "turned.jpg" else (40, 50))


def test_a_run_gives_its_names_colours_and_value_range(tmp_path):
    make_run(tmp_path)
    set_keys(tmp_path / "run/recipe.toml", "data", value_range=[0, 4095])
    model = load_photo_model(tmp_path / "run")
    assert (model.name, model.classes) == ("run", ("road", "pole", "sky"))
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((4, 4, 3), 2048, np.uint16))
    found = model.segment("deep.png", (tmp_path / "deep.png").read_bytes())
    np.testing.assert_array_equal(found.image, read_image(tmp_path / "deep.png", value_range=(0, 4095)))
    assert found.image.max() == 128


def test_a_model_of_other_bands_and_a_photo_of_three():
    """The model is given its bands, and people see red, green and blue."""
    seen = []

    def infrared(image):
        seen.append(image)
        return (image[..., 3] > 100).astype(np.int32), np.ones(image.shape[:2], np.float32)

    bands = parse_bands(["red", "green", "blue", "nir"])
    model = PhotoModel("nir", ["soil", "leaf"], PALETTE[:2], infrared, bands=bands)
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    found = model.segment("a.tif", cv2.imencode(".tif", image[..., [2, 1, 0, 3]])[1].tobytes())
    np.testing.assert_array_equal(seen[0], image)
    np.testing.assert_array_equal(found.image, image[..., :3])
    with served(model) as server:
        answer = ask(server, "POST", "/segment?name=rgb.png", photo()[1])
    assert answer.status == 415 and "3 bands" in answer.json["error"] and answer.json["hint"]


def test_the_limit_is_checked_before_the_pixels_are_decoded(monkeypatch):
    monkeypatch.setattr("usrn_keras.serving.photo_model.decode_image", None)
    with pytest.raises(ImageSizeError, match=r"9 x 6 pixels, .* the limit is 5e-05"):
        brightest_model().segment("a.png", photo(6, 9)[1], UploadLimits(megapixels=5e-5))


def test_peculiarities_of_the_file_are_notes(tmp_path):
    frames = [Image.fromarray(photo(seed=seed)[0]) for seed in range(3)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    model = brightest_model()
    facts = photo_facts(model.segment("a.tif", (tmp_path / "a.tif").read_bytes()), model)
    assert facts["notes"] == ["it has 3 pages, of which the first is read"]


def test_shares_and_confidence_of_classes():
    ids = np.array([[0, 2, 2, 2]])
    confidence = np.float32([[0.5, 0.25, 0.75, 0.5]])
    found = SegmentedPhoto("wood.JPG", np.zeros((1, 4, 3), np.uint8), ids, confidence, (), 0.1234)
    facts = photo_facts(found, brightest_model())
    assert facts["classes"] == [
        {"id": 2, "name": "blue", "pixels": 3, "share": 0.75, "confidence": 0.5},
        {"id": 0, "name": "red", "pixels": 1, "share": 0.25, "confidence": 0.5},
    ]
    assert (facts["confidence"], facts["seconds"], facts["mask_name"]) == (0.5, 0.123, "wood_mask.png")


def test_more_than_256_classes():
    """Two bytes for an id; the mask has grey values of 16 bits."""
    model = PhotoModel("many", [str(i) for i in range(300)], np.zeros((300, 3)), None)
    found = SegmentedPhoto("a", np.zeros((1, 2, 3), np.uint8), np.array([[299, 1]]), np.ones((1, 2)), (), 0)
    answer = parts_of(answer_form(found, model))
    assert unpacked(answer["ids"], (1, 2), "<u2").tolist() == [[299, 1]]
    mask = cv2.imdecode(np.frombuffer(answer["mask"], np.uint8), cv2.IMREAD_UNCHANGED)
    assert mask.tolist() == [[299, 1]]


def test_a_large_photo_is_shown_reduced(monkeypatch):
    monkeypatch.setattr("usrn_keras.serving.photo_answer.SHOWN_SIDE", 5)
    model = brightest_model()
    answer = parts_of(answer_form(model.segment("a.png", photo(6, 10)[1]), model))
    shown = cv2.imdecode(np.frombuffer(answer["photo"], np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (3, 5, 3) and len(unpacked(answer["ids"], (6, 10))) == 6
