from __future__ import annotations

import pytest

from usrn_keras.budget.step_sizes import StepSizes, measured_sizes, settings, smaller_sizes


@pytest.mark.parametrize(
    ("asked", "room", "expected"),
    [
        (StepSizes(8, 8, 64), 4 * 64**2, StepSizes(4, 4, 64, 2)),
        (StepSizes(8, 8, 64), 3 * 64**2, StepSizes(2, 2, 64, 4)),
        (StepSizes(8, 2, 64), 2 * 64**2, StepSizes(2, 2, 64, 4)),  # at least two images of each kind
        (StepSizes(8, 0, 64), 2 * 64**2, StepSizes(2, 0, 64, 4)),  # a supervised method
        (StepSizes(6, 6, 64), 2 * 64**2, StepSizes(2, 2, 64, 3)),
        (StepSizes(8, 8, 64, 2), 4 * 64**2, StepSizes(4, 4, 64, 4)),
        (StepSizes(4, 4, 96), 2 * 64**2, StepSizes(2, 2, 64, 2)),  # then smaller crops
        (StepSizes(2, 2, 96), 2 * 64**2, StepSizes(2, 2, 64, 1)),
        (StepSizes(2, 2, 96), 10, None),
    ],
)
def test_smaller_sizes(asked, room, expected):
    def fits(sizes: StepSizes) -> bool:
        return max(sizes.batch_labelled, sizes.batch_unlabelled) * sizes.crop_size**2 <= room

    assert smaller_sizes(asked, fits) == expected


@pytest.mark.parametrize(
    ("asked", "batches"),
    [
        ((8, 8), [(2, 2), (4, 4)]),
        ((2, 2), [(2, 2), (4, 4)]),
        ((6, 6), [(3, 3), (6, 6)]),
        ((16, 0), [(2, 0), (4, 0)]),
        ((4, 16), [(2, 8), (4, 16)]),
        ((8, 2), [(8, 2), (16, 4)]),
    ],
)
def test_measured_batches_are_small_and_keep_the_proportion(asked, batches):
    found = measured_sizes(StepSizes(*asked, 64, 3))
    assert [(one.batch_labelled, one.batch_unlabelled) for one in found] == batches
    assert {(one.crop_size, one.accumulation) for one in found} == {(64, 3)}


def test_settings_name_only_what_changes():
    steps = {"training.baseline_steps": 10, "training.usrn_steps": 30}
    assert settings(StepSizes(8, 4, 96), StepSizes(2, 1, 96, 4), steps) == [
        "training.batch_labelled=2", "training.batch_unlabelled=1", "training.accumulation=4",
        "training.baseline_steps=40", "training.usrn_steps=120",
    ]  # fmt: skip
    assert settings(StepSizes(1, 1, 96), StepSizes(1, 1, 64), steps) == ["views.crop_size=64"]
    assert settings(StepSizes(1, 1, 96), StepSizes(1, 1, 96), steps) == []
