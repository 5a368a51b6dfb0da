from __future__ import annotations

import pytest

from usrn_keras.errors import StorageError
from usrn_keras.files import atomic_path, staged_path


def test_a_file_replaces_a_file(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("old")
    with staged_path(path, "draft.pt2") as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.name == "draft.pt2"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_replaces_a_folder(tmp_path):
    path = tmp_path / "saved_model"
    for content in ("old", "new"):
        with staged_path(path, "draft") as temporary:
            temporary.mkdir()
            (temporary / f"{content}.pb").write_text(content)
    assert [file.name for file in path.iterdir()] == ["new.pb"]
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError), staged_path(tmp_path / "a" / "b" / "model.onnx", "draft") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_error_keeps_what_was_there(tmp_path):
    (tmp_path / "model.onnx").write_text("old")
    with pytest.raises(RuntimeError), staged_path(tmp_path / "model.onnx", "draft") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("model.onnx", "old")]


def test_a_full_disk_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="No space"), staged_path(tmp_path / "model.onnx", "draft"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_is_a_storage_error(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with (
        pytest.raises(StorageError, match=r"cannot be written: .*exists\nChoose another path"),
        atomic_path(tmp_path / "notes.txt" / "photo.png"),
    ):
        pass
    assert (tmp_path / "notes.txt").read_text() == "mine"
