"""Hostile `.keras` files: refused before they are unpacked, with one kind of error."""

from __future__ import annotations

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

from usrn_keras.errors import WeightsError
from usrn_keras.networks import load_segmenter, model_archive
from usrn_keras.networks.model_archive import WEIGHTS, check_members, check_weights


@pytest.fixture
def saved(tmp_path):
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs))
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def rewritten(saved, changes):
    """The same archive with other members; None leaves one out."""
    with zipfile.ZipFile(saved) as old:
        members = {name: old.read(name) for name in old.namelist()} | changes
    target = saved.with_name("changed.keras")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in members.items():
            if content is not None:
                new.writestr(name, content)
    return target


def test_a_model_of_keras_passes(saved):
    check_members(saved)
    assert load_segmenter(rewritten(saved, {})).count_params() == 8


@pytest.mark.parametrize("name", ["../evil.py", "assets/x.txt", "/etc/cron.d/x"])
def test_other_members_are_refused(name, saved):
    with pytest.raises(WeightsError, match=r"changed\.keras cannot be loaded.* and nothing else") as error:
        load_segmenter(rewritten(saved, {name: b"x"}))
    assert "made to do harm" in error.value.hint and error.value.exit_code == 5


def test_a_bomb_is_refused_before_it_is_unpacked(saved, monkeypatch):
    monkeypatch.setattr(model_archive, "SMALL", 2**20)
    bomb = rewritten(saved, {WEIGHTS: bytes(4 * 2**20)})
    assert bomb.stat().st_size < 2**15
    with pytest.raises(WeightsError, match=r"would take 4,194,304 bytes unpacked"):
        load_segmenter(bomb)


@pytest.mark.parametrize(
    "config",
    ["[" * 100_000, "9" * 5000, "null", "{}", '{"class_name": "Functional", "config": {}}',
     json.dumps({"module": "os", "class_name": "system", "config": {"command": "touch evil"}})],
    ids=["depth", "digits", "null", "empty", "no layers", "a function"],
)  # fmt: skip
def test_every_config_that_is_no_model_is_the_same_error(config, saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match="cannot be loaded as a Keras model") as error:
        load_segmenter(rewritten(saved, {"config.json": config}))
    assert len(str(error.value)) < 1000 and not (tmp_path / "evil").exists()


def test_weights_that_take_more_memory_than_the_file(tmp_path):
    """Chunks that were never written take no place in the file."""
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("a", (2**20, 2**10), "f4", chunks=(2**10, 2**10))
    with pytest.raises(WeightsError, match="would take 4,294,967,296 bytes"):
        check_weights(tmp_path / "w.h5")


@pytest.mark.parametrize("kind", ["link", "external", "virtual"])
def test_weights_in_other_files_are_refused(kind, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(16))
    with h5py.File(tmp_path / "w.h5", "w") as file:
        if kind == "link":
            file["a"] = h5py.ExternalLink("secret.h5", "/x")
        elif kind == "external":
            file.create_dataset("a", (4,), "f4", external=[(str(tmp_path / "secret"), 0, 16)])
        else:
            layout = h5py.VirtualLayout((4,), "f4")
            layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
            file.create_virtual_dataset("a", layout)
    with pytest.raises(WeightsError, match=r"another file"):
        check_weights(tmp_path / "w.h5")


def test_ordinary_weights_pass(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["layers/conv/vars/0"] = np.zeros((3, 3), "f4")
    check_weights(tmp_path / "w.h5")
