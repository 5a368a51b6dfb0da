"""Folders of images as people have them: links, hidden files, folders that cannot be read."""

from __future__ import annotations

import os

import pytest

from usrn_keras.data.file_index import walk


def found(folder, **options) -> tuple[list[str], list[str]]:
    told: list[str] = []
    files = [
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in walk(folder, told.append, **options)
        for name in names
    ]
    return files, told


@pytest.fixture
def folder(tmp_path):
    for name in (
        "images/b/2.png",
        "images/a.png",
        "images/._a.png",
        "images/.ipynb_checkpoints/a.png",
        "disk/1.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path / "images"


def test_links_are_followed_and_hidden_files_are_left_out(folder):
    (folder / "linked").symlink_to(folder.parent / "disk")
    assert found(folder) == (["a.png", "b/2.png", "linked/1.png"], [])
    assert found(folder, recursive=False) == (["a.png"], [])


def test_a_link_back_is_not_followed(folder):
    (folder / "b/up").symlink_to(folder)
    (folder / "b/self").symlink_to(folder / "b")
    (folder / "b/top").symlink_to("/")
    assert found(folder) == (["a.png", "b/2.png"], [])


def test_two_links_in_a_circle_are_followed_once(folder):
    (folder / "c").mkdir()
    (folder / "c/3.png").touch()
    (folder / "b/to_c").symlink_to(folder / "c")
    (folder / "c/to_b").symlink_to(folder / "b")
    assert found(folder)[0] == ["a.png", "b/2.png", "b/to_c/3.png", "c/3.png", "c/to_b/2.png"]


def test_the_caller_leaves_out_folders(folder):
    seen = []
    for parent, subfolders, _ in walk(folder, seen.append):
        seen.append(os.path.basename(parent))
        subfolders.clear()
    assert seen == ["images"]


def test_what_cannot_be_read_is_told(folder, monkeypatch):
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    files, told = found(folder)
    assert files == ["a.png"] and told == [f"the folder {folder / 'b'} cannot be read: Permission denied"]
