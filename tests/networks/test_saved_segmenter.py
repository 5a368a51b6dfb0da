"""F as it was saved, read without drawing weights that are overwritten."""

from __future__ import annotations

import zipfile

import keras
import numpy as np
import pytest

from tests.tools import fill, tiny_branches
from usrn_keras.errors import WeightsError
from usrn_keras.networks import load_segmenter


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A segmenter whose every weight differs from its initial one, and its file."""
    model = tiny_branches()[0].segmenter()
    fill(model.variables)
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(path)
    return model, path


def test_logits_are_those_of_the_saved_model(saved):
    model, path = saved
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 64, 3)).astype("float32")
    expected, found = (
        keras.ops.convert_to_numpy(keras.ops.stop_gradient(network(images, training=False)))
        for network in (model, load_segmenter(path))
    )
    np.testing.assert_array_equal(found, expected)


def test_every_weight_is_the_saved_one(saved):
    """Statistics of batch normalisation too, which do not begin at zero otherwise."""
    model, path = saved
    for old, new in zip(model.get_weights(), load_segmenter(path).get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_no_weight_is_drawn(saved):
    """Nor are other initializers left that would be computed for nothing."""
    initializers = {
        type(value).__name__
        for layer in load_segmenter(saved[1])._flatten_layers()
        for name, value in vars(layer).items()
        if name.endswith("_initializer") and value is not None
    }
    assert initializers == {"Zeros"}


def test_the_file_stays_as_it_is(saved):
    path = saved[1]
    before = path.read_bytes()
    load_segmenter(path)
    assert path.read_bytes() == before
    assert b"GlorotUniform" in zipfile.ZipFile(path).read("config.json")


def test_missing_file(tmp_path):
    with pytest.raises(WeightsError, match=r"absent\.keras cannot be loaded"):
        load_segmenter(tmp_path / "absent.keras")


@pytest.mark.parametrize("keep", [0, 100, -1000])
def test_truncated_file(saved, tmp_path, keep):
    path = tmp_path / "half.keras"
    path.write_bytes(saved[1].read_bytes()[:keep])
    with pytest.raises(WeightsError, match=r"half\.keras cannot be loaded"):
        load_segmenter(path)


def test_a_flipped_bit_in_the_weights(saved, tmp_path):
    content = bytearray(saved[1].read_bytes())
    content[len(content) // 2] ^= 1
    path = tmp_path / "flipped.keras"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"flipped\.keras cannot be loaded"):
        load_segmenter(path)


@pytest.mark.parametrize("missing", ["config.json", "model.weights.h5"])
def test_a_zip_that_lacks_a_part(saved, tmp_path, missing):
    path = tmp_path / "part.keras"
    with zipfile.ZipFile(saved[1]) as old, zipfile.ZipFile(path, "w") as new:
        for name in set(old.namelist()) - {missing}:
            new.writestr(name, old.read(name))
    with pytest.raises(WeightsError, match=r"part\.keras cannot be loaded"):
        load_segmenter(path)


def test_what_was_trained_in_bfloat16_computes_in_float32(tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tiny_branches()[0].segmenter()
        fill(model.variables)
        model.save(tmp_path / "mixed.keras")
    finally:
        keras.config.set_dtype_policy(before)
    mixed, plain = (load_segmenter(tmp_path / "mixed.keras", float32=exact) for exact in (False, True))
    policies = [{layer.dtype_policy.name for layer in one._flatten_layers()} for one in (mixed, plain)]
    assert "mixed_bfloat16" in policies[0] and policies[1] == {"float32"}
    images = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype("float32")
    found, rough = (
        keras.ops.convert_to_numpy(keras.ops.stop_gradient(one(images, training=False)))
        for one in (plain, mixed)
    )
    np.testing.assert_allclose(found, rough, rtol=0.1, atol=0.1 * np.abs(found).max())
    assert (found != rough).any()
