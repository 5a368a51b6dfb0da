from __future__ import annotations

import shutil
from collections import namedtuple

import pytest

from usrn_keras.doctor import recipe as module
from usrn_keras.doctor.recipe import look_at_recipe
from usrn_keras.doctor.request import Request
from usrn_keras.doctor.weights import KERAS_FILES
from usrn_keras.errors import BackendError, DataError, RecipeError, WeightsError

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def look(recipe_file, tmp_path):
    """Looks at the recipe with changes."""

    def at(*overrides: str):
        return look_at_recipe(Request(str(recipe_file), overrides, tmp_path / "run"))

    return at


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where Keras and kagglehub keep what they download."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    return tmp_path


def test_one_that_is_sound(look, recipe_file):
    found = look()
    assert found.findings() == [] and found.usable
    assert found.lines() == [
        f"{recipe_file}: 3 labelled, 2 unlabelled, 1 val, 0 test images",
        "weights of keras/mobilenet: none (random)",
        "features of the labelled images: at most 5.8 kB",  # 3 x 10 x 12 feature pixels x 8 x 2 bytes
    ]
    assert found.to_json()["images"] == {"labelled": 3, "unlabelled": 2, "val": 1, "test": 0}


def test_every_fault_of_the_recipe():
    found = look_at_recipe(Request("quickstart", ("training.x=1", "views.crop_size=33")))
    (finding,) = found.findings()
    assert finding.error is RecipeError and len(finding.lines) == 2
    assert found.lines() == ["quickstart cannot be read"] and not found.usable
    assert found.to_json()["readable"] is False


def test_every_fault_of_the_data_set(look, recipe_file):
    root = recipe_file.parent / "data"
    (root / "val.txt").write_text("5\nmissing\n")
    (root / "classes.txt").write_text("")
    (finding,) = look().findings()
    assert finding.error is DataError and len(finding.lines) >= 2
    assert finding.advice.startswith(f"usrn data check {recipe_file}")


def test_no_data_set_at_all(look):
    found = look("data.root=/nowhere/at/all")
    (finding,) = found.findings()
    assert "/nowhere/at/all` is no folder" in finding.lines[0]
    assert not found.usable and found.features == ""


def test_weights_that_are_missing(look, tmp_path):
    (finding,) = look(f"network.weights={tmp_path}/w.weights.h5").findings()
    assert finding.error is WeightsError
    (tmp_path / "w.weights.h5").write_bytes(b"x" * 2000)
    found = look(f"network.weights={tmp_path}/w.weights.h5")
    assert found.findings() == [] and found.weights.endswith("w.weights.h5 (2.0 kB)")


def test_weights_that_will_be_downloaded(look, home):
    (finding,) = look("network.weights=imagenet", "network.width=1").findings()
    assert finding.level == "note" and not finding.breaks
    for name in KERAS_FILES.values():
        (home / "keras/models").mkdir(parents=True, exist_ok=True)
        (home / "keras/models" / name).touch()
    for kind in KERAS_FILES:
        assert (
            look("network.weights=imagenet", "network.width=1", f"network.backbone=keras/{kind}").findings()
            == []
        )


def test_weights_of_keras_cv(look, home):
    overrides = ("network.weights=imagenet", "network.width=1", "network.backbone=keras_cv/resnet50")
    assert [finding.name for finding in look(*overrides).findings()] == ["weights_download"]
    (home / "kaggle/models/keras/resnetv1/keras/resnet50_imagenet/2").mkdir(parents=True)
    assert look(*overrides).findings() == []
    (finding,) = look(
        "network.weights=imagenet", "network.width=1", "network.backbone=keras_cv/resnet101"
    ).findings()
    assert finding.error is WeightsError and "there are no ImageNet weights for" in finding.message


@pytest.mark.parametrize("change", ["network.backbone=keras_cv/resnet14", "views.strong=keras_cv"])
def test_packages_that_only_some_recipes_need(look, monkeypatch, change):
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "keras_cv" else name)
    (finding,) = look(change).findings()
    assert finding.error is BackendError and change.split("=")[0] in finding.message
    assert look().findings() == []


def test_tensorflow_that_is_broken_breaks_those_that_need_it(recipe_file):
    for overrides, broken in (((), 0), (("views.strong=keras_cv",), 1)):
        found = look_at_recipe(Request(str(recipe_file), overrides), "killed by SIGILL")
        assert len(found.findings()) == broken and found.usable == (not broken)
    assert "tensorflow does not work: killed by SIGILL" in found.findings()[0].message


def test_features_that_do_not_fit(look, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**6, 10**6, 1000))
    found = look()
    (finding,) = found.findings()
    assert finding.name == "features_space" and not finding.breaks
    assert "subclasses.rows_per_image" in finding.advice and found.features == "5.8 kB"


def test_images_without_a_size_are_left_to_the_pipeline(look, recipe_file):
    for path in (recipe_file.parent / "data/images").iterdir():
        path.write_bytes(b"")
    found = look()
    assert found.features == "" and found.findings() == []
