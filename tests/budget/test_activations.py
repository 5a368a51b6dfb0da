from __future__ import annotations

import keras
import pytest
from keras import layers

from tests.budget.tiny import PARENTS, tiny_branches
from usrn_keras.budget.activations import kept_bytes, logit_bytes, work_bytes
from usrn_keras.budget.graph import calls, image_tensor
from usrn_keras.budget.passes import Part, Pass, passes
from usrn_keras.methods import USRN


def kept_by(*stack: layers.Layer, gradient: bool = True) -> int:
    """Bytes kept of one image of 8 x 8 with 3 channels."""
    x = image = keras.Input((None, None, 3))
    for layer in stack:
        x = layer(x)
    model = keras.Model(image, x)
    found, (output,) = calls(model, [image_tensor(8, 8)])
    part = Part("stem", "F", model, tuple(found), output)
    return kept_bytes(Pass("labelled", "labelled", gradient, (part,)))


IMAGE = 8 * 8 * 3 * 4


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        ([layers.Conv2D(5, 1)], IMAGE),
        ([layers.Conv2D(5, 1), layers.BatchNormalization(), layers.ReLU()], IMAGE + 2 * 64 * 5 * 4),
        # what ReLU leaves and the next convolution reads is one tensor
        ([layers.Conv2D(5, 1), layers.ReLU(), layers.Conv2D(2, 1)], IMAGE + 64 * 5 * 4),
        ([layers.Dropout(0.5)], 64 * 3),
        ([layers.Dropout(0.0)], 0),
        ([layers.UpSampling2D(4, interpolation="bilinear")], 0),
        ([layers.MaxPooling2D(2)], IMAGE + IMAGE // 4),
        ([layers.Conv2D(5, 1, dtype="bfloat16"), layers.ReLU(dtype="bfloat16")], IMAGE + 64 * 5 * 2),
    ],
)
def test_each_layer_by_hand(stack, expected):
    assert kept_by(*stack) == expected
    assert kept_by(*stack, gradient=False) == 0


def test_the_passes_of_usrn():
    labelled, weak, strong = passes(USRN(*tiny_branches(), PARENTS), 64, 64)
    assert kept_bytes(weak) == 0 < kept_bytes(strong) < kept_bytes(labelled)
    assert logit_bytes(labelled) == 4 * logit_bytes(strong) == 16 * 16 * (3 + 7) * 4
    # the padding of 16 channels from 32 x 32 to 33 x 33
    assert work_bytes(labelled) == (32 * 32 + 33 * 33) * 16 * 4


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (["msl"], {"labelled": "both"}),
        (["ost"], {"labelled": "F", "weak": "F", "strong": "F"}),
        (["ost", "usr"], {"labelled": "F", "weak": "both", "strong": "F"}),
        (["msl", "ost", "usr"], {"labelled": "both", "weak": "both", "strong": "F"}),
        (["msl", "ost", "usr", "sst"], {"labelled": "both", "weak": "both", "strong": "both"}),
    ],
)
def test_only_the_branches_that_the_terms_need(terms, expected):
    views = passes(USRN(*tiny_branches("none"), PARENTS, terms=terms), 64, 64)
    seen = {view.name: {part.branch for part in view.parts} for view in views}
    assert seen == {name: {"F", "F_sub"} if who == "both" else {who} for name, who in expected.items()}


@pytest.mark.parametrize("sharing", ["none", "low", "low_high"])
def test_sharing_keeps_less(sharing):
    first, _, _ = passes(USRN(*tiny_branches(sharing), PARENTS), 64, 64)
    alone = Pass("labelled", "labelled", True, tuple(part for part in first.parts if part.branch != "F_sub"))
    more = {"none": 2.0, "low": 1.5, "low_high": 1.2}[sharing]
    assert kept_bytes(first) <= more * kept_bytes(alone)
