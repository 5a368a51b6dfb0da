"""`usrn weights`: what to bring to a machine without internet, and whether a file fits."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import keras
import pytest
from click.testing import CliRunner

from usrn_cli.main import main
from usrn_keras.errors import WeightsError
from usrn_keras.networks import published_weights
from usrn_keras.networks.backbones import find_backbone
from usrn_keras.networks.published_weights import PUBLISHED, PublishedFile, fetch


def weights(*args: object):
    return CliRunner().invoke(main, ["weights", *map(str, args)])


def test_list_names_the_file_of_each_backbone(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    there = PUBLISHED["torchvision/resnet50"].cached
    there.parent.mkdir()
    there.touch()
    listed = {entry["backbone"]: entry for entry in json.loads(weights("list", "--json").stdout)}
    assert set(listed) == set(PUBLISHED)
    assert [name for name, entry in listed.items() if entry["present"]] == ["torchvision/resnet50"]
    assert listed["torchvision/resnet50"]["url"].endswith("resnet50-0676ba61.pth")
    assert f"torchvision/resnet50  at {there}" in weights("list").stdout


def test_fetch_without_internet_names_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def fail(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(keras.utils, "get_file", fail)
    found = weights("fetch", "keras/resnet50")
    assert found.exit_code == WeightsError.exit_code and not found.stdout
    assert "no route to host" in found.stderr
    assert f"download {PUBLISHED['keras/resnet50'].url} and copy it to {tmp_path}/models/" in found.stderr
    assert "no weights file of usrn/resnet14 is published" in weights("fetch", "usrn/resnet14").stderr


def test_a_damaged_copy_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    file = PublishedFile("https://example.org/a.pth", hashlib.sha256(b"weights").hexdigest()[:8])
    monkeypatch.setitem(published_weights.PUBLISHED, "usrn/resnet14", file)
    file.cached.parent.mkdir()
    file.cached.write_bytes(b"weights")
    assert fetch("usrn/resnet14") == file.cached
    wrong = replace(file, digest="00000000")
    monkeypatch.setitem(published_weights.PUBLISHED, "usrn/resnet14", wrong)
    with pytest.raises(WeightsError, match=r"is not a\.pth as published: its sha256 is"):
        fetch("usrn/resnet14")


def test_check(tmp_path):
    find_backbone("usrn/resnet14").build(0.125).save_weights(tmp_path / "small.weights.h5")
    fits = weights("check", "usrn/resnet14", tmp_path / "small.weights.h5", "--width", 0.125)
    assert fits.exit_code == 0 and "fits usrn/resnet14" in fits.stdout
    assert "--set network.weights=" in fits.stdout
    other = weights("check", "usrn/resnet14", tmp_path / "small.weights.h5", "--width", 0.25)
    assert other.exit_code == WeightsError.exit_code and "tensors differ" in other.stderr
