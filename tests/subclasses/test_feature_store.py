from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from usrn_keras.errors import StorageError
from usrn_keras.subclasses.feature_store import FeatureStore, check_space, format_bytes

CHANNELS = 3


def opened(tmp_path, **options) -> FeatureStore:
    return FeatureStore(tmp_path / "features", **{"channels": CHANNELS, "classes": 2, "key": "k"} | options)


def blocks(seed: int, *images: tuple[int, int, int]) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [[rng.normal(size=(n, CHANNELS)).astype(np.float16) for n in image] for image in images]


FIRST, SECOND = blocks(0, (4, 0, 1), (2, 3, 0)), blocks(1, (1, 1, 1))


def filled(tmp_path) -> FeatureStore:
    store = opened(tmp_path)
    store.append(["a", "b"], FIRST)
    store.append(["c"], SECOND)
    return store


def contents(tmp_path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (tmp_path / "features").iterdir()}


def assert_holds(store: FeatureStore, images: list[list[np.ndarray]]):
    assert store.images == len(images)
    for image, parts in enumerate(images):
        for number, part in enumerate(parts):
            np.testing.assert_array_equal(store.rows(number)[store.block(image, number)], part)


def test_blocks_come_back(tmp_path):
    store = filled(tmp_path)
    for found in (store, opened(tmp_path)):
        assert_holds(found, FIRST + SECOND)
        assert [len(found.rows(number)) for number in range(3)] == [7, 4, 2]
    assert store.rows(0).dtype == np.float16 and store.rows(0).flags.c_contiguous
    assert store.file(2).name == "ignored.f16"


def test_a_class_without_rows(tmp_path):
    store = opened(tmp_path, classes=3)
    store.append(["a"], blocks(0, (2, 0, 1, 0)))
    assert store.rows(1).shape == (0, CHANNELS)
    assert opened(tmp_path, classes=3).images == 1


@pytest.mark.parametrize("name", ["class-0.f16", "class-1.f16", "ignored.f16", "index.jsonl"])
def test_a_torn_tail_is_cut_off(tmp_path, name):
    filled(tmp_path)
    before = contents(tmp_path)
    with open(tmp_path / "features" / name, "ab") as file:
        file.write(b'{"images": ["d"], "row')
    assert_holds(opened(tmp_path), FIRST + SECOND)
    assert contents(tmp_path) == before


def test_rows_whose_line_is_missing_are_cut_off_and_written_again(tmp_path):
    """Killed at any byte of the last line: the batch is as if it had never been."""
    filled(tmp_path)
    index = tmp_path / "features/index.jsonl"
    whole = contents(tmp_path)
    for cut in (1, 2, 30):
        with open(index, "rb+") as file:
            file.truncate(len(whole["index.jsonl"]) - cut)
        store = opened(tmp_path)
        assert_holds(store, FIRST)
        store.append(["c"], SECOND)
        assert contents(tmp_path) == whole


@pytest.mark.parametrize("change", [{"key": "other"}, {"key": {"masks": 1}}])
def test_a_store_of_something_else_is_deleted(tmp_path, change):
    filled(tmp_path)
    assert opened(tmp_path, **change).images == 0
    assert not (tmp_path / "features").exists()


@pytest.mark.parametrize("damage", ["shorter", "gone", "no index", "no line"])
def test_a_store_that_has_lost_something_is_deleted(tmp_path, damage):
    store = filled(tmp_path)
    if damage == "shorter":
        with open(store.file(0), "rb+") as file:
            file.truncate(10)
    elif damage == "gone":
        store.file(1).unlink()
    elif damage == "no index":
        (tmp_path / "features/index.jsonl").unlink()
    else:
        (tmp_path / "features/index.jsonl").write_text('"k"\n')
    assert opened(tmp_path).images == 0
    assert not (tmp_path / "features").exists()


def test_bytes_are_those_announced(tmp_path):
    store = filled(tmp_path)
    need = check_space(store.folder, rows=13, channels=CHANNELS, stored=0)
    on_disk = sum(path.stat().st_size for path in store.folder.glob("*.f16"))
    assert need == format_bytes(on_disk) == f"{13 * CHANNELS * 2} bytes"


@pytest.mark.parametrize(("free", "enough"), [(60, True), (59, False)])
def test_space_is_compared_with_what_is_missing(tmp_path, monkeypatch, free, enough):
    asked = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or SimpleNamespace(free=free))
    folder = tmp_path / "not/yet/there"
    if enough:
        assert check_space(folder, rows=13, channels=3, stored=3) == "78 bytes"
    else:
        with pytest.raises(StorageError, match=r"60 bytes in .*there, 59 bytes are free\n.*rows_per_image"):
            check_space(folder, rows=13, channels=3, stored=3)
    assert asked == [tmp_path] and not folder.exists()


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_960, "1.0 MB"),
     (1_234_000_000, "1.2 GB"), (10**12, "1.0 TB"), (5 * 10**15, "5000.0 TB")],
)  # fmt: skip
def test_sizes_in_words(size, words):
    assert format_bytes(size) == words
