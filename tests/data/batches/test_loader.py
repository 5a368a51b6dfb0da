from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.data.waves import shifts, write_waves
from usrn_keras.data import Batches, Sample, WeakView
from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.errors import DataError
from usrn_keras.strong_view import StrongView

WEAK = WeakView(crop_size=8, long_side=16)


@pytest.fixture
def samples(tmp_path, files):
    """Five labelled images, the label being the number of the image, and seven unlabelled."""
    labelled = tuple(
        Sample(f"l{n}", files.image(tmp_path / f"l{n}.png", seed=n), files.mask(tmp_path / f"m{n}.png", n))
        for n in range(5)
    )
    unlabelled = tuple(Sample(f"u{n}", files.image(tmp_path / f"u{n}.png", seed=9 + n)) for n in range(7))
    return labelled, unlabelled


@pytest.fixture
def make(samples):
    def make(**settings):
        settings = {
            "labelled": samples[0],
            "unlabelled": samples[1],
            "batch_labelled": 2,
            "batch_unlabelled": 3,
            "weak_labelled": WEAK,
            "weak_unlabelled": WEAK,
            "strong": StrongView(),
            "ignore_index": 255,
            "num_classes": 5,
            "seed": 1,
            **settings,
        }
        return Batches(**settings)

    return make


def _with_sublabels(files, tmp_path, samples, ids):
    path = files.mask(tmp_path / "sublabels.png", ids)
    return tuple(replace(sample, sublabels=path) for sample in samples)


def _assert_equal(first, second):
    assert first.keys() == second.keys()
    for key in first:
        np.testing.assert_array_equal(first[key], second[key])


def test_arrays(make):
    arrays = make().batch(0)
    shapes = {key: (value.shape, value.dtype) for key, value in arrays.items()}
    assert shapes == {
        "labelled": ((2, 8, 8, 3), np.uint8),
        "labels": ((2, 8, 8), np.int32),
        "weak": ((3, 8, 8, 3), np.uint8),
        "strong_parameters": ((3, 6), np.float32),
    }


def test_labelled_stream_alone(make):
    arrays = make(batch_unlabelled=0, unlabelled=(), weak_unlabelled=None, strong=None).batch(0)
    assert set(arrays) == {"labelled", "labels"}


def test_labelled_view(make):
    jitter = StrongView(jitter_probability=1, grayscale_probability=0, blur_probability=0)
    parameters = make(labelled_view=jitter).batch(0)["labelled_parameters"]
    assert parameters.shape == (2, 6) and (parameters[:, 4:] == 0).all() and (parameters[:, :3] != 1).all()


def test_labels_belong_to_their_images(make):
    batches = make()
    for step in range(5):
        numbers = [int(name.rpartition("l")[2].removesuffix(".png")) for name in batches.names(step)[:2]]
        for number, labels in zip(numbers, batches.batch(step)["labels"], strict=True):
            assert set(np.unique(labels)) <= {number, 255}
            assert number in labels


@pytest.mark.parametrize(
    ("dtype", "ignored", "largest"),
    [(np.uint8, 255, 200), (np.uint16, 65535, 300), (np.uint16, 65535, 40_000)],
)
def test_sublabels(make, files, tmp_path, samples, dtype, ignored, largest):
    ids = np.full(files.size, largest, dtype)
    ids[:, :8] = ignored
    batches = make(labelled=_with_sublabels(files, tmp_path, samples[0], ids))
    sublabels = np.stack([batches.batch(step)["sublabels"] for step in range(6)])
    assert sublabels.shape == (6, 2, 8, 8) and sublabels.dtype == np.int32
    assert set(np.unique(sublabels)) == {-1, largest}


def test_sublabels_are_checked_when_they_are_read(make, files, tmp_path, samples):
    """A map of another image: its sublabels are subclasses of other labels."""
    labelled = _with_sublabels(files, tmp_path, samples[0][:2], np.zeros(files.size, np.uint8))
    make(labelled=labelled[:1], batch_labelled=1, parents=np.arange(5)).batch(0)
    make(labelled=labelled).batch(0)  # unchecked
    with pytest.raises(DataError, match=r"sublabels\.png: the value of 192 of 192 pixels is not a subclass"):
        make(labelled=labelled[1:], batch_labelled=1, parents=np.arange(5)).batch(0)


def test_sublabels_are_ignored_where_the_image_is_padded(make, files, tmp_path, samples):
    labelled = _with_sublabels(files, tmp_path, samples[0], np.zeros(files.size, np.uint8))
    arrays = make(labelled=labelled, weak_labelled=WeakView(32, 16)).batch(0)
    np.testing.assert_array_equal(arrays["sublabels"] == -1, arrays["labels"] == 255)
    assert (arrays["labels"] == 255).any()


def test_a_batch_depends_on_seed_and_step_alone(make):
    first, second = make(), make()
    _assert_equal(first.batch(7), second.batch(7))
    second.batch(3)
    _assert_equal(first.batch(8), second.batch(8))
    assert (first.batch(7)["weak"] != first.batch(8)["weak"]).any()
    assert (first.batch(7)["weak"] != make(seed=2).batch(7)["weak"]).any()


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("prefetch", [1, 4])
def test_any_number_of_workers_gives_the_same_batches(make, workers, prefetch):
    expected = [make().batch(step) for step in range(2, 9)]
    found = list(make(workers=workers, prefetch=prefetch).iterate(2, 9))
    assert len(found) == len(expected)
    for one, other in zip(expected, found, strict=True):
        _assert_equal(one, other)


@pytest.mark.parametrize("workers", [0, 2])
def test_no_steps_no_batches(make, workers):
    assert list(make(workers=workers).iterate(5, 5)) == []


def test_every_epoch_holds_every_sample_once_in_its_own_order(make):
    batches = make()
    labelled = [name for step in range(10) for name in batches.names(step)[:2]]
    unlabelled = [name for step in range(7) for name in batches.names(step)[2:]]
    epochs = [labelled[5 * epoch : 5 * epoch + 5] for epoch in range(4)]
    assert {len(set(epoch)) for epoch in epochs} == {5}
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert set(Counter(unlabelled).values()) == {3} and len(set(unlabelled)) == 7


def test_a_list_shorter_than_a_batch_comes_around_within_it(make, samples):
    batches = make(unlabelled=samples[1][:2], batch_unlabelled=5)
    arrays = batches.batch(0)
    assert len(arrays["weak"]) == 5
    counts = Counter(name for step in range(2) for name in batches.names(step)[2:])
    assert set(counts.values()) == {5}


def test_the_same_image_twice_in_a_batch_has_two_views(make, samples):
    weak = make(unlabelled=samples[1][:1], batch_unlabelled=2).batch(0)["weak"]
    assert (weak[0] != weak[1]).any()


def test_cached_files_give_the_same_batches(make):
    kept, read = make(), make(cache_bytes=0)
    for step in (0, 1, 5, 0):
        _assert_equal(kept.batch(step), read.batch(step))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_comes_in_its_place_with_the_name_of_the_file(make, samples, workers):
    bad = samples[1][3].image
    batches = make(workers=workers)
    first = next(step for step in range(9) if str(bad) in batches.names(step))
    bad.write_bytes(b"no image")
    found = []
    with pytest.raises(DataError, match=bad.name):
        for batch in batches.iterate(0, 9):
            found.append(batch)
    assert len(found) == first


def test_an_unforeseen_error_names_the_file(make, monkeypatch):
    def fail(path, **options):
        raise MemoryError("no memory")

    monkeypatch.setattr("usrn_keras.data.batches.sample_reader.read_sample_image", fail)
    batches = make()
    with pytest.raises(MemoryError) as caught:
        next(batches.iterate(0, 1))
    assert caught.value.__notes__ == [f"while reading {batches.names(0)[0]}"]


def test_closing_the_iterator_stops_the_threads(make):
    before = set(threading.enumerate())
    iterator = make().iterate(0, 10_000)
    next(iterator)
    assert set(threading.enumerate()) - before
    iterator.close()
    assert not set(threading.enumerate()) - before


@pytest.mark.parametrize(("workers", "ahead"), [(0, 4), (2, 4), (16, 32)])
def test_every_worker_has_a_batch_to_make_and_one_to_wait_with(make, workers, ahead):
    assert make(workers=workers).prefetch == ahead


def test_no_more_than_prefetch_batches_are_made_ahead(make):
    batches = make(workers=2, prefetch=3)
    made = []
    batch = batches.batch
    batches.batch = lambda step: made.append(step) or batch(step)
    iterator = batches.iterate(0, 100)
    next(iterator)
    deadline = time.monotonic() + 5
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    iterator.close()
    assert sorted(made) == [0, 1, 2, 3]


def _write_photograph(folder, height, width):
    """A JPEG whose colours say where its pixels were; its labels are the rows, its sublabels the columns."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint16)
    for name, values in (("rows", rows), ("columns", columns)):
        assert cv2.imwrite(str(folder / f"{name}.png"), values, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    image = write_waves(folder / "photograph.jpg", height, width)
    return Sample("photograph", image, mask=folder / "rows.png", sublabels=folder / "columns.png")


def test_a_large_photograph_is_decoded_small_and_its_masks_whole(make, tmp_path):
    """As much of it is kept as the largest view shows, 500 of 4000 pixels; the maps show the same place."""
    sample = _write_photograph(tmp_path, 3000, 4000)
    view = WeakView(128, long_side=250, scale=(0.5, 2.0))
    settings = {"batch_labelled": 4, "batch_unlabelled": 0, "ignore_index": 65535, "num_classes": None}
    batches = make(labelled=(sample,), weak_labelled=replace(view, ignore_index=65535), **settings)
    arrays = batches.batch(0)
    assert batches._reader._cache.size_bytes == 375 * 500 * 3 + (2 + 2) * 3000 * 4000
    shown = arrays["labels"] != 65535
    np.testing.assert_array_equal(arrays["sublabels"] == -1, ~shown)
    found = shifts(*(arrays[key][shown] for key in ("labelled", "labels", "sublabels")))
    assert len(found) > 10_000 and np.abs(found).max() < 4, "four are half a pixel of the reduced image"


def test_an_image_in_both_lists_is_read_for_the_larger_of_its_views(make, files, tmp_path):
    path = files.image(tmp_path / "large.png", (120, 160))
    both = Sample("large", path, files.mask(tmp_path / "large_mask.png", 0, (120, 160)))
    small, large = WeakView(8, 10, (0.5, 2.0)), WeakView(8, 20, (0.8, 2.0))
    settings = {"labelled": (both,), "unlabelled": (both,), "cache_bytes": 10**6}
    for first, second in ((small, large), (large, small)):
        batches = make(**settings, weak_labelled=first, weak_unlabelled=second)
        batches.batch(0)
        assert batches._reader._cache.size_bytes == 120 * 160 + 3 * 30 * 40


def test_mask_with_ids_outside_the_classes(make):
    batches = make(num_classes=4)
    with pytest.raises(DataError, match=r"m4\.png contains ids outside the 4 classes: 4"):
        for step in range(5):
            batches.batch(step)


@pytest.mark.parametrize("kind", ["mask", "sublabels"])
def test_map_of_another_size(make, files, tmp_path, samples, kind):
    path = files.mask(tmp_path / "other.png", 0, (5, 5))
    labelled = _with_sublabels(files, tmp_path, samples[0], np.zeros(files.size, np.uint8))
    labelled = tuple(replace(sample, **{kind: path}) for sample in labelled)
    with pytest.raises(DataError, match=r"other\.png is 5x5 pixels"):
        make(labelled=labelled).batch(0)


def test_id_map(make, files, tmp_path):
    labelled = (Sample("a", files.image(tmp_path / "a.png"), files.mask(tmp_path / "a_mask.png", 7)),)
    id_map = np.full(34, 255, np.uint8)
    id_map[7] = 3
    labels = make(labelled=labelled, id_map=id_map).batch(0)["labels"]
    assert set(np.unique(labels)) <= {3, 255} and 3 in labels


def test_colour_map(make, files, tmp_path):
    mask = np.full((*files.size, 3), (0, 128, 64), np.uint8)
    assert cv2.imwrite(str(tmp_path / "mask.png"), mask[..., ::-1])
    labelled = (Sample("a", files.image(tmp_path / "a.png"), tmp_path / "mask.png"),)
    colour_map = np.array([[0, 0, 0, 0], [0, 128, 64, 2]], np.int32)
    labels = make(labelled=labelled, colour_map=colour_map).batch(0)["labels"]
    assert set(np.unique(labels)) <= {2, 255} and 2 in labels


def test_refused_arguments(make, samples):
    with pytest.raises(DataError, match="no labelled images"):
        make(labelled=())
    with pytest.raises(DataError, match="no unlabelled images, but a batch needs 3"):
        make(unlabelled=())
    with pytest.raises(DataError, match=r"must have masks; these have none:\n.*u0\.png"):
        make(labelled=samples[1])
    with pytest.raises(DataError, match="some do not"):
        make(labelled=(samples[0][0], replace(samples[0][1], sublabels=samples[0][1].mask)))
    with pytest.raises(ValueError, match="`batch_labelled` must be at least 1"):
        make(batch_labelled=0)
    with pytest.raises(ValueError, match="`weak_unlabelled` is required"):
        make(weak_unlabelled=None)


def test_real_camvid(camvid_root):
    from usrn_keras.data import load_dataset
    from usrn_keras.recipe.schema import DataSection

    data = load_dataset(DataSection(dataset="camvid", root=str(camvid_root), split="1_16"))
    batches = Batches(
        labelled=data.labelled, batch_labelled=4, weak_labelled=WeakView(320, 400), num_classes=11, seed=0
    )
    (arrays,) = batches.iterate(0, 1)
    assert arrays["labelled"].shape == (4, 320, 320, 3)
    assert set(np.unique(arrays["labels"])) <= {*range(11), 255}


def test_pairs_change_no_other_array(make):
    """A second crop has random numbers of its own; the first one is the weak view of every method."""
    plain, paired = (
        make(spec=BatchSpec(unlabelled=True, strong=1, pair=pair)).batch(3) for pair in (False, True)
    )
    _assert_equal(plain, {key: value for key, value in paired.items() if key in plain})
    shapes = {key: (value.shape, value.dtype) for key, value in paired.items() if key not in plain}
    assert shapes == {
        "pair": ((3, 8, 8, 3), np.uint8),
        "pair_strong_parameters": ((3, 6), np.float32),
        "overlap_1": ((3, 1), np.int32),
        "overlap_2": ((3, 1), np.int32),
        "overlap_valid": ((3, 1), bool),
    }
    assert (paired["pair_strong_parameters"] != paired["strong_parameters"]).any()


def test_both_crops_of_a_pair_show_the_same_image_in_their_overlap(make, samples):
    """Bit for bit, if neither is scaled."""
    height, width = cv2.imread(str(samples[1][0].image)).shape[:2]
    size = min(height, width) // 8 * 8
    view = WeakView(size, max(height, width), scale=(1, 1))
    batches = make(weak_unlabelled=view, spec=BatchSpec(unlabelled=True, strong=1, pair=True))
    moved = 0
    for step in range(10):
        arrays = batches.batch(step)
        moved += int((arrays["weak"] != arrays["pair"]).any())
        for one, two, here, there, valid in zip(
            *(arrays[key] for key in ("weak", "pair", "overlap_1", "overlap_2", "overlap_valid")), strict=True
        ):
            cells = [
                crop.reshape(size // 8, 8, size // 8, 8, 3).swapaxes(1, 2).reshape(-1, 8, 8, 3)[places[valid]]
                for crop, places in ((one, here), (two, there))
            ]
            assert len(cells[0]) and (
                np.array_equal(*cells) or np.array_equal(cells[0], cells[1][:, :, ::-1])
            )
    assert moved > 5
