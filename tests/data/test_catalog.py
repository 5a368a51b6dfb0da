from __future__ import annotations

import gc

import numpy as np
import pytest

from usrn_keras.data import catalog, load_dataset, read_sample
from usrn_keras.errors import DataError
from usrn_keras.recipe.schema import DataSection


@pytest.fixture(scope="module")
def small_quickstart(tmp_path_factory):
    """The quickstart scenes, few and small, so that drawing them takes no time."""
    patch = pytest.MonkeyPatch()
    from usrn_keras.data.quickstart import aerial_images as dataset

    make = dataset.make_quickstart
    patch.setattr(
        dataset,
        "make_quickstart",
        lambda root: make(root, labelled=2, unlabelled=3, val=1, test=2, size=(32, 48)),
    )
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    yield load_dataset(DataSection(dataset="quickstart"))
    patch.undo()


def test_quickstart_draws_its_scenes_into_the_cache(small_quickstart):
    assert small_quickstart.name == "quickstart"
    parts = (
        small_quickstart.labelled,
        small_quickstart.unlabelled,
        small_quickstart.val,
        small_quickstart.test,
    )
    assert [len(part) for part in parts] == [2, 3, 1, 2]
    assert small_quickstart.labelled[0].image.parents[1].name.startswith("quickstart-v")
    image, mask = read_sample(small_quickstart.labelled[0], small_quickstart)
    assert image.shape == (32, 48, 3) and len(np.unique(mask)) > 2


def test_quickstart_has_masks_of_unlabelled_scenes_for_the_oracle(small_quickstart):
    assert read_sample(small_quickstart.unlabelled[0], small_quickstart)[1].shape == (32, 48)


def test_quickstart_in_a_folder_of_the_recipe(small_quickstart, tmp_path):
    dataset = load_dataset(DataSection(dataset="quickstart", root=str(tmp_path / "scenes")))
    assert dataset.labelled[0].image.is_relative_to(tmp_path / "scenes")
    assert dataset.fingerprint() == small_quickstart.fingerprint()


def test_folder(folder):
    assert load_dataset(DataSection(dataset="folder", root=str(folder), val="val.txt")).name == folder.name


@pytest.mark.parametrize("enabled", [True, False])
def test_the_search_for_circles_is_paused_while_files_are_listed(folder, enabled, monkeypatch):
    """It is as before afterwards, also after an error."""
    before, seen = gc.isenabled(), []
    monkeypatch.setattr(catalog, "_check_names", lambda *arguments: seen.append(gc.isenabled()))
    gc.enable() if enabled else gc.disable()
    try:
        load_dataset(DataSection(dataset="folder", root=str(folder), val="val.txt"))
        with pytest.raises(DataError):
            load_dataset(DataSection(dataset="folder", root=str(folder / "nowhere")))
        assert seen == [False] and gc.isenabled() == enabled
    finally:
        gc.enable() if before else gc.disable()
