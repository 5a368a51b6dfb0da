from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.errors import ExportError
from usrn_keras.export.parity import Reference, check_parity, compare, parity_shapes, random_images


def logits(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 10, shape).astype("float32")


def reference() -> Reference:
    arrays = tuple(logits(*shape) for shape in [(1, 40, 50, 3), (2, 20, 30, 3)])
    return Reference(arrays, arrays)


def test_equal_logits_agree_exactly():
    parity = check_parity(lambda images: images, reference(), tolerance=0)
    assert (parity.max_abs_difference, parity.relative_difference, parity.argmax_agreement) == (0, 0, 1)


def test_difference_is_relative_to_the_largest_logit():
    want = np.array([[[[1.0, -20.0]]]], "float32")
    parity = compare([want], [want + np.float32(0.5)])
    assert parity.max_abs_difference == 0.5
    assert parity.relative_difference == 0.025


def test_a_difference_in_the_second_batch_counts():
    want = reference().logits
    assert compare(want, [want[0], want[1] + 1]).max_abs_difference == pytest.approx(1, rel=1e-5)


def test_too_large_a_difference_names_both_numbers():
    with pytest.raises(
        ExportError, match=r"(?s)differs from the Keras model.*allowed: 0\.001.*99\.9"
    ) as caught:
        check_parity(lambda images: images * 1.01, reference(), tolerance=1e-3)
    assert caught.value.exit_code == 10


def test_other_classes_fail_even_within_tolerance():
    with pytest.raises(ExportError, match="same class"):
        check_parity(lambda images: images[..., ::-1], reference(), tolerance=100)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_fail(value):
    def run(images):
        broken = images.copy()
        broken[0, 0, 0, 0] = value
        return broken

    with pytest.raises(ExportError, match="differs from the Keras model"):
        check_parity(run, reference(), tolerance=1e9)


def test_another_shape_is_an_error_with_both_shapes():
    with pytest.raises(ExportError, match=r"\(1, 40, 49, 3\).*\(1, 40, 50, 3\)"):
        check_parity(lambda images: images[:, :, 1:], reference(), tolerance=1)


def test_all_zero_logits_can_agree():
    zeros = np.zeros((1, 32, 32, 3), "float32")
    assert compare([zeros], [zeros]).holds(1e-3)


def test_images_vary_within_the_range_of_rgb():
    images = random_images((2, 64, 96))
    assert images.shape == (2, 64, 96, 3)
    assert images.dtype == np.float32
    assert 0 <= images.min() < 20 < 235 < images.max() <= 255
    assert images.std(axis=(1, 2)).min() > 30


@pytest.mark.parametrize("input_size", [None, (64, 96)])
def test_two_shapes_are_checked(input_size):
    first, second = parity_shapes(input_size)
    assert first != second
    assert input_size is None or first[1:] == second[1:] == input_size


def test_reference_survives_a_file(tmp_path):
    reference().save(tmp_path / "reference.npz")
    loaded = Reference.load(tmp_path / "reference.npz")
    for want, got in zip(reference().logits, loaded.logits, strict=True):
        np.testing.assert_array_equal(want, got)


def test_reference_of_a_model_is_its_inference(network):
    made = Reference.of(network, None)
    again = Reference.of(network, None)
    assert [batch.shape for batch in made.logits] == [(1, 96, 160, 5), (2, 128, 64, 5)]
    np.testing.assert_array_equal(made.logits[0], again.logits[0])  # dropout is off
