from __future__ import annotations

import pytest

from usrn_keras.data.dataset import ErrorList
from usrn_keras.errors import DataError


def test_no_faults_no_error():
    ErrorList().raise_if_any("never seen")


@pytest.mark.parametrize(
    ("count", "last"), [(1, "fault 0"), (20, "fault 19"), (21, "and 1 more"), (50, "and 30 more")]
)
def test_twenty_faults_are_named_and_the_rest_counted(count, last):
    faults = ErrorList()
    for number in range(count):
        faults.add(f"fault {number}")
    with pytest.raises(DataError, match=r"^wrong:\n") as caught:
        faults.raise_if_any("wrong:", hint="do this")
    assert len(caught.value.errors) == min(count, 21)
    assert caught.value.errors[-1] == last
    assert caught.value.hint == "do this"
