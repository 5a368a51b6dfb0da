from __future__ import annotations

import pytest

from usrn_keras.errors import ExportError, StorageError
from usrn_keras.export.staging import refuse_foreign_folder, size_of, staged


def test_a_file_replaces_a_file(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("old")
    with staged(path, "draft.pt2") as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.name == "draft.pt2"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_replaces_a_folder(tmp_path):
    path = tmp_path / "saved_model"
    for content in ("old", "new"):
        with staged(path, "draft") as temporary:
            temporary.mkdir()
            (temporary / f"{content}.pb").write_text(content)
    assert [file.name for file in path.iterdir()] == ["new.pb"]
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError), staged(tmp_path / "a" / "b" / "model.onnx", "draft") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_error_keeps_what_was_there(tmp_path):
    (tmp_path / "model.onnx").write_text("old")
    with pytest.raises(RuntimeError), staged(tmp_path / "model.onnx", "draft") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("model.onnx", "old")]


def test_a_full_disk_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="No space"), staged(tmp_path / "model.onnx", "draft"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_the_user_is_not_replaced(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ExportError, match="no earlier export"):
        refuse_foreign_folder(tmp_path, folder=True)
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize("folder", [True, False])
def test_a_path_that_is_free_is_fine(tmp_path, folder):
    refuse_foreign_folder(tmp_path / "new", folder=folder)


def test_an_earlier_export_or_an_empty_folder_may_be_replaced(tmp_path):
    refuse_foreign_folder(tmp_path, folder=True)
    (tmp_path / "saved_model.pb").touch()
    refuse_foreign_folder(tmp_path, folder=True)


def test_a_folder_where_a_file_is_written_is_refused(tmp_path):
    with pytest.raises(ExportError, match="is a folder"):
        refuse_foreign_folder(tmp_path, folder=False)


def test_a_file_where_a_folder_is_written_is_refused(tmp_path):
    (tmp_path / "model").touch()
    with pytest.raises(ExportError, match="is a file"):
        refuse_foreign_folder(tmp_path / "model", folder=True)


def test_size_counts_all_files(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "inner" / "b").write_bytes(b"45")
    assert size_of(tmp_path) == 5
    assert size_of(tmp_path / "a") == 3
