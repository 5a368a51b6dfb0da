from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.project.proposal import GIB, MOBILENET, Machine, propose, step_bytes

CPU = Machine(gpu=False, memory=16 * GIB, memory_known=True, cores=2, flops=1e11)
GPU = Machine(gpu=True, memory=40 * GIB, memory_known=True, cores=8, flops=0.0)
PIXELS = np.array([400_000, 90_000, 10_000])


def proposal_of(*, sizes=((360, 480),), pixels=PIXELS, machine=CPU, labelled=10, unlabelled=28):
    return propose(sizes, pixels, machine, labelled=labelled, unlabelled=unlabelled)


def cpu_with(memory: int) -> Machine:
    return Machine(gpu=False, memory=memory, memory_known=True, cores=2, flops=1e11)


def test_small_photographs_on_a_cpu():
    found = proposal_of()
    assert (found.network.name, found.long_side, found.crop_size, found.scale) == (
        "keras/mobilenet",
        480,
        192,
        1,
    )
    assert (found.batch, found.baseline_steps, found.usrn_steps) == (4, 400, 800)
    assert 600 < found.seconds < 20_000


@pytest.mark.parametrize(
    ("size", "long_side", "crop_size", "scale"),
    [
        ((3000, 4000), 512, 192, 0.128),
        ((4000, 3000), 512, 192, 0.128),
        ((600, 700), 512, 192, 1),
        ((96, 128), 128, 96, 1),
        ((20, 30), 30, 32, 1),
    ],
)
def test_sizes(size, long_side, crop_size, scale):
    found = proposal_of(sizes=[size])
    assert (found.long_side, found.crop_size, found.scale) == (long_side, crop_size, scale)
    assert found.crop_size % 32 == 0


def test_a_gpu():
    found = proposal_of(sizes=[(1024, 2048)], machine=GPU, labelled=100, unlabelled=1000)
    assert (found.network.name, found.crop_size, found.long_side) == ("keras_cv/resnet50", 512, 1024)
    assert found.seconds is None
    assert found.batch == 8 and found.usrn_steps == 11_000
    small = Machine(gpu=True, memory=16 * GIB, memory_known=True, cores=8, flops=0.0)
    assert proposal_of(sizes=[(1024, 2048)], machine=small, labelled=100, unlabelled=1000).batch == 4


def test_the_largest_batch_whose_step_takes_half_of_the_memory():
    enough = int(2 * step_bytes(MOBILENET, 4, 192)) + 1
    assert proposal_of(machine=cpu_with(enough)).batch == 4
    assert proposal_of(machine=cpu_with(enough - 2)).batch == 2


def test_two_images_where_nothing_fits():
    assert proposal_of(machine=cpu_with(GIB // 4)).batch == 2


def test_steps_grow_with_the_images_within_bounds():
    assert proposal_of(unlabelled=90).usrn_steps == 2000
    assert proposal_of(unlabelled=10**6).usrn_steps == 5000


def test_subclasses_stay_few_for_few_masks():
    assert proposal_of(pixels=np.array([40_000, 9_000, 1_000])).counts.sum() <= 6
    found = proposal_of(pixels=np.array([10**9, 10**8, 30]))  # a class of a few stray pixels
    assert found.counts.max() <= 32 and found.counts.tolist()[2] == 1
    absent = proposal_of(pixels=np.array([400_000, 0, 10_000]))
    assert absent.counts[1] == 0


def test_the_balance_that_is_expected():
    now, then = proposal_of().rates
    assert now < then <= 1
