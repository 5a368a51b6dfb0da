from __future__ import annotations

import numpy as np
import pytest

from tests.budget.tiny import PARENTS, SUBCLASSES, tiny_branches
from usrn_keras.budget.parameters import parameters
from usrn_keras.methods import USRN, Supervised


@pytest.mark.parametrize(
    ("sharing", "shared"), [("none", []), ("low", ["stem"]), ("low_high", ["stem", "tail"])]
)
def test_shared_parts_are_counted_once(sharing, shared):
    model = USRN(*tiny_branches(sharing), PARENTS)
    rows = parameters(model)
    assert [row.part for row in rows if row.branch == "both"] == shared
    assert len(rows) == 8 - len(shared)
    assert sum(row.trained for row in rows) == sum(np.prod(v.shape) for v in model.trainable_variables)
    followed = sum(np.prod(v.shape) for v in model.variables if "moving" in v.name)
    assert sum(row.followed for row in rows) == followed
    # a 1x1 convolution of 8 channels, and its bias
    assert rows[-1].part == "classifier" and rows[-1].trained == (8 + 1) * SUBCLASSES


def test_the_baseline_has_one_branch():
    rows = parameters(Supervised(tiny_branches()[0]))
    assert [(row.part, row.branch) for row in rows] == [
        ("stem", "F"), ("tail", "F"), ("decoder", "F"), ("classifier", "F"),
    ]  # fmt: skip
