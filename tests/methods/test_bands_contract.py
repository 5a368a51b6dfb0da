"""A method keeps its contract on images of four bands, of which three are visible in another order."""

from __future__ import annotations

import numpy as np
import pytest

from tests.methods.build_method import build_method
from tests.methods.check_method import check_method
from tests.methods.handmade import IMAGES, handmade_batch, handmade_branches
from usrn_keras.strong_view import StrongView

pytestmark = [
    pytest.mark.every_backend,
    # `keras.metrics.MeanIoU` asks JAX for int64, which it has only with `jax_enable_x64` (Keras 3.15).
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
]


def batch_of(number: int) -> dict[str, np.ndarray]:
    batch, rng = handmade_batch(number), np.random.default_rng(number)
    for name in ("labelled", "weak"):
        near = batch[name].mean(axis=-1, keepdims=True).astype("uint8")
        batch[name] = np.concatenate([near, batch[name][..., ::-1]], axis=-1)
    view = StrongView(visible=(3, 2, 1))
    return batch | {f"{name}_parameters": view.draw(rng, IMAGES) for name in ("labelled", "strong")}


@pytest.mark.parametrize("method", ["usrn"])
def test_contract_on_four_bands(method, tmp_path):
    make = lambda: build_method(method, *handmade_branches(bands=4), threshold=0.4)  # noqa: E731
    check_method(make, batch_of, tmp_path)
