"""What the worker processes of the doctor do, here in this process."""

from __future__ import annotations

import shutil
from collections import namedtuple

import keras
import pytest

from usrn_keras.doctor import probes
from usrn_keras.errors import DataError, RecipeError, WeightsError

Usage = namedtuple("Usage", "total used free")


def test_devices_of_this_backend():
    found = probes.load_backend({"name": keras.backend.backend()}, print)
    assert found["devices"] and set(found) == {"devices", "warnings"}
    assert all(isinstance(device, str) for device in found["devices"])


@pytest.fixture
def try_recipe(recipe_file, tmp_path):
    """Tries the recipe with changes; returns the result, after all that was sent."""

    def run(*overrides, timed=True):
        sent = {}
        order = {"recipe": str(recipe_file), "overrides": list(overrides), "folder": str(tmp_path / "run")}
        result = probes.try_recipe(order | {"seconds": 0.01, "timed": timed}, sent.update)
        return sent | result

    return run


def test_recipe(try_recipe):
    found = try_recipe("data.workers=0")
    rate = found.pop("step_images_per_second")
    assert rate == pytest.approx(2 / found.pop("step_seconds"), rel=0.05)
    assert found.pop("loader_images_per_second") > 1
    assert found == {
        "precision": "float32",
        "labelled_images": 3,
        "unlabelled_images": 2,
        "val_images": 1,
        "test_images": 0,
        "loader_workers": 0,
    }


def test_recipe_that_is_read_alone(try_recipe):
    found = try_recipe(timed=False)
    assert found["labelled_images"] == 3 and "loader_workers" not in found and "step_seconds" not in found


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("network.weights=a.weights.h5", WeightsError, r"a\.weights\.h5"),
        ("evaluation.split=test", DataError, "no test images"),
        ("subclasses.counts=[1, 1, 1]", RecipeError, "each of the 2 classes"),
        ("views.crop_size=33", RecipeError, "crop_size"),
        ("data.root=/nowhere/at/all", DataError, "is not a folder"),
    ],
)
def test_recipe_that_would_stop_training(try_recipe, override, error, message):
    with pytest.raises(error, match=message):
        try_recipe(override)


def test_features_that_do_not_fit(try_recipe, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**6, 10**6, 1000))
    message, hint = try_recipe(timed=False)["features_space"]
    assert "the features need 5.8 kB" in message  # 3 x 10 x 12 feature pixels x 8 x 2 bytes
    assert "subclasses.rows_per_image" in hint
