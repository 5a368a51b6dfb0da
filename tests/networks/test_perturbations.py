"""The perturbations of CCT against values of the official code, and what they promise where they differ."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from tests.methods.rival_golden import rival_golden
from tests.tools import gradients
from usrn_keras.networks import perturbations
from usrn_keras.networks.perturbations import (
    add_noise,
    adversarial_shift,
    cut_out,
    draw_shape,
    drop_active,
    drop_channels,
    keep_background,
    keep_foreground,
    perturb,
)
from usrn_keras.recipe.method_options import CCT_PERTURBATIONS

pytestmark = pytest.mark.every_backend


def tensors(*arrays) -> list:
    return [ops.convert_to_tensor(np.asarray(array, "float32")) for array in arrays]


def value_of(tensor) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def assert_close(found, expected: np.ndarray, error: float = 1e-5) -> None:
    scale = np.abs(expected).max()
    np.testing.assert_allclose(value_of(found) / scale, expected / scale, atol=error)


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    """The features of all golden values, `(2, 8, 8, 6)`."""
    return rival_golden("cct")["feature_drop/x"]


def foreground_of(golden: dict) -> np.ndarray:
    """Class 0 is the background; an 8 x 8 map takes the upper left pixel of each cell of 8 x 8."""
    return np.float32(golden["mask/logits_of_main_decoder"].argmax(-1) != 0)[:, ::8, ::8]


def test_values_of_the_official_code(features):
    golden = rival_golden("cct")
    drawn = (golden["feature_drop/uniform"] - 0.7) / 0.2
    noise = (golden["feature_noise/noise"] / 0.3 + 1) / 2
    features, drawn, noise, foreground = tensors(features, drawn, noise[None], foreground_of(golden))
    assert_close(drop_active(features, drawn), golden["feature_drop/out"])
    assert_close(add_noise(features, noise), golden["feature_noise/out"])
    assert_close(keep_foreground(features, foreground), golden["context_mask/out"])
    assert_close(keep_background(features, foreground), golden["object_mask/out"])


def test_adversarial_shift_of_the_official_code():
    """In float32, the difference of two predictions is exact to about 1e-5 of the shift.

    The official value differs by 1.3e-5 from the same formula in float64.
    """
    golden = rival_golden("cct/vat")
    assert float(golden["eps"]) == perturbations.ADVERSARIAL_NORM

    features, uniform, kernel = tensors(golden["x"], golden["uniform_minus_half"] + 0.5, golden["kernel"])
    found = adversarial_shift(features, uniform, lambda some: ops.matmul(some, kernel))
    assert_close(found, golden["r_adv_xi_0.1"], error=3e-5)
    np.testing.assert_allclose(np.linalg.norm(value_of(found).reshape(2, -1), axis=1), 2, rtol=1e-5)


def test_the_official_xi_shifts_nothing():
    """The fault of the shipped configuration, stored with the golden values."""
    golden = rival_golden("cct/vat")
    for name in ("r_adv_xi_1e-06", "r_adv_xi_1e-06_computed_in_float64"):
        assert np.linalg.norm(golden[name].reshape(2, -1), axis=1).max() < 1e-3


def test_the_adversarial_shift_changes_a_prediction_more_than_a_random_one():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3, 4, 4, 6)).astype("float32")
    kernel, directions = rng.normal(size=(6, 5)), rng.random((20, *features.shape), dtype="float32")

    def divergence(shift: np.ndarray) -> np.ndarray:
        """Kullback-Leibler divergence of each image, in float64."""
        logits = [value @ kernel for value in (features, features + shift)]
        before, after = (x - np.log(np.exp(x).sum(-1, keepdims=True)) for x in logits)
        return (np.exp(before) * (before - after)).sum((1, 2, 3))

    given, direction, weights = tensors(features, directions[0], kernel)
    shift = adversarial_shift(given, direction, lambda some: ops.matmul(some, weights))
    found = divergence(value_of(shift))
    for direction in directions - 0.5:
        norm = np.linalg.norm(direction.reshape(3, -1), axis=1)
        assert (found > divergence(direction * (2 / norm)[:, None, None, None])).all()


def test_dropped_channels():
    """Half of the channels on average, the same at every position, the rest doubled."""
    uniform = np.random.default_rng(0).random((40, 1, 1, 500), dtype="float32")
    found = value_of(drop_channels(*tensors(np.ones((40, 2, 3, 500)), uniform)))
    assert set(np.unique(found)) == {0.0, 2.0}
    assert (found == found[:, :1, :1]).all()
    assert found.mean() == pytest.approx(1, abs=0.02)


def cut(foreground: np.ndarray, uniform: list[list[float]]) -> np.ndarray:
    """1 where a position is cut out."""
    ones = np.ones((*foreground.shape, 1))
    return 1 - value_of(cut_out(*tensors(ones, foreground, uniform)))[..., 0]


@pytest.mark.parametrize(("uniform", "top", "left"), [(0.0, 3, 2), (0.999, 9, 5)])
def test_the_window_is_inside_the_box_of_the_foreground(uniform, top, left):
    """A foreground of 10 rows and 5 columns: a window of 4 rows and 2 columns."""
    foreground = np.zeros((1, 16, 12))
    foreground[0, 3, 4] = foreground[0, 12, 2] = foreground[0, 7, 6] = 1
    expected = np.zeros((16, 12))
    expected[top : top + 4, left : left + 2] = 1
    np.testing.assert_array_equal(cut(foreground, [[uniform, uniform]])[0], expected)


def test_each_image_has_its_window_and_none_without_foreground():
    foreground = np.ones((3, 10, 10))
    foreground[1] = 0
    found = cut(foreground, [[0.0, 0.0], [0.5, 0.5], [0.999, 0.0]])
    assert [image.sum() for image in found] == [16, 0, 16]
    assert found[0, :4, :4].all() and found[2, 6:, :4].all()


def test_windows_are_placed_uniformly():
    """Of 10 positions with a window of 4: each of 7 places is equally likely."""
    uniform = np.random.default_rng(0).random((14_000, 2), dtype="float32")
    found = cut(np.ones((14_000, 10, 10)), uniform.tolist())
    begins = found.any(2).argmax(1), found.any(1).argmax(1)
    for begin in begins:
        shares = np.bincount(begin, minlength=7) / len(begin)
        np.testing.assert_allclose(shares, np.full(7, 1 / 7), atol=0.02)


@pytest.mark.parametrize("name", CCT_PERTURBATIONS)
def test_every_perturbation_by_its_name(name, features):
    """What is drawn has the stated shape, and the gradient is that of what is kept."""
    shape = draw_shape(name, features)
    assert (shape is None) == name.endswith("masking")
    draw = None if shape is None else tensors(np.random.default_rng(0).random(shape))[0]
    given, foreground = tensors(features, np.arange(8)[:, None] + np.zeros((2, 8, 8)) > 3)
    found = value_of(perturb(name, given, draw, foreground))
    assert found.shape == features.shape and (found != features).any()
    (gradient,) = gradients(lambda z: ops.sum(perturb(name, z, draw, foreground)), [features])
    expected = np.ones_like(features) if name == "vat" else found / features
    np.testing.assert_allclose(gradient, expected, atol=1e-4)
