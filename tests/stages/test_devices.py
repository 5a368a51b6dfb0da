"""Devices that are refused, and batches that they cannot share."""

from __future__ import annotations

import keras
import pytest

from usrn_keras.data import load_dataset
from usrn_keras.errors import BackendError, RanksError, RecipeError
from usrn_keras.ranks import Ranks
from usrn_keras.recipe import load_recipe
from usrn_keras.stages import devices as module
from usrn_keras.stages.devices import (
    check_same_dataset,
    choose_devices,
    join_processes,
    lost_process,
    validate_batches,
)

TWO = Ranks(0, 2)


def quickstart(*overrides: str):
    return load_recipe("quickstart", ["training.batch_labelled=8", "training.batch_unlabelled=6", *overrides])


@pytest.mark.parametrize("devices", [1, 2])
def test_batches_that_devices_share(devices):
    validate_batches(quickstart(), devices)


def test_batches_that_they_do_not_share():
    with pytest.raises(RecipeError) as caught:
        validate_batches(quickstart(), 4)
    assert caught.value.errors == ("training.batch_unlabelled = 6: must be divisible by 4, such as 4 or 8",)
    with pytest.raises(RecipeError) as caught:
        validate_batches(quickstart(), 5)
    assert caught.value.errors == (
        "training.batch_labelled = 8: must be divisible by 5, such as 5 or 10",
        "training.batch_unlabelled = 6: must be divisible by 5, such as 5 or 10",
    )


def test_the_baseline_alone_has_no_unlabelled_batch():
    validate_batches(quickstart("training.method=supervised"), 4)


@pytest.mark.parametrize(("asked", "number"), [(1, 1), ("1", 1), ("2", 2), ("all", 2)])
def test_number_of_devices(monkeypatch, asked, number):
    monkeypatch.setattr(module, "number_of_devices", lambda: 2)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert choose_devices(quickstart(), asked) == number


def test_more_devices_than_there_are(monkeypatch):
    monkeypatch.setattr(module, "number_of_devices", lambda: 2)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(BackendError, match="--devices 3: jax finds 2 devices"):
        choose_devices(quickstart(), "3")


def test_tensorflow_names_jax(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(BackendError, match=r"TensorFlow trains on one device(.|\n)*KERAS_BACKEND=jax"):
        choose_devices(quickstart(), "2")


@pytest.mark.parametrize("asked", ["1", "2", "all"])
def test_each_of_several_processes_has_one_device(asked):
    assert choose_devices(quickstart(), asked, TWO) == 1


def test_devices_that_contradict_the_launcher():
    with pytest.raises(BackendError, match="the launcher started 2 processes"):
        choose_devices(quickstart(), "4", TWO)


def test_a_process_that_died_is_no_internal_error():
    for text in ("[gloo/transport/tcp/pair.cc:537] Read error", "NCCL error: remote process exited"):
        assert isinstance(lost_process(RuntimeError(text)), RanksError)
    assert lost_process(RuntimeError("a wrong shape")) is None


def test_a_method_whose_loss_needs_the_whole_batch(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    monkeypatch.setattr(module, "launched_ranks", lambda: TWO)
    with pytest.raises(BackendError, match=r"'unimatch' trains in one process(.|\n)*KERAS_BACKEND=jax"):
        join_processes(quickstart("training.method=unimatch"))


def test_statistics_of_each_device_need_a_process_for_each(monkeypatch):
    monkeypatch.setattr(module, "number_of_devices", lambda: 2)
    recipe = quickstart("training.batch_norm=local")
    with pytest.raises(BackendError, match=r"'local' needs one process for each device"):
        choose_devices(recipe, "2")
    assert choose_devices(recipe, "1") == 1 and choose_devices(recipe, "all", TWO) == 1


def test_processes_with_other_images(recipe_file, monkeypatch):
    """The lists are the same, and a labelled image of one process is another one."""
    dataset = load_dataset(load_recipe(str(recipe_file)).data)
    texts: list[str] = []
    monkeypatch.setattr(Ranks, "gather", lambda self, text: texts.append(text) or texts)
    check_same_dataset(TWO, dataset)
    check_same_dataset(TWO, dataset)
    dataset.labelled[0].image.write_bytes(b"another image")
    with pytest.raises(RanksError) as caught:
        check_same_dataset(TWO, dataset)
    assert caught.value.message == "the processes of this run have different data sets"
    assert len(caught.value.errors) == 1 and "contents of the labelled images" in caught.value.errors[0]
