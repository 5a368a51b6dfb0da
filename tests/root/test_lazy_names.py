from __future__ import annotations

import subprocess
import sys

import pytest

import usrn_keras
import usrn_keras.subclasses


@pytest.mark.parametrize("package", [usrn_keras, usrn_keras.subclasses])
def test_every_public_name_is_there(package):
    assert all(getattr(package, name) is not None for name in package.__all__)


@pytest.mark.parametrize("package", [usrn_keras, usrn_keras.subclasses])
def test_an_unknown_name_is_answered_with_the_known_ones(package):
    with pytest.raises(AttributeError, match=f"{package.__name__}' has no attribute 'nothing'; it has "):
        package.nothing  # noqa: B018


@pytest.mark.parametrize("names", ["subclasses import class_balance_rate", "sweeps.spec import TableSpec"])
def test_what_needs_no_keras_loads_none(names):
    """A backend reports on its start-up, and takes seconds: a wrong name is reported before."""
    code = f"import sys; from usrn_keras.{names}; print('keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
