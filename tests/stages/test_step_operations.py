"""Operations of training, counted before it in a child process, and after it from the method."""

from __future__ import annotations

import pytest

from usrn_keras.data import Dataset
from usrn_keras.recipe import load_recipe
from usrn_keras.stages.build import build_method
from usrn_keras.stages.memory_advice import training_stages
from usrn_keras.stages.step_operations import operations_of_training, operations_per_step
from usrn_keras.stages.step_trial import made_up_subclasses


@pytest.fixture
def recipe(recipe_file):
    return lambda *overrides: load_recipe(str(recipe_file), overrides)


def test_a_child_process_counts_what_the_methods_have(recipe):
    one = recipe("training.usrn_steps=7", "subclasses.counts=[2, 3]")
    two = recipe("training.method=fixmatch", "training.usrn_steps=5")
    baseline = recipe("training.method=supervised")
    found = operations_of_training([one, two, baseline])
    dataset = Dataset("made up", ("0", "1"), [[0] * 3] * 2, (), (), ())
    expected = []
    for asked in (one, two):
        method = build_method(
            asked, training_stages(asked)[-1], dataset, made_up_subclasses([2, 3]), pretrained=False
        )
        expected.append((asked.training.usrn_steps * operations_per_step(method, asked), 0))
    assert found == [*expected, (0, 0)] and expected[0] != expected[1]


def test_the_teacher_of_dars_is_counted_apart(recipe):
    asked = ["training.method=dars", "training.with_usrn=true", "usrn.on_disagreement=drop"]
    (found,) = operations_of_training([recipe(*asked, "training.baseline_steps=3", "training.usrn_steps=5")])
    assert 0 < found.other < found.method  # two rounds of 5 steps, with two streams; 3 steps of the teacher
