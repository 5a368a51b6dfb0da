"""The benchmark of `usrn suggest` chooses as it says, and trains on the known and the chosen images."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from benchmarks import suggest, table
from usrn_keras.data import load_dataset
from usrn_keras.evaluation.uncertainty import ImageUncertainty
from usrn_keras.progress import SILENT
from usrn_keras.recipe import load_recipe


def found(score: float, *features: float) -> ImageUncertainty:
    return ImageUncertainty(score, 0.0, np.array([score]), np.array(features, np.float32))


def of(*names: str) -> SimpleNamespace:
    return SimpleNamespace(unlabelled=[SimpleNamespace(name=name) for name in names])


def test_a_random_choice_depends_on_the_seed_and_the_draw_alone():
    dataset = of(*map(str, range(100)))
    choices = {
        (chooser, seed): suggest.choose(chooser, Path(), dataset, 20, seed, SILENT)
        for chooser in ("random", "random_b")
        for seed in (0, 1)
    }
    assert all(len(set(choice)) == 20 for choice in choices.values())
    assert len({tuple(choice) for choice in choices.values()}) == 4
    assert choices["random", 0] == suggest.choose("random", Path(), dataset, 20, 0, SILENT)


def test_the_most_uncertain_and_the_most_typical():
    """Two kinds of three images; the middle one of each kind is typical."""
    images = [found(0.1 * index, 10 * (index // 3) + index % 3) for index in range(6)]
    assert suggest.most_uncertain(images, 2, 0) == [5, 4]
    assert sorted(suggest.most_typical(images, 2, 0)) == [1, 4]


def test_chosen_images_become_labelled_ones(tmp_path):
    for folder in ("images/train", "labels/train"):
        (tmp_path / folder).mkdir(parents=True)
    recipe = load_recipe("camvid_1_16", [f"data.root={tmp_path}", "network.weights=none"])
    names = [f"0001TP_{index}" for index in range(7)]
    for name in names:
        Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "images/train" / f"{name}.png")
        Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "labels/train" / f"{name}.png")
    (tmp_path / "first").mkdir()
    for part, listed in {
        "labelled": names[:2],
        "unlabelled": names[2:5],
        "val": names[5:6],
        "test": names[6:],
    }.items():
        (tmp_path / "first" / f"{part}.txt").write_text("".join(f"{name}\n" for name in listed))
    data = recipe.data.model_copy(update={"split": "first"})
    dataset = load_dataset(data)
    more = suggest.with_more_labels(
        recipe.model_copy(update={"data": data}), dataset, [names[4]], tmp_path / "second"
    )
    second = load_dataset(more.data)
    assert [sample.name for sample in second.labelled] == [names[0], names[1], names[4]]
    assert [sample.name for sample in second.unlabelled] == [names[2], names[3]]


def test_a_row_that_is_there_is_not_measured_again(tmp_path, monkeypatch, capsys):
    measured = []

    def measure(chooser, planned, options, progress):
        measured.append(chooser)
        return {"miou": 0.5, "rare_miou": 0.25}

    monkeypatch.setattr(suggest, "measure", measure)
    monkeypatch.setattr(suggest, "planned_baseline", lambda *_: SimpleNamespace(key="abc"))
    monkeypatch.setattr(suggest.small_camvid, "halved", lambda source, target: target)
    monkeypatch.setattr(suggest.machine, "facts", lambda: {"hardware": "a core"})
    arguments = ["--camvid", "c", "--seeds", "0", "--results", str(tmp_path / "rows.csv")]
    suggest.main([*arguments, "--choosers", "random"])
    suggest.main([*arguments, "--choosers", "random,suggest"])
    assert measured == ["random", "suggest"]
    assert [row["chooser"] for row in table.read(tmp_path / "rows.csv")] == ["random", "suggest"]
    assert "random: measured already" in capsys.readouterr().out


def test_an_unknown_chooser_is_named(capsys):
    with pytest.raises(SystemExit):
        suggest.parsed(["--camvid", "c", "--choosers", "best"])
    assert "--choosers best: choose from none, random" in capsys.readouterr().err
