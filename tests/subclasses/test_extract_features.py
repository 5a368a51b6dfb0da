from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tests.subclasses.made_dataset import (
    MASKS,
    SIZES,
    Recorder,
    Stopped,
    colours_at_stride_4,
    contents,
    masks_of,
    write_dataset,
)
from tests.tools import ROOT
from usrn_keras.data import read_image
from usrn_keras.data.batches.padding import pad_image
from usrn_keras.errors import DivergedError, StorageError
from usrn_keras.subclasses import Clustering
from usrn_keras.subclasses.extract_features import extract_features
from usrn_keras.subclasses.feature_grid import choose_cells, feature_size


@pytest.mark.parametrize("options", [{"batch": 1}, {"batch": 3}, {"batch": 2, "rows_per_image": 9}])
@pytest.mark.parametrize("workers", [0, 2])
def test_the_store_holds_the_features(dataset, model, tmp_path, options, workers):
    """Images of odd and different sizes, padded, batched and taken apart again."""
    survey, store = extract_features(model, dataset, tmp_path, Clustering(**options), workers=workers)
    np.testing.assert_array_equal(store.counts, survey.rows)
    for image, sample in enumerate(survey.samples):
        mask = MASKS[dataset.labelled.index(sample)]
        rows, columns = feature_size(mask.shape)
        features = np.asarray(model.predict_on_batch(pad_image(read_image(sample.image))[None]))
        direct = features[0, :rows, :columns].astype(np.float16).reshape(-1, 3)
        cells = choose_cells(mask, 3, name=sample.name, limit=options.get("rows_per_image", 0))
        for number, kept in enumerate(cells.kept):
            np.testing.assert_array_equal(store.rows(number)[store.block(image, number)], direct[kept])


def test_features_cover_an_image_that_is_padded_by_much(model, tmp_path):
    """From 258 x 261 to 320 x 320, in a batch with one that is there alone."""
    size = (258, 261)
    dataset = write_dataset(tmp_path / "data", masks_of(size, (32, 32)))
    survey, store = extract_features(model, dataset, tmp_path, Clustering(batch=3))
    assert survey.sizes == ((32, 32), size)
    image = read_image(dataset.labelled[0].image).astype(np.float64)
    means = image[:256, :260].reshape(64, 4, 65, 4, 3).mean(axis=(1, 3))  # the whole feature pixels
    cells = choose_cells(masks_of(size)[0], 3, name=dataset.labelled[0].name, limit=0)
    assert cells.labels.shape == (65, 66)
    for number, kept in enumerate(cells.kept):
        rows, columns = np.divmod(kept, 66)
        whole = (rows < 64) & (columns < 65)
        found = store.rows(number)[store.block(1, number)][whole]
        np.testing.assert_allclose(found, means[rows[whole], columns[whole]], rtol=1e-3)


def test_need_is_announced_and_exact(dataset, model, tmp_path):
    progress = Recorder()
    survey, store = extract_features(model, dataset, tmp_path, Clustering(), progress=progress)
    on_disk = sum(path.stat().st_size for path in store.folder.glob("*.f16"))
    assert on_disk == survey.rows.sum() * 3 * 2
    assert progress.lines == [f"features of 7 images: {on_disk / 1000:.1f} kB in {tmp_path / 'features'}"]
    assert progress.totals["features"] == progress.tasks["features"][-1] == 7


def test_too_little_space_is_known_before_the_first_image(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    never = SimpleNamespace(output_shape=(None, None, None, 3), get_weights=list)
    with pytest.raises(StorageError, match=r"kB in .*features, 1.0 kB are free\n.*subclasses.rows_per_image"):
        extract_features(never, dataset, tmp_path / "run", Clustering())
    assert not (tmp_path / "run").exists()


def test_interrupted_after_any_batch_ends_with_equal_files(dataset, model, tmp_path):
    clustering = Clustering(batch=2)
    extract_features(model, dataset, tmp_path / "whole", clustering)
    stops = 0
    for batch in range(1, 10):
        place = tmp_path / f"parts{batch}"
        try:
            extract_features(model, dataset, place, clustering, progress=Recorder("features", batch))
            break
        except Stopped:
            stops += 1
        steps = Recorder()
        extract_features(model, dataset, place, clustering, progress=steps)
        assert contents(place) == contents(tmp_path / "whole")
    assert stops == 4  # 2 + 1 and 2 + 2 images of equal padded size
    assert steps.tasks == {"reading masks": list(range(8))}  # the last one had stopped after all of it


def test_taken_up_where_it_was(dataset, model, tmp_path):
    with pytest.raises(Stopped):
        extract_features(model, dataset, tmp_path, Clustering(batch=2), progress=Recorder("features", 2))
    progress = Recorder()
    extract_features(model, dataset, tmp_path, Clustering(batch=2), progress=progress)
    assert progress.tasks["features"][0] == 3


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.subclasses.made_dataset import *
from usrn_keras.subclasses import Clustering
from usrn_keras.subclasses.extract_features import extract_features

calls, fsync = [], os.fsync

def kills(handle):
    calls.append(handle)
    if len(calls) == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(handle)

dataset = write_dataset(Path(sys.argv[1]), masks_of(*SIZES))
os.fsync = kills
extract_features(colours_at_stride_4(), dataset, Path(sys.argv[2]), Clustering(batch=2))
"""


def test_killed_in_the_middle_of_a_batch_ends_with_equal_files(dataset, model, tmp_path):
    """SIGKILL when two files of the third batch were written and its line was not."""
    folder = tmp_path / "data"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED, str(folder), str(tmp_path / "parts")]
    assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL
    extract_features(model, dataset, tmp_path / "whole", Clustering(batch=2))
    before, whole = contents(tmp_path / "parts"), contents(tmp_path / "whole")
    assert before["features/index.jsonl"].count(b"\n") == 3 < whole["features/index.jsonl"].count(b"\n")
    assert len(before["features/class-1.f16"]) > (14 + 12) * 3 * 2  # the rows that the lines speak of
    progress = Recorder()
    extract_features(model, dataset, tmp_path / "parts", Clustering(batch=2), progress=progress)
    assert progress.tasks["features"][0] == 3
    assert contents(tmp_path / "parts") == whole


@pytest.mark.parametrize(
    "change",
    [{"rows_per_image": 5}, {"seed": 1}, {"batch": 2}, {"weight": 2.0}, {"masks": masks_of(*SIZES, seed=1)}],
    ids=lambda change: next(iter(change)),
)
def test_a_store_of_something_else_is_made_anew(dataset, model, tmp_path, change):
    extract_features(model, dataset, tmp_path / "out", Clustering())
    if "weight" in change:
        other, changed, clustering = colours_at_stride_4(change["weight"]), dataset, Clustering()
    elif "masks" in change:
        other, changed, clustering = model, write_dataset(tmp_path / "data", change["masks"]), Clustering()
    else:
        other, changed, clustering = model, dataset, Clustering(**change)
    progress = Recorder()
    extract_features(other, changed, tmp_path / "out", clustering, progress=progress)
    assert progress.tasks["features"][0] == 0
    extract_features(other, changed, tmp_path / "new", clustering)
    assert contents(tmp_path / "out") == contents(tmp_path / "new")


def test_clustering_options_leave_the_store_alone(dataset, model, tmp_path):
    extract_features(model, dataset, tmp_path, Clustering())
    progress = Recorder()
    extract_features(model, dataset, tmp_path, Clustering(size_factor=3, sample_rows=9), progress=progress)
    assert "features" not in progress.tasks and progress.lines == []


def test_features_that_are_not_numbers(dataset, tmp_path):
    with pytest.raises(DivergedError, match="contain NaN"):
        extract_features(colours_at_stride_4(np.nan), dataset, tmp_path, Clustering())
