"""Coverage: the threshold of a share, and a curve over training, beside NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from usrn_keras.losses import threshold_of_share, value_at

pytestmark = pytest.mark.every_backend


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.884, 1.0])
def test_as_many_pixels_exceed_the_threshold_as_the_share_says(share):
    confidence = np.random.default_rng(0).permutation(np.linspace(0.1, 0.999, 600, dtype="float32"))
    threshold = threshold_of_share(confidence.reshape(2, 15, 20), share)
    kept = confidence > float(threshold)
    assert kept.sum() == round(share * 600)
    assert not kept.any() or confidence[kept].min() > confidence[~kept].max(initial=-1)


def test_equal_confidences_do_not_exceed_the_share():
    assert (np.ones(8) > float(threshold_of_share(np.ones(8, "float32"), 0.5))).sum() == 0


@pytest.mark.parametrize("values", [[0.7], [0.2, 0.9], [0.8, 0.9, 0.7, 0.75]])
def test_the_curve_is_linear_between_its_values(values):
    places = np.linspace(0, 1, len(values)) if len(values) > 1 else [0.0]
    for progress in (0.0, 0.1, 1 / 3, 0.5, 0.99, 1.0):
        found = value_at(ops.convert_to_tensor(np.float32([progress])), values)
        assert float(found) == pytest.approx(np.interp(progress, places, values), abs=1e-6)
