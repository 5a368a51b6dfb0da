"""Keras as a process of the command imports it: without pandas, scikit-learn, matplotlib and OpenCV."""

import json
import subprocess
import sys
from importlib import import_module

import keras
import pytest

from usrn_keras.lean_keras import OPTIONAL_OF_KERAS, hidden, keep_keras_lean

LOADED = """
import json, sys
{before}
import keras
loaded = [name for name in {names} if name in sys.modules]
{after}
print(json.dumps(loaded))
"""


def loaded_after(before: str, after: str = "") -> set[str]:
    """Packages that are loaded in a new process once it has imported Keras."""
    code = LOADED.format(before=before, names=sorted(OPTIONAL_OF_KERAS), after=after)
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return set(json.loads(output.splitlines()[-1]))


LEAN = "from usrn_keras.lean_keras import keep_keras_lean; keep_keras_lean()"
CHECKS = """
import sklearn.base, keras.src
assert keras.__spec__.loader is keras.__loader__ and "Lean" not in type(keras.__loader__).__name__
assert not any("Lean" in type(finder).__name__ for finder in sys.meta_path)
assert all(module is not None for module in sys.modules.values())
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
model.compile("sgd", "mse")
import numpy
model.fit(numpy.ones((4, 4)), numpy.ones((4, 2)), verbose=0)
"""


@pytest.mark.every_backend
def test_only_the_backend_is_loaded_and_keras_works():
    assert loaded_after(LEAN, CHECKS) <= ({"jax"} if keras.backend.backend() == "jax" else set())


def test_a_program_that_imports_the_package_keeps_the_whole_keras():
    assert "sklearn" in loaded_after("import usrn_keras")


def test_what_was_loaded_before_stays():
    assert "sklearn" in loaded_after(f"import sklearn; {LEAN}", "import sklearn; assert sklearn.base")


def test_nothing_changes_once_keras_is_loaded():
    finders = list(sys.meta_path)
    keep_keras_lean()
    assert sys.meta_path == finders


def test_hidden_packages_are_there_afterwards():
    sys.modules.pop("this", None)
    with hidden("this", "json"), pytest.raises(ModuleNotFoundError):
        assert sys.modules["json"] is json  # loaded before
        import_module("this")
    assert "this" not in sys.modules


def test_looking_for_keras_is_not_importing_it():
    assert "sklearn" not in loaded_after(
        f"{LEAN}; from importlib.util import find_spec; assert find_spec('keras')"
    )


@pytest.mark.every_backend
def test_the_command_loads_a_lean_keras():
    command = "from usrn_cli.backend import load_backend; load_backend()"
    assert "sklearn" not in loaded_after(command)


def test_a_fit_loads_the_clustering_when_it_clusters():
    assert not loaded_after(
        f"{LEAN}; import usrn_keras.stages.fit, sys; assert 'numba' not in sys.modules"
    ) - {"jax", "cv2"}
