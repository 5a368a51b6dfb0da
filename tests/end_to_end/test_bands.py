"""Red, green, blue and near infrared of 16 bits: from folders to predictions and an exported model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.data.band_files import write_tiff
from usrn_cli.main import main
from usrn_keras import load
from usrn_keras.data.decoding.images import read_image
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.bands import parse_bands

SMALL = {
    "network.weights": "none",
    "network.width": 0.25,
    "network.backbone_end": "conv_pw_7_relu",
    "network.aspp_rates": "[2]",
    "network.aspp_channels": 8,
    "network.low_level_channels": 4,
    "network.decoder_channels": 8,
    "views.crop_size": 32,
    "views.labelled_jitter": "true",
    "training.method": "usrn",
    "training.start": "imagenet",
    "training.baseline_steps": 30,
    "training.usrn_steps": 2,
    "training.batch_labelled": 2,
    "training.batch_unlabelled": 2,
    "subclasses.max_subclasses": 2,
}
BANDS = ("red", "green", "blue", "4")


def succeed(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, f"usrn {arguments}\n{result.output}"
    return result.stdout


def plain(text: str) -> str:
    """Text without line breaks."""
    return " ".join(text.split())


def make_scenes(count: int = 10, masked: int = 7) -> None:
    """`scenes/`: plants, which near infrared alone shows, on ground; every other file is in planes."""
    Path("scenes").mkdir()
    Path("masks").mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        scene = rng.integers(300, 900, (48, 64, 4)).astype(np.uint16)
        plants = np.zeros((48, 64), np.uint8)
        plants[4 + 2 * index : 24 + 2 * index, 3 * index : 30 + 3 * index] = 1
        scene[..., 3] += 2500 * plants.astype(np.uint16)
        write_tiff(Path(f"scenes/{index:02}.tif"), scene, planar=index % 2 == 1, deflate=index % 3 == 0)
        if index < masked:
            Image.fromarray(plants).save(f"masks/{index:02}.png")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_scenes()
    said = succeed("init", "project", "--images", "scenes", "--masks", "masks", "--cpu")
    assert "10 image(s) are each a TIFF of 4 bands of 16 bits" in plain(said)
    return "project/project.toml"


def test_four_bands_from_init_to_export(project):
    assert 'bands = ["red", "green", "blue", 4]' in Path(project).read_text()
    assert "value_range = [0, 33" in Path(project).read_text()
    succeed("data", "check", project)
    overrides = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    succeed("data", "show", project, "--out", "views.png", *overrides)
    scores = json.loads(succeed("fit", project, "--run", "run", *overrides, "--json"))["scores"]
    assert [one["name"] for one in scores] == ["Baseline", "USRN"]
    assert Path("run/report/index.html").exists()
    succeed("predict", "run", "scenes/08.tif", "scenes/09.tif", "--out", "out", "--quiet")
    bands = parse_bands(["red", "green", "blue", 4])
    image = read_image("scenes/09.tif", bands=bands, value_range=load_recipe(project).data.value_range)
    assert image.shape == (48, 64, 4) and image[..., 3].max() > 2 * image[..., 0].max()
    segmenter = load("run")
    with Image.open("out/09.png") as predicted:
        for given in (image, "scenes/09.tif"):
            np.testing.assert_array_equal(np.asarray(predicted), segmenter.predict(given).classes)
    result = CliRunner().invoke(main, ["predict", "run", "masks/00.png", "--out", "other"])
    assert result.exit_code != 0 and "data.bands asks for files of at least 4 bands" in plain(result.output)
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save("scenes/01.tif")
    result = CliRunner().invoke(main, ["data", "check", project])
    assert result.exit_code != 0
    assert "is a TIFF of 3 bands of 8 bits; data.bands asks" in plain(result.output)
    report = json.loads(succeed("export", "run", "--format", "torch", "--json"))
    assert report["input_signature"] == "float32 (batch, 32*height, 32*width, 4)"
    labels = json.loads(Path(report["labels"]).read_text())
    assert labels["input"]["bands"] == list(BANDS) and labels["input"]["value_range"][0] == 0
