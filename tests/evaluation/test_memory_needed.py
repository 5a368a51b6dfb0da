from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from tests.evaluation.networks import red_dataset
from tests.tools import tiny_branches
from usrn_keras.errors import OutOfMemoryError
from usrn_keras.evaluation import Inference, Predictor, memory_needed
from usrn_keras.evaluation.evaluate import evaluate_with
from usrn_keras.evaluation.memory_needed import MemoryCheck, peak_map_bytes


def test_maps_are_counted_until_their_last_reader():
    images = keras.Input((None, None, 3))
    wide = layers.Conv2D(16, 1, name="wide")(images)  # 12 + 64 bytes a pixel
    small = layers.Conv2D(8, 1, strides=2)(wide)  # 64 + 32 / 4, the images are free
    large = layers.UpSampling2D(2)(small)  # 64 + 8 + 32, if `wide` is still needed
    assert peak_map_bytes(keras.Model(images, large), 3) == 12 + 64
    both = layers.Concatenate()([wide, large])  # 64 + 32 + 96
    assert peak_map_bytes(keras.Model(images, both), 3) == 64 + 32 + 96


def test_a_nested_network_counts_as_its_layers():
    inner_images = keras.Input((None, None, 3))
    inner = keras.Model(inner_images, layers.Conv2D(1, 1)(layers.Conv2D(16, 1)(inner_images)))
    images = keras.Input((None, None, 3))
    assert peak_map_bytes(keras.Model(images, inner(images)), 3) == peak_map_bytes(inner, 3) == 12 + 64


@pytest.mark.parametrize(
    ("options", "size", "pixels"),
    [(Inference(), (100, 100), 2 * 128 * 128), (Inference("slide", window=64), (999, 999), 2 * 64 * 64),
     (Inference(scales=(1, 2)), (100, 100), 2 * 224 * 224), (Inference(), (4000, 500), 2048 * 512)],
)  # fmt: skip
def test_the_pixels_that_the_network_gets_at_once(options, size, pixels):
    predictor = Predictor(tiny_branches()[0].segmenter(), options, batch=2, largest_whole=2 * 10**6)
    assert predictor.pixels_at_once(size) == pixels


def test_a_network_that_sees_the_whole_image_needs_all_of_it(monkeypatch):
    monkeypatch.setattr(memory_needed, "on_accelerator", lambda: False)
    monkeypatch.setattr(memory_needed, "available_memory", lambda: 12 * 10**8)
    tiled, whole = (tiny_branches(decoder=name)[0].segmenter() for name in ("deeplab_v3_plus", "pspnet"))
    MemoryCheck(Predictor(tiled), host_bytes=16, less="less").validate("a.png", (6000, 8000))
    with pytest.raises(
        OutOfMemoryError, match=r"a.png: predicting 8000 x 6000 pixels as whole needs"
    ) as caught:
        MemoryCheck(Predictor(whole), host_bytes=16, less="less").validate("a.png", (6000, 8000))
    assert caught.value.hint == "less" and caught.value.exit_code == 11
    windows = Predictor(whole, Inference("slide", window=64))
    MemoryCheck(windows, host_bytes=16, less="less").validate("a.png", (6000, 8000))


def test_memory_of_a_gpu(monkeypatch):
    monkeypatch.setattr(memory_needed, "on_accelerator", lambda: True)
    monkeypatch.setattr(memory_needed, "available_memory", lambda: 10**12)
    check = MemoryCheck(Predictor(tiny_branches()[0].segmenter()), host_bytes=16, less="less")
    for room, fits in ((None, True), (10**12, True), (10**6, False)):
        monkeypatch.setattr(memory_needed, "available_gpu_memory", lambda room=room: room)
        if fits:
            check.validate("a.png", (4000, 5000))
        else:
            with pytest.raises(OutOfMemoryError, match="of the GPU"):
                check.validate("a.png", (4000, 5000))


def test_an_evaluation_is_refused_before_it_predicts(tmp_path, monkeypatch):
    dataset, _, _ = red_dataset(tmp_path, [(20, 24)], 3)
    predictor = Predictor(tiny_branches()[0].segmenter())
    monkeypatch.setattr(memory_needed, "ALWAYS_FITS", 0)
    monkeypatch.setattr(memory_needed, "on_accelerator", lambda: False)
    monkeypatch.setattr(memory_needed, "available_memory", lambda: 1)
    monkeypatch.setattr(predictor, "ids_of", lambda images: [np.zeros(image.shape[:2]) for image in images])
    with pytest.raises(OutOfMemoryError, match=str(dataset.val[0].image)) as caught:
        evaluate_with(predictor, dataset.val, dataset)
    assert "--mode slide" in caught.value.hint
