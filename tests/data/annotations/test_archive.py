from __future__ import annotations

import json
import struct
import zipfile

import numpy as np
import pytest

from tests.data.annotations.made_sources import box, imported, problems, write_photos
from tests.data.annotations.test_coco import SQUARE, annotation, document, image
from tests.data.annotations.test_cvat import make_export
from usrn_keras.data.annotations import archive
from usrn_keras.data.annotations.archive import unpacked
from usrn_keras.errors import DataError


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_exports_are_read_from_a_zip(tmp_path):
    """Without the photographs in it, and with a folder around all files."""
    photos = write_photos(tmp_path / "photos", "a.jpg")
    export = make_export(tmp_path / "export", box(3, 3, 5, 5))
    members = {f"task 1/{p.relative_to(export)}": p.read_bytes() for p in export.rglob("*") if p.is_file()}
    source = zipped(tmp_path / "export.zip", {**members, "task 1/JPEGImages/a.jpg": b"not unpacked"})
    assert np.array_equal(imported(source, photos)[1]["a"], box(3, 3, 5, 5))


@pytest.mark.parametrize("name", ["../a.json", "/etc/a.json", "b/../../a.json", r"..\a.json", "C:/a.json"])
def test_members_that_lead_outside_are_refused(name, tmp_path):
    photos = write_photos(tmp_path / "photos", "a.jpg")
    source = zipped(tmp_path / "slip.zip", {"good.json": "{}", name: "{}"})
    message = problems(source, photos)
    assert f"{name!r}: leads outside the archive; allowed are paths below its top folder" in message
    assert "good.json" not in message and not list(tmp_path.glob("*.json"))


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("labels.json")
    link.external_attr = 0o120777 << 16
    source = zipped(tmp_path / "link.zip", {link: "/etc/passwd"})
    with pytest.raises(DataError, match="is not a safe archive") as raised, unpacked(source):
        pass
    assert "'labels.json': is a symbolic link" in raised.value.errors[0]


def test_bombs_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    bomb = zipped(tmp_path / "bomb.zip", {"a.json": bytes(300_000_000)})
    monkeypatch.setattr(zipfile.ZipFile, "extract", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(DataError) as raised, unpacked(bomb):
        pass
    assert "it unpacks to 300,000,000 bytes" in raised.value.errors[0]
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    many = zipped(tmp_path / "many.zip", {f"{index}.json": "{}" for index in range(4)})
    with pytest.raises(DataError) as raised, unpacked(many):
        pass
    assert raised.value.errors == ("it has 4 files; allowed are 3",)


def test_a_member_that_is_larger_than_it_says_is_refused(tmp_path):
    """The sizes in the directory of an archive are those of its author."""
    source = zipped(tmp_path / "lie.zip", {"a.json": bytes(100_000)})
    content = bytearray(source.read_bytes())
    for signature, offset in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        place = content.index(signature) + offset
        content[place : place + 4] = struct.pack("<I", 10)
    source.write_bytes(content)
    with pytest.raises(DataError, match="cannot be unpacked"), unpacked(source):
        pass


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no archive", b"{}"])
def test_damaged_archives_are_refused(content, tmp_path):
    photos = write_photos(tmp_path / "photos", "a.jpg")
    (tmp_path / "labels.zip").write_bytes(content)
    assert "labels.zip cannot be unpacked" in problems(tmp_path / "labels.zip", photos)


def test_the_folder_of_an_archive_is_removed(tmp_path):
    coco = document([image(1, "a.jpg")], [annotation(1, 3, SQUARE)])
    with unpacked(zipped(tmp_path / "coco.zip", {"annotations/i.json": json.dumps(coco)})) as folder:
        assert (folder / "annotations/i.json").is_file()
    assert not folder.exists()
