"""Every method of the package keeps the contract of `check_method`, and its parts that of `LossPart`."""

from __future__ import annotations

import numpy as np
import pytest

from tests.methods.build_method import build_method
from tests.methods.check_method import BACKEND, check_method
from tests.methods.handmade import (
    SIZE,
    handmade_branches,
    handmade_cutmix_batch,
    handmade_pair_batch,
    handmade_pseudo_batch,
)
from usrn_keras.data.views.cutmix_boxes import SeveralBoxes
from usrn_keras.methods import METHODS
from usrn_keras.recipe.method_options import METHOD_OPTIONS

pytestmark = [
    pytest.mark.every_backend,
    # `keras.metrics.MeanIoU` asks JAX for int64, which it has only with `jax_enable_x64` (Keras 3.15).
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
]

# On every backend in full: one network, two heads, and two networks with a detector and two optimizers.
WHOLE = ("supervised", "usrn", "gct")


def batch_of(number: int) -> dict[str, np.ndarray]:
    """All that any method reads; a method ignores the rest."""
    batch = handmade_pair_batch(number) | handmade_cutmix_batch(number, SeveralBoxes())
    return batch | handmade_pseudo_batch(number)


def larger_batch_of(number: int) -> dict[str, np.ndarray]:
    """Crops of twice the size, for a method that needs them; every pixel is four."""
    batch = batch_of(number)
    for name in ("labelled", "labels", "weak"):
        batch[name] = batch[name].repeat(2, axis=1).repeat(2, axis=2)
    return batch


@pytest.mark.parametrize("method", METHODS)
def test_contract(method, tmp_path):
    whole = BACKEND == "torch" or method in WHOLE
    check(method, tmp_path, whole)


@pytest.mark.slow
@pytest.mark.parametrize("method", [method for method in METHODS if method not in WHOLE])
def test_whole_contract(method, tmp_path):
    check(method, tmp_path, True)


def check(method, folder, whole):
    options = METHOD_OPTIONS[method]
    larger = options is not None and options.smallest_crop > SIZE
    batches = larger_batch_of if larger else batch_of
    make = lambda: build_method(method, *handmade_branches(), threshold=0.4)  # noqa: E731
    check_method(make, batches, folder, whole=whole)


def test_contract_of_an_ablation(tmp_path):
    """Model III of Table 3: F_sub masks labels and is not taught on the unlabelled images."""
    terms = ("msl", "ost", "usr")
    check_method(
        lambda: build_method("usrn", *handmade_branches(), threshold=0.4, terms=terms),
        batch_of,
        tmp_path,
    )


def test_contract_with_a_teacher_of_f_sub(tmp_path):
    teacher = lambda: {"sub_teacher": handmade_branches()[1], "teacher_decay": 0.9}  # noqa: E731
    check_method(
        lambda: build_method("usrn", *handmade_branches(), threshold=0.4, sub_threshold=0.6, **teacher()),
        batch_of,
        tmp_path,
    )
