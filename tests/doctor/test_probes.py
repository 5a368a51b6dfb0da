"""What the worker processes of the doctor do, here in this process."""

from __future__ import annotations

import keras
import pytest

from usrn_keras.doctor import probes
from usrn_keras.errors import WeightsError


def test_packages_that_cannot_be_imported(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import nothing_like_this")
    (tmp_path / "wrong_package.py").write_text("raise ImportError('wrong ABI\\nlast line')")
    monkeypatch.syspath_prepend(tmp_path)
    modules = ["json", "broken_package", "wrong_package"]
    assert probes.import_packages({"modules": modules}, print) == {
        "broken": {
            "broken_package": "ModuleNotFoundError: No module named 'nothing_like_this'",
            "wrong_package": "ImportError: last line",
        }
    }


def test_devices_of_this_backend():
    found = probes.load_backend({"name": keras.backend.backend()}, print)
    assert found["devices"][-1]["name"] == "CPU" or found["devices"][0]["kind"] != "cpu"
    assert set(found["devices"][0]) == {"kind", "name", "memory"} and found["seconds"] >= 0


def test_rate_of_a_small_step():
    policy = keras.config.dtype_policy()
    try:
        rates = probes.time_small_steps({"gpu": False, "seconds": 0.01}, print)
    finally:
        keras.config.set_dtype_policy(policy)
    assert set(rates) == {"float32", "mixed_bfloat16"}
    assert all(1e7 < rate < 1e15 for rate in rates.values())


def test_rate_of_generated_images():
    found = probes.time_generated_images({"images": (2, 128, 256), "seconds": 0.01}, print)
    assert found["images_per_second"] > 1 and (found["workers"], found["batch"]) == (2, [4, 4])


def test_recipe(recipe_file):
    sent = []
    order = {"recipe": str(recipe_file), "overrides": ["data.workers=0"], "seconds": 0.01}
    step = probes.time_recipe(order, sent.append)
    assert step["images_per_second"] == pytest.approx(2 / step["seconds"])
    (message,) = sent
    assert message["loader"]["batch"] == [2, 2] and message["loader"]["workers"] == 0


def test_recipe_whose_weights_are_missing(recipe_file):
    order = {"recipe": str(recipe_file), "overrides": ["network.weights=a.weights.h5"], "seconds": 0.01}
    with pytest.raises(WeightsError, match=r"a\.weights\.h5"):
        probes.time_recipe(order, print)
