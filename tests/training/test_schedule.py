"""The poly schedule."""

from __future__ import annotations

import pytest

from usrn_keras.training import PolySchedule

pytestmark = pytest.mark.every_backend


def test_schedule_ends_at_zero_and_stays_there():
    schedule = PolySchedule(0.01, 10)
    assert float(schedule(0)) == pytest.approx(0.01)
    assert float(schedule(10)) == float(schedule(11)) == 0
