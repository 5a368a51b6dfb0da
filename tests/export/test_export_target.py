from __future__ import annotations

import pytest

from usrn_keras.errors import ExportError
from usrn_keras.export.run_export import check_target, size_of


def test_a_folder_of_the_user_is_not_replaced(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ExportError, match="not an earlier export"):
        check_target(tmp_path, folder=True)
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize("folder", [True, False])
def test_a_path_that_is_free_is_fine(tmp_path, folder):
    check_target(tmp_path / "new", folder=folder)


def test_an_earlier_export_or_an_empty_folder_may_be_replaced(tmp_path):
    check_target(tmp_path, folder=True)
    (tmp_path / "saved_model.pb").touch()
    check_target(tmp_path, folder=True)


def test_a_folder_where_a_file_is_written_is_refused(tmp_path):
    with pytest.raises(ExportError, match="is a folder"):
        check_target(tmp_path, folder=False)


def test_a_file_where_a_folder_is_written_is_refused(tmp_path):
    (tmp_path / "model").touch()
    with pytest.raises(ExportError, match="is a file"):
        check_target(tmp_path / "model", folder=True)


def test_size_counts_all_files(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "inner" / "b").write_bytes(b"45")
    assert size_of(tmp_path) == 5
    assert size_of(tmp_path / "a") == 3
