from __future__ import annotations

import pytest

from usrn_keras.budget.fitting import Sizes, settings, smaller


def pixels(sizes: Sizes) -> int:
    return max(sizes.batch_labelled, sizes.batch_unlabelled) * sizes.crop_size**2


@pytest.mark.parametrize(
    ("asked", "room", "expected"),
    [
        (Sizes(8, 8, 64), 4 * 64**2, Sizes(4, 4, 64, 2)),
        (Sizes(8, 8, 64), 3 * 64**2, Sizes(2, 2, 64, 4)),
        (Sizes(8, 2, 64), 2 * 64**2, Sizes(2, 2, 64, 4)),  # at least two images of each
        (Sizes(8, 0, 64), 2 * 64**2, Sizes(2, 0, 64, 4)),  # the Baseline has none without labels
        (Sizes(6, 6, 64), 2 * 64**2, Sizes(2, 2, 64, 3)),
        (Sizes(8, 8, 64, 2), 4 * 64**2, Sizes(4, 4, 64, 4)),
        (Sizes(4, 4, 96), 2 * 64**2, Sizes(2, 2, 64, 2)),  # then smaller crops
        (Sizes(2, 2, 96), 2 * 64**2, Sizes(2, 2, 64, 1)),
        (Sizes(2, 2, 96), 10, None),
    ],
)
def test_smaller_sizes(asked, room, expected):
    assert smaller(asked, pixels, room) == expected


def test_settings_name_what_changes_alone():
    steps = {"training.baseline_steps": 10, "training.usrn_steps": 30}
    assert settings(Sizes(8, 4, 96), Sizes(2, 1, 96, 4), steps) == [
        "training.batch_labelled=2", "training.batch_unlabelled=1", "training.accumulation=4",
        "training.baseline_steps=40", "training.usrn_steps=120",
    ]  # fmt: skip
    assert settings(Sizes(1, 1, 96), Sizes(1, 1, 64), steps) == ["views.crop_size=64"]
    assert settings(Sizes(1, 1, 96), Sizes(1, 1, 96), steps) == []
