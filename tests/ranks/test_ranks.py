"""What processes compare, with a second process that is made up."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from usrn_keras.errors import RanksError
from usrn_keras.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Two(Ranks):
    """The first of two processes; the second one sends `theirs`."""

    rank: int = 0
    world: int = 2
    theirs: object = None

    def gather(self, text: str) -> list[str]:
        return [text, json.dumps(self.theirs)]

    def checksums(self, variables):
        return [int(one.value.sum()) for one in variables]


def test_facts_that_differ_are_named_with_both_values():
    ours = {"training.seed": 0, "data.root": "a", "views.crop_size": 64}
    Two(theirs=dict(ours)).check_same("recipe", ours)
    with pytest.raises(RanksError) as caught:
        Two(theirs={"training.seed": 1, "data.root": "a", "new": True}).check_same("recipe", ours)
    assert caught.value.message == "the processes of this run have different recipes"
    assert caught.value.errors == (
        "new: true in process 1, null in process 0",
        "training.seed: 1 in process 1, 0 in process 0",
        "views.crop_size: null in process 1, 64 in process 0",
    )


def test_long_lists_of_facts_are_cut():
    with pytest.raises(RanksError) as caught:
        Two(theirs={}).check_same("data set", {f"{number:02d}": "x" * 500 for number in range(20)})
    assert len(caught.value.errors) == 13 and caught.value.errors[-1] == "and 8 more"
    assert all(len(error) < 150 for error in caught.value.errors)


def test_variables_that_differ():
    variables = [SimpleNamespace(path=path, value=np.arange(3)) for path in ("a/kernel", "b/bias")]
    Two(theirs=[3, 3]).check_equal(variables, 4)
    with pytest.raises(RanksError, match="step 4: 1 variables differ between the processes, such as b/bias"):
        Two(theirs=[3, 4]).check_equal(variables, 4)


def test_a_process_alone_agrees_with_itself():
    ALONE.check_same("recipe", {"a": 1})
    ALONE.check_equal([SimpleNamespace(path="a", value=np.ones(2))], 0)
    assert ALONE.agree(True, False) == (True, False) and ALONE.part == (0, 1)
    assert ALONE.first_position([2, 3]) == 0
