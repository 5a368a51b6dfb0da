from __future__ import annotations

import os

import pytest

from usrn_keras.data.formats.lists import Lists
from usrn_keras.data.split import split_folder, validate_target
from usrn_keras.errors import StorageError

LISTS = Lists(("a", "b"), (), ("v",))


def _content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_lists_with_a_comment_and_without_what_is_empty(tmp_path):
    with split_folder(tmp_path / "x/y", LISTS, "drawn") as temporary:
        assert not (tmp_path / "x/y").exists() and (temporary / "val.txt").exists()
    expected = {"labelled.txt": "# drawn\na\nb\n", "unlabelled.txt": "# drawn\n", "val.txt": "# drawn\nv\n"}
    assert _content(tmp_path / "x/y") == expected
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["y"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_is_interrupted_leaves_nothing(tmp_path, error):
    with pytest.raises(error), split_folder(tmp_path / "x/y", LISTS, "drawn"):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays_until_the_end(tmp_path, monkeypatch):
    with split_folder(tmp_path / "x", LISTS, "old"):
        pass
    with pytest.raises(KeyboardInterrupt), split_folder(tmp_path / "x", LISTS, "new"):
        raise KeyboardInterrupt
    rename = os.rename

    def fails_to_publish(source, target):
        if source.name == "new":
            raise KeyboardInterrupt
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fails_to_publish)
        with pytest.raises(KeyboardInterrupt), split_folder(tmp_path / "x", LISTS, "new"):
            pass
    assert _content(tmp_path / "x")["val.txt"] == "# old\nv\n"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    with split_folder(tmp_path / "x", LISTS, "new"):
        pass
    assert _content(tmp_path / "x")["val.txt"] == "# new\nv\n"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_only_an_earlier_split_may_be_replaced(tmp_path):
    validate_target(tmp_path / "none", force=False)
    with split_folder(tmp_path / "x", LISTS, "old"):
        pass
    with pytest.raises(StorageError, match="x exists already"):
        validate_target(tmp_path / "x", force=False)
    validate_target(tmp_path / "x", force=True)
    (tmp_path / "x/thesis.doc").touch()
    for path in (tmp_path / "x", tmp_path / "x/thesis.doc"):
        with pytest.raises(StorageError, match=r"is not the folder of a split: it contains thesis\.doc"):
            validate_target(path, force=True)
