from __future__ import annotations

import io
import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.evaluation.made_run import make_run, write
from usrn_cli.main import main
from usrn_keras.evaluation.label_errors import contradicted, find_label_errors

ROAD, POLE, SKY = range(3)
CONFIDENCE = 0.7  # the network is sure of road and sky with 0.72, of pole with 0.58


def certain(ids, classes=3):
    return np.where(np.arange(classes) == ids[..., None], 0.96, 0.02)


def test_regions_are_found_and_outlines_are_not():
    ids = np.zeros((40, 60), int)
    ids[10:30, 20:40] = SKY
    labels = ids.copy()
    labels[:, 19] = labels[10:30, 38:] = ROAD  # an outline that is two pixels off
    labels[12:22, 22:30] = POLE  # a planted error
    labels[0:3, 0:3] = SKY  # 9 pixels are too few
    labels[30:, 50:] = 255
    found = contradicted(labels.astype(np.uint8), certain(ids), 0.9)
    expected = np.zeros((40, 60), bool)
    expected[12:22, 22:30] = True
    assert np.array_equal(found, expected)
    assert not contradicted(labels.astype(np.uint8), certain(ids), 0.97).any()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run whose class is the red value, two labelled images, and an error planted in one of the masks."""
    folder = tmp_path_factory.mktemp("labels")
    make_run(folder)
    red = np.zeros((60, 80), np.uint8)
    red[20:50, 10:40] = SKY
    red[:4, :4] = POLE  # every class is labelled
    for name in ("a", "b"):
        write(folder / f"data/images/{name}.png", np.stack([0 * red, 0 * red, red], axis=-1))
        write(folder / f"data/masks/{name}.png", red)
    wrong = red.copy()
    wrong[25:37, 15:31] = ROAD
    write(folder / "data/masks/b.png", wrong)
    return folder


def test_a_planted_error_is_found_with_its_place(made):
    found, sheet = find_label_errors(made / "run", confidence=CONFIDENCE)
    (one,) = [entry for entry in found if entry.part == "labelled"]
    assert one.sample.name == "b" and one.pixels == 12 * 16
    assert one.line() == (
        "b (labelled): 4.0 % contradicted; labelled road, predicted sky at x 15 to 30, y 25 to 36"
    )
    with Image.open(io.BytesIO(sheet)) as picture:
        assert picture.width > 4 * 200


def test_data_check_of_a_run(made, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    options = ["--confidence", str(CONFIDENCE), "--pictures", str(tmp_path / "errors.png"), "--quiet"]
    result = CliRunner().invoke(main, ["data", "check", str(made / "run"), *options])
    assert "possible label error: b (labelled): 4.0 % contradicted" in result.stdout
    assert cv2.imread(str(tmp_path / "errors.png")) is not None
    result = CliRunner().invoke(main, ["data", "check", str(made / "run"), *options, "--json"])
    errors = json.loads(result.stdout)["label_errors"]
    assert errors[0]["name"] == "b" and errors[0]["regions"][0]["box"] == [15, 25, 30, 36]
    result = CliRunner().invoke(main, ["data", "check", str(made / "run"), "--quiet"])
    assert "no label is contradicted by the model with confidence" in result.stdout


def test_pictures_need_a_run(made):
    result = CliRunner().invoke(
        main, ["data", "check", str(made / "recipe.toml"), "--pictures", str(made / "x.png")]
    )
    assert result.exit_code == 2 and "needs the folder of a run" in result.stderr
