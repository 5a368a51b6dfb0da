from __future__ import annotations

import dataclasses

import pytest

from tests.budget.tiny import PARENTS, tiny_branches
from usrn_keras.budget import Device, Estimate, Sizes, process_without
from usrn_keras.budget.calibration import CPU, Calibration, calibration
from usrn_keras.budget.footprint import footprint
from usrn_keras.budget.memory import Footprint, ImageMemory, Memory
from usrn_keras.budget.room import process_memory
from usrn_keras.methods import USRN, Supervised
from usrn_keras.training import SGD, AdamW

PLAIN = Calibration(
    process=1000, start=100, call=2, state=1, gradients=1, kept=1, work=1, labelled_logits=10,
    unlabelled_logits=3, overlap=0,
)  # fmt: skip
LABELLED, STRONG = ImageMemory(kept=50, work=5, logits=4), ImageMemory(kept=40, work=5, logits=1)


def test_the_baseline_at_its_worst_moment():
    small = Footprint(weights=22, trainable=20, calls=7, labelled=LABELLED, strong=None)
    assert small.memory(2, 8, PLAIN) == Memory(1100, 42, 20, 100, 90)
    assert small.memory(2, 8, PLAIN, accumulation=2, process=1, images=9) == Memory(101, 62, 20, 100, 90, 9)
    assert small.memory(2, 8, PLAIN).peak == 1100 + 42 + 20 + 100 + 90
    deep = dataclasses.replace(small, calls=700)
    assert deep.memory(2, 8, PLAIN) == Memory(1100, 42, 0, 0, 1400)  # compiling is the worst moment


def test_the_parts_of_usrn_follow_each_other():
    counted = Footprint(weights=22, trainable=20, calls=7, labelled=LABELLED, strong=STRONG)
    assert counted.memory(2, 2, PLAIN) == Memory(1100, 42, 20, 100, 90)
    assert counted.memory(2, 4, PLAIN) == Memory(1100, 42, 20, 160, 32)
    # unless the backend holds some of the first while it is at the second
    assert counted.memory(2, 4, dataclasses.replace(PLAIN, overlap=0.5)) == Memory(1100, 42, 20, 210, 32)


def test_gradients_that_are_taken_in_as_they_come():
    counted = Footprint(weights=22, trainable=20, calls=7, labelled=LABELLED, strong=STRONG)
    at_once = dataclasses.replace(PLAIN, gradients=0)
    assert counted.memory(2, 4, at_once) == Memory(1100, 42, 0, 160, 32)
    # which they are not where they are summed over batches
    assert counted.memory(2, 4, at_once, accumulation=2) == Memory(1100, 62, 20, 160, 32)


def test_adaptive_optimizers_keep_another_set_and_need_whole_gradients():
    counted = Footprint(weights=22, trainable=20, calls=7, labelled=LABELLED, strong=STRONG)
    at_once = dataclasses.replace(PLAIN, gradients=0)
    assert counted.memory(2, 4, at_once, adaptive=True) == Memory(1100, 62, 20, 160, 32)
    assert counted.memory(2, 4, at_once, adaptive=True, accumulation=2) == Memory(1100, 82, 20, 160, 32)


def test_the_optimizer_of_a_compiled_model_counts():
    peaks = []
    for optimizer in (SGD(0.01), AdamW(0.001)):
        model = Supervised(tiny_branches()[0])
        model.compile(optimizer=optimizer)
        estimate = Estimate(model, Device("torch", False, room=None), process=10**9)
        peaks.append(estimate.memory(Sizes(4, 1, 64)).peak)
    assert peaks[0] < peaks[1]


def test_what_is_counted_of_a_network():
    branch, sub_branch = tiny_branches()
    model = USRN(branch, sub_branch, PARENTS)
    baseline, usrn = footprint(Supervised(branch), 64, 64), footprint(model, 64, 64)
    assert usrn.trainable == 4 * sum(variable.value.numel() for variable in model.trainable_variables)
    assert usrn.weights > usrn.trainable > baseline.trainable
    assert baseline.strong is None and usrn.calls > 3 * baseline.calls
    assert usrn.labelled.kept > usrn.strong.kept > 0


@pytest.mark.parametrize("backend", CPU)
@pytest.mark.parametrize("gpu", [False, True])
def test_memory_grows_with_every_size(backend, gpu):
    model = USRN(*tiny_branches(), PARENTS)
    estimate = Estimate(model, Device(backend, gpu, room=None), process=10**9)
    sizes = [Sizes(2, 2, 64), Sizes(4, 2, 64), Sizes(4, 8, 64), Sizes(4, 8, 128), Sizes(4, 8, 128, 2)]
    peaks = [estimate.memory(one).peak for one in sizes]
    assert peaks == sorted(set(peaks))
    assert estimate.measured == (not gpu)
    assert estimate.memory(sizes[0]).process < 10**9 if gpu else estimate.memory(sizes[0]).process > 10**9


def test_room_decides_what_fits():
    estimate = Estimate(Supervised(tiny_branches()[0]), Device("torch", False, room=None), process=10**9)
    assert estimate.fits(Sizes(10**6, 1, 640)) and estimate.smaller(Sizes(10**6, 1, 640)) is None
    needed = estimate.memory(Sizes(4, 1, 64)).peak
    exact = Estimate(estimate.model, Device("torch", False, room=int(needed) + 1), process=10**9)
    assert exact.fits(Sizes(4, 1, 64)) and not exact.fits(Sizes(5, 1, 64))
    assert exact.smaller(Sizes(8, 1, 64)) is not None


def test_the_process_without_a_model():
    model = Supervised(tiny_branches()[0])
    alone = process_without(model)
    optimizer = SGD(0.01)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer)
    trained = 4 * sum(variable.value.numel() for variable in model.trainable_variables)
    assert 0 < alone < process_memory()
    assert alone - process_without(model) == pytest.approx(trained, abs=2**22)


def test_a_backend_has_its_numbers():
    assert calibration("jax") is CPU["jax"]
    with pytest.raises(KeyError):
        calibration("numpy")
