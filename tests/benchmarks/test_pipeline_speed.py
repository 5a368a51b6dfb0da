"""The benchmark of the input pipeline runs, and its peer makes the same kinds of views."""

from __future__ import annotations

import csv
from itertools import groupby

import cv2
import numpy as np
import pytest

from benchmarks import pipeline
from benchmarks.pillow_pipeline import MEAN, PillowPipeline, strong, turned_hue
from tests.data.waves import shifts, write_waves
from usrn_keras.data import Sample


@pytest.fixture
def setting(tmp_path):
    """Three images of 96 x 128 pixels, crop 32; the masks are the column modulo 200."""
    samples = []
    for number in range(3):
        image, mask = write_waves(tmp_path / f"{number}.jpg", 96, 128), tmp_path / f"{number}.png"
        assert cv2.imwrite(str(mask), np.tile(np.arange(128, dtype=np.uint8), (96, 1)))
        samples.append(Sample(str(number), image, mask))
    return pipeline.Setting("tiny", tuple(samples), 32, 64)


@pytest.mark.parametrize("kind", ["labelled", "unlabelled"])
@pytest.mark.parametrize(("keep", "threads"), [(False, 2), (True, 1)])
def test_a_row_for_each_method(setting, kind, keep, threads):
    rows = list(pipeline.measure(setting, kind, keep, threads, rounds=2, steps=1))
    assert tuple(row["method"] for row in rows) == pipeline.METHODS[kind]
    for row in rows:
        assert row["images_per_cpu_second_min"] <= row["images_per_cpu_second_median"]
        assert row["images_per_cpu_second_median"] <= row["images_per_cpu_second_max"]
        assert row["images_per_cpu_second_min"] > 0 and row["images"] == 2 * pipeline.BATCH
    assert rows[-1]["ratio_to_pillow_median"] == 1


def test_every_method_makes_views_of_one_shape(setting):
    peer = pipeline.pillow(setting, "unlabelled", keep=False)(0)
    assert [view.shape for view in peer] == [(pipeline.BATCH, 32, 32, 3)] * 2
    arrays = pipeline.ours(setting, "unlabelled", "usrn-keras keras_cv", keep=False)(0)
    assert arrays["weak"].shape == arrays["strong"].shape == (pipeline.BATCH, 32, 32, 3)
    computed = pipeline.ours(setting, "unlabelled", "usrn-keras cpu", keep=False)(0)
    assert computed.shape == (pipeline.BATCH, 32, 32, 3)
    image, labels = pipeline.pillow(setting, "labelled", keep=False)(0)
    assert image.dtype == np.uint8 and labels.dtype == np.int32 and labels.shape == image.shape[:3]


def test_the_peer_pads_and_keeps_image_and_mask_together(setting):
    peer, sample = PillowPipeline(setting.crop, setting.long_side, keep=True), setting.samples[0]
    for seed in range(20):
        image, labels = peer.labelled(np.random.default_rng(seed), sample.image, sample.mask)
        padding = labels == 255
        assert (image[padding] == MEAN).all()
        found = shifts(image[~padding], np.zeros_like(labels[~padding]), labels[~padding])
        assert np.abs(found).max() <= 6  # bicubic rings at the bends, nearest takes the upper left pixel
    assert set(peer._kept) == {sample.image, sample.mask}


def test_the_strong_view_of_the_peer():
    grey = np.full((8, 8, 3), 100, np.uint8)
    views = np.stack([strong(np.random.default_rng(seed), grey) for seed in range(300)])
    assert 0.7 < (views != 100).any(axis=(1, 2, 3)).mean() < 0.9
    assert 60 <= views.min() < 70 and 130 < views.max() <= 140
    red = pipeline.Image.new("RGB", (1, 1), (200, 0, 0))
    assert turned_hue(red, 1 / 3).getpixel((0, 0))[1] == 200 and turned_hue(red, 0).getpixel((0, 0))[0] == 200


def test_enlarged_files_match_their_masks(setting, tmp_path):
    (tmp_path / "large").mkdir()
    made = pipeline.large_setting(tmp_path / "large", setting, files=2, size=(64, 128))
    for sample in made.samples:
        assert cv2.imread(str(sample.image)).shape == (64, 128, 3)
        mask = cv2.imread(str(sample.mask), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mask, np.tile(np.arange(128, dtype=np.uint8), (64, 1)))


def test_the_command_writes_its_rows(tmp_path, monkeypatch):
    monkeypatch.setitem(pipeline.METHODS, "unlabelled", ("usrn-keras", "pillow"))
    path = tmp_path / "pipeline.csv"
    given = f"--settings small --threads 1 --rounds 1 --steps 1 1 --files 2 --csv {path}"
    pipeline.main(given.split(" "))
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    measured = [(kind, cache) for (kind, cache), _ in groupby(rows, lambda row: (row["kind"], row["cache"]))]
    assert measured == [(kind, cache) for kind in ("labelled", "unlabelled") for cache in ("off", "on")]
    assert all(row["setting"] == "drawn 480x360 crop 320" and row["commit"] for row in rows)
