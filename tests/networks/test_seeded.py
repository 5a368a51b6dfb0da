"""One seed is one experiment on every backend: weights and dropout are compared with NumPy."""

import keras
import numpy as np
import pytest
from keras import initializers, layers, ops

from usrn_keras.methods import USRN
from usrn_keras.networks import build_branches
from usrn_keras.networks.seeded import SeededDraws, SeededDropout, draw_weights

every_backend = pytest.mark.every_backend

# Recorded on torch; the three backends agree.
FIRST_LOSSES = {
    "confident": 1.0,
    "confident_sub": 1.0,
    "gate_dropped": 0.0,
    "gate_open": 0.453125,
    "label_overridden": 0.25,
    "loss": 5.607369422912598,
    "self_training": 1.0734971761703491,
    "self_training_sub": 1.5518838167190552,
    "supervised": 1.2752711772918701,
    "supervised_sub": 1.7067174911499023,
}


def hashes(seed, call, count):
    """The hash of `SeededDropout` in unsigned NumPy integers."""
    with np.errstate(over="ignore"):
        bits = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B1)
        bits += np.uint32(seed) + np.uint32(call) * np.uint32(747796405)
        for shift, multiplier in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            bits = (bits ^ (bits >> np.uint32(shift))) * np.uint32(multiplier)
        return (bits ^ (bits >> np.uint32(16))) & np.uint32(2**24 - 1)


@every_backend
def test_dropout_drops_what_the_hash_says():
    dropout = SeededDropout(0.3, seed=123456789)
    ones = np.ones((2, 5, 7, 3), "float32")
    for call in range(3):
        found = ops.convert_to_numpy(dropout(ones, training=True))
        kept = hashes(123456789, call, ones.size).reshape(ones.shape) >= round(0.3 * 2**24)
        np.testing.assert_allclose(found, kept / np.float32(0.7), rtol=1e-6)


@every_backend
def test_uniform_numbers_are_the_hash_and_move_on():
    draws = SeededDraws(123456789)
    for call in range(3):
        found = ops.convert_to_numpy(draws.uniform((2, 5, 7)))
        expected = hashes(123456789, call, 70).reshape(2, 5, 7) * np.float32(2**-24)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.float32 and found.max() < 1


@every_backend
def test_dropout_drops_its_share_and_nothing_at_inference():
    dropout = SeededDropout(0.3, seed=1)
    ones = np.ones((8, 32, 32, 16), "float32")
    found = ops.convert_to_numpy(dropout(ones, training=True))
    assert abs((found == 0).mean() - 0.3) < 0.005
    neighbours = (found[:, :, 1:] == 0) & (found[:, :, :-1] == 0)
    assert abs(neighbours.mean() - 0.09) < 0.005
    assert abs(found.mean() - 1) < 0.01
    assert (ops.convert_to_numpy(dropout(ones)) == 1).all()


@every_backend
def test_noise_shape_drops_whole_images():
    found = ops.convert_to_numpy(
        SeededDropout(0.5, (None, 1, 1, 1), seed=3)(np.ones((64, 4, 4, 2), "float32"), training=True)
    )
    assert set(found.reshape(64, -1).mean(axis=1).tolist()) == {0.0, 2.0}


def test_dropout_resumes_from_its_state():
    first, second = SeededDropout(0.5, seed=9), SeededDropout(0.5, seed=9)
    ones = np.ones((1, 50), "float32")
    first(ones, training=True)
    second.seed_generator.state.assign(first.seed_generator.state)
    after = [ops.convert_to_numpy(one(ones, training=True)) for one in (first, second)]
    np.testing.assert_array_equal(*after)


def test_a_rate_outside_its_range():
    with pytest.raises(ValueError, match="`rate` must be at least 0 and below 1, received 1"):
        SeededDropout(1.0)


def test_dropout_is_saved_with_its_seed():
    config = SeededDropout(0.5, (None, 1, 1, 1), seed=4).get_config()
    copy = SeededDropout.from_config(config)
    assert (copy.rate, copy.noise_shape, copy.seed) == (0.5, (None, 1, 1, 1), 4)


def test_a_model_file_keeps_the_state_of_dropout(tmp_path):
    """A loaded model drops what the saved one would drop next; an older file without state is loaded, too."""
    images = keras.Input((50,))
    model = keras.Model(images, SeededDropout(0.5, seed=9)(images))
    ones = np.ones((1, 50), "float32")
    model(ones, training=True)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        *(ops.convert_to_numpy(one(ones, training=True)) for one in (model, again)), strict=True
    )
    SeededDropout(0.5).load_own_variables({})


@pytest.mark.parametrize(
    ("initializer", "variance", "limit"),
    [
        ("he_normal", 2 / 72, 2 * (2 / 72) ** 0.5 / 0.8796),
        ("glorot_uniform", 2 / (72 + 144), (6 / (72 + 144)) ** 0.5),
        (initializers.RandomNormal(0.0, 0.1), 0.01, np.inf),
        (initializers.TruncatedNormal(0.0, 0.1), 0.01 * 0.7737, 0.2),
        (initializers.RandomUniform(-0.1, 0.1), 0.01 / 3, 0.1),
    ],
)
def test_weights_have_the_distribution_of_their_initializer(initializer, variance, limit):
    images = keras.Input((None, None, 8))
    model = keras.Model(images, layers.Conv2D(16, 3, kernel_initializer=initializer)(images))
    draw_weights(model, np.random.default_rng(0))
    kernel, bias = model.get_weights()
    assert kernel.var() == pytest.approx(variance, rel=0.1)
    assert np.abs(kernel).max() <= limit * 1.001
    assert (bias == 0).all()


def test_an_unknown_initializer_is_an_error():
    images = keras.Input((None, None, 2))
    convolution = layers.Conv2D(2, 1, kernel_initializer=initializers.Orthogonal())
    with pytest.raises(TypeError, match="Orthogonal cannot be drawn"):
        draw_weights(keras.Model(images, convolution(images)), np.random.default_rng(0))


@every_backend
def test_first_losses_of_a_seed_are_the_same_on_every_backend():
    branch, sub_branch = build_branches(
        "keras/mobilenet", classes=3, subclasses=5, weights="none", width=0.25, seed=0, sharing="low"
    )
    model = USRN(branch, sub_branch, parents=[0, 0, 1, 1, 2], threshold=0.0)
    for variable in model.variables:
        if variable.path.endswith("seed_generator_state"):  # drawn by the process before
            variable.assign([7, 0])
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 64, 64, 3)).astype("uint8")
    labels = rng.integers(0, 3, (2, 64, 64)).astype("int32")
    batch = {"labelled": images, "weak": images, "labels": labels, "sublabels": labels}
    terms = model.loss_terms(batch)
    found = {name: float(ops.convert_to_numpy(value)) for name, value in terms.items()}
    assert found == pytest.approx(FIRST_LOSSES, rel=1e-5)
