"""What `usrn init` proposes for the bands of TIFFs."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.data.band_files import write_tiff
from usrn_keras.data.decoding.file_facts import read_facts
from usrn_keras.project.band_proposal import describe_bands, note_mixed_bands, propose_bands
from usrn_keras.project.survey import survey_files

EXTRA, PHOTOMETRIC = 338, 262
FOUR = ("red", "green", "blue", 4)


def facts_of(tmp_path, *images, **options):
    paths = [write_tiff(tmp_path / f"{n}.tif", image, **options) for n, image in enumerate(images)]
    return {path: read_facts(path) for path in paths}


def noise(bands, seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, 250, (12, 14, bands)).astype(dtype)


def with_alpha():
    image = noise(4)
    image[..., 3] = np.where(image[..., 3] > 100, 255, 0)
    return image


@pytest.mark.parametrize(
    ("image", "tags", "entries"),
    [
        (noise(4), {}, FOUR),
        (noise(4, dtype=np.uint16), {EXTRA: (3, [0])}, FOUR),
        (noise(4), {EXTRA: (3, [2]), PHOTOMETRIC: (3, [2])}, ()),
        (noise(4), {PHOTOMETRIC: (3, [5])}, ()),
        (with_alpha(), {}, ()),
        (noise(6), {}, (1, 2, 3, 4, 5, 6)),
        (noise(2), {}, (1, 2)),
        (noise(3), {PHOTOMETRIC: (3, [2])}, ()),
        (noise(1), {}, ()),
    ],
)
def test_proposed_bands(tmp_path, image, tags, entries):
    facts = facts_of(tmp_path, image, image, tags=tags)
    assert propose_bands(facts) == entries
    if entries:
        said = describe_bands(facts, entries)
        assert said.startswith(f"2 image(s) are each a TIFF of {image.shape[-1]} bands of ")
        assert ("the first three are red, green and blue" in said) == (entries == FOUR)


def test_images_of_several_numbers_of_bands_have_no_proposal(tmp_path):
    facts = facts_of(tmp_path, noise(4), noise(4), noise(3))
    assert propose_bands(facts) == ()
    assert "2 image(s) have 4 bands and 1 have other numbers of bands" in note_mixed_bands(facts)[0]


def test_the_value_range_is_that_of_all_bands(tmp_path):
    image = noise(4, dtype=np.uint16)
    image[..., 3] = 10 * image[..., 0]
    images = {str(n): write_tiff(tmp_path / f"{n}.tif", image, planar=n == 1) for n in range(2)}
    Image.fromarray(np.zeros((12, 14), np.uint8)).save(tmp_path / "mask.png")
    errors = []
    survey = survey_files(images, {"0": tmp_path / "mask.png"}, errors)
    assert not errors and survey.bands == FOUR
    assert survey.value_range == (0, int(image.max()))
    assert [sentence.split(":")[0] for sentence in survey.assumptions] == [
        "2 image(s) are each a TIFF of 4 bands of 16 bits",
        f"2 image(s) have 16 bits and values from 0 to {image.max()}",
    ]


def test_six_bands_beside_rgb_are_errors(tmp_path):
    images = {"a": write_tiff(tmp_path / "a.tif", noise(6)), "b": write_tiff(tmp_path / "b.tif", noise(3))}
    errors = []
    survey_files(images, {}, errors)
    assert len(errors) == 1 and "a.tif is a TIFF of 6 bands of 8 bits" in errors[0]
    assert "Set data.bands" in errors[0]
