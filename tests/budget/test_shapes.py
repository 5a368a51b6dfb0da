from __future__ import annotations

from keras import ops

from tests.budget.tiny import PARENTS, tiny_branches
from usrn_keras.budget import Sizes
from usrn_keras.budget.shapes import shapes
from usrn_keras.methods import USRN, Supervised


def test_a_step_of_usrn():
    flows = {flow.name: flow for flow in shapes(USRN(*tiny_branches(), PARENTS), Sizes(2, 3, 64))}
    assert {name: flow.shape for name, flow in flows.items()} == {
        "labelled: images": (2, 64, 64, 3),
        "labelled: low-level features": (2, 16, 16, 32),
        "labelled: high-level features of F": (2, 4, 4, 128),
        "labelled: high-level features of F_sub": (2, 4, 4, 128),
        "labelled: decoder features of F": (2, 16, 16, 8),
        "labelled: decoder features of F_sub": (2, 16, 16, 8),
        "labelled: logits of F": (2, 16, 16, 3),
        "labelled: logits of F_sub": (2, 16, 16, 7),
        "unlabelled: images": (3, 64, 64, 3),
        "unlabelled: logits of F": (3, 8, 8, 3),
        "unlabelled: logits of F_sub": (3, 8, 8, 7),
    }
    assert flows["unlabelled: logits of F_sub"].axes == ("batch", "height", "width", "subclasses")
    assert flows["labelled: logits of F"].axes == ("batch", "height", "width", "classes")


def test_the_shapes_are_those_of_the_network():
    branch, _ = tiny_branches()
    logits = shapes(Supervised(branch), Sizes(1, 0, 96))[-1]
    assert branch(ops.zeros((1, 96, 96, 3))).shape == logits.shape
