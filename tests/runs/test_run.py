"""Run folders: whose they are, who holds them, what they log."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.tools import started
from usrn_keras.data import Dataset, Sample
from usrn_keras.errors import RunError
from usrn_keras.files import atomic_path
from usrn_keras.recipe import Recipe, load_recipe
from usrn_keras.runs import open_run
from usrn_keras.runs.log import MetricsLog

BASELINE = "1-baseline"


def dataset(*names: str) -> Dataset:
    samples = tuple(Sample(name, Path(name)) for name in names or ("a",))
    return Dataset("made", ("x", "y"), np.zeros((2, 3), np.uint8), samples, samples, samples)


def recipe(*overrides: str) -> Recipe:
    return load_recipe("quickstart", overrides)


def test_folder_says_what_it_is(tmp_path):
    with started(tmp_path / "run", recipe("data.root=/data", "training.usrn_steps=7"), dataset()) as run:
        run.complete(BASELINE, steps=3)
    again = open_run(tmp_path / "run")
    assert again.classes == ("x", "y") and again.palette.shape == (2, 3)
    assert again.recipe.training.usrn_steps == 7
    assert again.is_complete(BASELINE) and again.facts(BASELINE)["steps"] == 3
    assert json.loads((tmp_path / "run/environment.json").read_text())[0]["backend"]


def test_root_in_the_home_folder_is_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with started(tmp_path / "run", recipe("data.root=~/data"), dataset()):
        assert open_run(tmp_path / "run").recipe.data.root == str(tmp_path / "home/data")


def test_same_recipe_is_taken_up_again_with_other_free_keys(tmp_path):
    with started(tmp_path / "run", recipe(), dataset()):
        pass
    with started(tmp_path / "run", recipe("data.workers=1", "training.log_every=3"), dataset()) as run:
        assert run.recipe.training.log_every == 3
    assert len(json.loads((tmp_path / "run/environment.json").read_text())) == 2


def test_another_recipe_is_refused_with_every_difference(tmp_path):
    with started(tmp_path / "run", recipe(), dataset()) as run:
        run.complete(BASELINE)
    other = recipe("training.usrn_steps=1", "views.crop_size=64")
    with (
        pytest.raises(RunError, match="another recipe") as error,
        started(tmp_path / "run", other, dataset()),
    ):
        pass
    assert [fault.split(":")[0] for fault in error.value.errors] == ["views.crop_size", "training.usrn_steps"]


def test_another_data_set_is_refused(tmp_path):
    with started(tmp_path / "run", recipe(), dataset("a")) as run:
        run.complete(BASELINE)
    with (
        pytest.raises(RunError, match="data set has changed"),
        started(tmp_path / "run", recipe(), dataset("b")),
    ):
        pass


def test_second_process_is_refused(tmp_path):
    with (
        started(tmp_path / "run", recipe(), dataset()),
        pytest.raises(RunError, match="is used by another process"),
        started(tmp_path / "run", recipe(), dataset()),
    ):
        pass


def test_a_run_without_its_data_set_says_what_writes_it_again(tmp_path):
    with started(tmp_path / "run", recipe(), dataset("a")):
        pass
    (tmp_path / "run/dataset.json").unlink()
    with pytest.raises(RunError, match=r"dataset\.json is missing") as error:
        open_run(tmp_path / "run")
    assert "usrn fit" in error.value.hint


def test_the_lock_survives_its_file(tmp_path):
    with started(tmp_path / "run", recipe(), dataset("a")):
        (tmp_path / "run/.lock").unlink()
        with (
            pytest.raises(RunError, match="is used by another process"),
            started(tmp_path / "run", recipe(), dataset("a")),
        ):
            pytest.fail("two processes train in a folder")


def test_a_damaged_environment_stops_nothing(tmp_path):
    file = tmp_path / "run/environment.json"
    for _ in range(2):
        with started(tmp_path / "run", recipe(), dataset("a")):
            assert len(json.loads(file.read_text())) == 1
        file.write_text("[{")
    assert file.with_name("environment.damaged.json").read_text() == "[{"


def test_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(RunError, match="not a run folder"), started(tmp_path, recipe(), dataset()):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_folder_that_is_no_run(tmp_path):
    with started(tmp_path / "a", recipe(), dataset()):
        pass
    with pytest.raises(RunError, match="is not a run folder") as error:
        open_run(tmp_path)
    assert str(tmp_path / "a") in error.value.hint
    with pytest.raises(RunError, match="does not exist"):
        open_run(tmp_path / "b")


def test_model_that_is_not_trained_yet(tmp_path):
    with (
        started(tmp_path / "a", recipe(), dataset()) as run,
        pytest.raises(RunError, match="has no usrn model yet; completed stages: none"),
    ):
        _ = run.model_path


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    with started(tmp_path / "a", recipe(), dataset()) as run:
        run.stage(BASELINE).mkdir()
        whole, half = run.stage(BASELINE) / "model.keras", run.stage(BASELINE) / ".model-x1.tmp.keras"
        whole.touch()
        with pytest.raises(KeyboardInterrupt), atomic_path(whole) as temporary:
            temporary.rename(half)  # out of reach of what cleans up here
            raise KeyboardInterrupt
        assert half.exists()
    with started(tmp_path / "a", recipe(), dataset()):
        assert whole.exists() and not half.exists()


def test_what_a_killed_export_left_is_removed(tmp_path):
    with started(tmp_path / "a", recipe(), dataset()):
        half = tmp_path / "a/export/.saved_model-x1.tmp"  # as `staged_path` calls it
        (half / "new").mkdir(parents=True)
        (half / "new" / "saved_model.pb").touch()
    with started(tmp_path / "a", recipe(), dataset()):
        assert list((tmp_path / "a/export").iterdir()) == []


def test_best_weights(tmp_path):
    with started(tmp_path / "a", recipe("evaluation.every=5"), dataset()) as run:
        with pytest.raises(RunError, match="has no baseline model yet"):
            run.model_file("baseline", "best")
        run.stage(BASELINE).mkdir()
        (run.stage(BASELINE) / "model.keras").touch()
        assert run.model_file("baseline").name == "model.keras"
        with pytest.raises(RunError, match="has no best weights of its baseline model") as error:
            run.model_file("baseline", "best")
        assert "--checkpoint last" in error.value.hint
        (run.stage(BASELINE) / "best.keras").touch()
        (run.stage(BASELINE) / "best.json").write_text(
            '{"step": 15, "val_miou": 0.5, "saved": true, "measured": 15}'
        )
        assert run.model_file("baseline", "best") == run.stage(BASELINE) / "best.keras"
        assert run.checkpoint_name("baseline", "best") == "best (step 15)"
        assert run.checkpoint_name("baseline", "last") == "last"


def test_log_knows_what_it_holds(tmp_path):
    log = MetricsLog(tmp_path, "3-usrn")
    assert not log.holds(2, "val_miou")
    MetricsLog(tmp_path, "1-baseline").record({"step": 2, "val_miou": 0.5})
    log.record({"step": 2, "loss": 0.5})
    assert not log.holds(2, "val_miou")
    log.record({"step": 2, "val_miou": 0.5})
    assert log.holds(2, "val_miou") and not log.holds(4, "val_miou")


def test_log_is_rewound_to_the_checkpoint(tmp_path):
    log, other = MetricsLog(tmp_path, "3-usrn"), MetricsLog(tmp_path, "1-baseline")
    other.record({"step": 100, "loss": 0.5})
    for step in (1, 2, 3):
        log.record({"step": step, "loss": 1 / step})
    with open(log.path, "a") as file:
        file.write('{"stage": "3-us')  # a crash in the middle of a line
    log.rewind(2)
    records = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [(record["stage"], record["step"]) for record in records] == [
        ("1-baseline", 100), ("3-usrn", 1), ("3-usrn", 2),
    ]  # fmt: skip
    assert list((tmp_path / "tensorboard/3-usrn").glob("events.out.tfevents.*"))


def test_a_recipe_that_trained_nothing_may_be_corrected(tmp_path):
    with started(tmp_path / "run", recipe(), dataset("a")):
        pass
    with started(tmp_path / "run", recipe("views.crop_size=64"), dataset("b")):
        pass
    assert open_run(tmp_path / "run").recipe.views.crop_size == 64
