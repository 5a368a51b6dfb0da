from __future__ import annotations

from pathlib import Path

import pytest

from usrn_keras.doctor.disk import DiskSection, Place, look_at_disk, look_at_place
from usrn_keras.errors import StorageError

FINE = Place("x", Path("/x"), free=10**12, rate=1e9)


def test_a_folder_that_is_not_there_yet_is_measured_and_not_made(tmp_path):
    place = look_at_place("runs", tmp_path / "runs" / "a", measure=True)
    assert place.folder == tmp_path / "runs" / "a" and not place.error
    assert place.free > 0 and place.rate > 1e5
    assert list(tmp_path.iterdir()) == []


def test_no_rate_unless_asked_for(tmp_path):
    assert look_at_place("cache", tmp_path).rate is None


@pytest.mark.parametrize("folder", ["/proc/self/runs", "/dev/null/runs"])
def test_a_place_that_cannot_be_written(folder):
    """Not even by root: a file system of the system's own, and a file."""
    place = look_at_place("runs", Path(folder), measure=True)
    assert place.error
    assert "CANNOT BE WRITTEN" in place.line()


def test_what_breaks_training_and_what_does_not():
    bad = Place("x", Path("/x"), error="Read-only file system")
    runs, cache, downloads = DiskSection(bad, bad, bad).findings()
    assert runs.error is StorageError and "--run DIR" in runs.advice
    assert not cache.breaks and cache.advice == "export XDG_CACHE_HOME=DIR"
    assert not downloads.breaks and downloads.advice == "export KERAS_HOME=DIR"
    assert DiskSection(FINE, bad, FINE, cache_needed=True).findings()[0].breaks


def test_little_space_and_a_slow_disk():
    full = Place("runs", Path("/x"), free=10**9, rate=5e6)
    space, slow = DiskSection(full, FINE, FINE).findings()
    assert space.message == "only 1.0 GB are free for runs in /x"
    assert slow.level == "note" and "5.0 MB/s" in slow.message


def test_json(tmp_path):
    values = look_at_disk(tmp_path / "run", tmp_path / "cache", tmp_path).to_json()
    assert list(values) == ["runs", "cache", "downloads"]
    assert values["runs"]["folder"] == str(tmp_path / "run")
    assert values["runs"]["rate"] > 0
