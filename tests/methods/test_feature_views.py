"""Methods learn from the features of a frozen backbone as from images."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.methods.build_method import build_method, compiled_step
from tests.methods.handmade import handmade_batch, handmade_branches
from tests.tools import fill
from usrn_keras.methods import METHODS, Method
from usrn_keras.methods.loss_part import unlabelled_images
from usrn_keras.networks.fine_tuning import freeze
from usrn_keras.optimizers import SGD

pytestmark = pytest.mark.every_backend
TAKES_FEATURES = [name for name, method in METHODS.items() if method.takes_features]


def frozen_method(name: str) -> Method:
    branches = handmade_branches()
    freeze(branches, "backbone")
    branches[1].tail = branches[0].tail  # as `build_branches` shares what is frozen
    method = build_method(name, *branches, threshold=0.4)
    fill(method.variables)
    return method


def views_of(method: Method, batch: dict) -> tuple[dict, dict]:
    """A batch of images without colour views, and the same batch as features."""
    batch = {name: value for name, value in batch.items() if not name.endswith("_parameters")}
    features = {name: value for name, value in batch.items() if name not in ("labelled", "weak")}
    branch = method.networks[0].F
    for name in ("labelled", "weak"):
        low = branch.stem(np.float32(batch[name]), training=False)
        high = branch.tail(low, training=False)
        features |= {f"{name}_low": low, f"{name}_high": high}
    return batch, {name: keras.ops.convert_to_numpy(value) for name, value in features.items()}


def terms_of(method: Method, batch: dict) -> dict[str, float]:
    found = method.loss_terms(batch)
    return {name: float(keras.ops.convert_to_numpy(value)) for name, value in found.items()}


def test_which_methods_take_features():
    assert set(TAKES_FEATURES) == {"supervised", "self_training", "usrn", "prototype_ensemble"}


@pytest.mark.parametrize("name", TAKES_FEATURES)
def test_features_give_the_losses_of_their_images(name):
    method = frozen_method(name)
    images, features = views_of(method, handmade_batch(0))
    expected, found = terms_of(method, images), terms_of(method, features)
    assert expected.keys() == found.keys() and method.images_per_step(features) in (4, 8)
    assert method.images_per_step(features) == method.images_per_step(images)
    for term, value in expected.items():
        np.testing.assert_allclose(found[term], value, rtol=1e-4, atol=1e-6, err_msg=term)


def test_a_strong_view_of_features_is_the_weak_one_without_channels():
    method = frozen_method("self_training")
    _, features = views_of(method, handmade_batch(0))
    ones = {f"strong_{level}": np.ones((4, 1, 1, n), "float16") for level, n in (("low", 6), ("high", 8))}
    same = terms_of(method, features | ones)
    np.testing.assert_allclose(same["loss"], terms_of(method, features)["loss"], rtol=1e-5)
    dropped = {name: value * (np.arange(value.shape[-1]) % 2 * 2) for name, value in ones.items()}
    weak, strong = unlabelled_images(features | dropped)
    for level in ("low", "high"):
        given = features[f"weak_{level}"]
        kept = given * dropped[f"strong_{level}"].astype("float32")
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(getattr(weak, level)), given)
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(getattr(strong, level)), kept)
    found = terms_of(method, features | dropped)
    assert found["confident"] == same["confident"]  # the labels are those of the weak view
    assert abs(found["self_training"] - same["self_training"]) > 1e-4


def test_a_step_on_features_trains_the_heads():
    method = frozen_method("self_training")
    _, features = views_of(method, handmade_batch(0))
    step = compiled_step(method, SGD(0.05))
    first, *_, last = (float(step(features)["supervised"]) for _ in range(4))
    assert np.isfinite(first) and last < first
