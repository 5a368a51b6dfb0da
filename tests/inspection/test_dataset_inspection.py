"""Counts against an independent count of the same masks."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from PIL import Image

from usrn_keras.inspection import dataset_inspection, inspect_data
from usrn_keras.inspection.census_tables import ClassTable, SplitTable, _short
from usrn_keras.inspection.dataset_inspection import SplitCensus
from usrn_keras.inspection.reading import Reading
from usrn_keras.recipe import load_recipe
from usrn_keras.subclasses.class_balance import class_balance_rate


def census(*sizes, classes: int = 1) -> SplitCensus:
    return SplitCensus([Reading("val", None, size=size) for size in sizes], classes)


def test_pixels_and_images_of_each_class(recipe_file):
    masks = recipe_file.parent / "data/masks"
    ids = np.zeros((40, 48), np.uint8)
    ids[:, 20:] = 255
    Image.fromarray(ids).save(masks / "0.png")
    inspection = inspect_data(load_recipe(str(recipe_file)))
    labelled = inspection.census("labelled")
    read = [np.asarray(Image.open(masks / f"{i}.png")) for i in (0, 1, 2)]
    assert labelled.pixels.tolist() == [sum(int((mask == c).sum()) for mask in read) for c in (0, 1)]
    assert labelled.ignored == 40 * 28
    assert labelled.images_with.tolist() == [3, 2]
    assert (labelled.images, labelled.masks) == (3, 3)
    assert inspection.census("unlabelled").masks == 0  # no mask of theirs is read
    assert inspection.class_balance_rate == class_balance_rate(labelled.pixels)
    assert inspection.rare.tolist() == [False, True]
    assert labelled.share.sum() == pytest.approx(1)


def test_masks_that_no_image_goes_with(recipe_file):
    masks = recipe_file.parent / "data/masks"
    assert inspect_data(load_recipe(str(recipe_file))).notes == ()
    (masks / "1.png").rename(masks / "one.png")
    inspection = inspect_data(load_recipe(str(recipe_file)))
    (note,) = inspection.notes
    assert note.message == f"{masks / 'one.png'}: there is no image named one" and inspection.errors == ()


def test_sizes_by_area():
    assert census((3, 4), (1, 100), (2, 2)).size_range() == ((2, 2), (3, 4), (1, 100))
    assert census((5, 6)).size_range() == ((5, 6),) * 3
    assert census().size_range() == ()
    assert census(None, (1, 2)).images == 2


def test_nothing_that_can_be_read(recipe_file):
    for path in (recipe_file.parent / "data").glob("*/*.png"):
        path.write_bytes(b"no image")
    inspection = inspect_data(load_recipe(str(recipe_file)))
    assert len(inspection.errors) == 6 + 4
    assert inspection.class_balance_rate is None
    assert inspection.to_json()["splits"]["labelled"]["sizes"] == {}
    assert SplitTable(inspection).rows()[0] == ["labelled", "3", "0", "-", "-", "-"]
    assert [row[1] for row in ClassTable(inspection).rows()] == ["road", "car", "ignored"]


def test_an_unforeseen_error_is_a_finding(recipe_file, monkeypatch):
    def broken(path, **options):
        raise RuntimeError("decoder gave up")

    monkeypatch.setattr("usrn_keras.inspection.reading.read_sample_image", broken)
    inspection = inspect_data(load_recipe(str(recipe_file)))
    assert len(inspection.errors) == 6
    assert "RuntimeError: decoder gave up" in inspection.errors[0].message


def test_workers_read_in_threads_and_change_nothing(recipe_file, monkeypatch):
    threads = set()
    read_entry = dataset_inspection.read_entry

    def noting(*arguments):
        threads.add(threading.current_thread().name)
        return read_entry(*arguments)

    monkeypatch.setattr(dataset_inspection, "read_entry", noting)
    results = []
    for workers in (0, 3):
        threads.clear()
        inspection = inspect_data(load_recipe(str(recipe_file), [f"data.workers={workers}"]))
        assert any(name.startswith("reader") for name in threads) == bool(workers)
        results.append(inspection.to_json() | {"seconds": 0})
    assert results[0] == results[1]


def test_a_class_without_pixels_and_many_pixels_in_the_table(recipe_file):
    inspection = inspect_data(
        load_recipe(str(recipe_file), ['data.classes=["road", "car", "tram"]', "data.ignore_index=9"])
    )
    rows = ClassTable(inspection).rows()
    assert rows[0] == ["0", "road", "#000000", "5.40k", "93.75", "3/3", "1.80k", "93.75", "1/1"]
    assert rows[1][:2] == ["1", "car *"]
    assert rows[2][:6] == ["2", "tram", "#008000", "0", "absent", "0/3"]
    assert [_short(n) for n in (0, 950, 12_345_678, 299_400, 4 * 10**12)] == [
        "0",
        "950",
        "12.3M",
        "299k",
        "4.00e+03G",
    ]
