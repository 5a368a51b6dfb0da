"""The loop: what it resumes, records and refuses."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Callable

import keras
import numpy as np
import pytest

from tests.tools import poly, tiny_batch, tiny_branches
from usrn_keras.errors import DivergedError, StorageError, WeightsError
from usrn_keras.methods import USRN
from usrn_keras.optimizers import SGD
from usrn_keras.training import Loop, load_checkpoint, save_checkpoint

STEPS = 6


class Source:
    """Batches by step; may send a signal, or break a batch."""

    def __init__(self, interrupt_at: int | None = None, break_at: int | None = None):
        self.interrupt_at, self.break_at = interrupt_at, break_at

    def iterate(self, start, stop):
        for step in range(start, stop):
            if step == self.interrupt_at:
                os.kill(os.getpid(), signal.SIGINT)
            batch = tiny_batch(step)
            yield batch

    def names(self, step):
        return [f"image-{step}.png"]


def model(seed: int = 0) -> USRN:
    keras.utils.set_random_seed(seed)
    branch, sub_branch = tiny_branches()
    built = USRN(branch, sub_branch, [0, 1, 2, 0, 1])
    optimizer = SGD(poly(0.05, STEPS))
    optimizer.multiply_learning_rate(built.slow_variables(), 0.1)
    optimizer.build(built.trainable_variables)
    built.compile(optimizer=optimizer)
    return built


def state(trained: keras.Model) -> list[np.ndarray]:
    variables = [*trained.variables, *trained.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]


@pytest.mark.usefixtures("foreground_signals")
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path):
    whole = model()
    Loop(whole, Source(), STEPS, tmp_path / "whole.npz").run()
    with pytest.raises(KeyboardInterrupt):
        Loop(model(), Source(interrupt_at=3), STEPS, tmp_path / "parts.npz").run()
    resumed = model(seed=1)  # whatever it starts from, the checkpoint replaces
    rewound = []
    Loop(resumed, Source(), STEPS, tmp_path / "parts.npz", rewind=rewound.append).run()
    assert 3 <= rewound[0] < STEPS
    for ours, theirs in zip(state(resumed), state(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.usefixtures("foreground_signals")
def test_an_interrupt_in_the_last_step_stops_what_comes_after(tmp_path):
    source, checkpoint = Source(interrupt_at=STEPS - 1), tmp_path / "checkpoint.npz"
    with pytest.raises(KeyboardInterrupt, match="after step 6 of 6"):
        Loop(model(), source, STEPS, checkpoint).run()
    records = []
    Loop(model(), Source(), STEPS, checkpoint, record=records.append).run()
    assert records == []


def test_complete_training_is_not_repeated(tmp_path):
    Loop(model(), Source(), STEPS, tmp_path / "checkpoint.npz").run()
    records = []
    Loop(model(), Source(), STEPS, tmp_path / "checkpoint.npz", record=records.append).run()
    assert records == []


def test_records_are_means_over_their_window(tmp_path):
    records = []
    Loop(model(), Source(), STEPS, tmp_path / "c.npz", log_every=3, record=records.append).run()
    assert [record["step"] for record in records] == [1, 3, 6]
    assert records[0]["learning_rate"] == pytest.approx(0.05)
    assert {"loss", "supervised", "confident", "gate_open", "images_per_second"} <= set(records[0])
    json.dumps(records)


@pytest.mark.usefixtures("foreground_signals")
@pytest.mark.parametrize("stop", [2, 4, 5])
def test_records_do_not_depend_on_interruptions_and_checkpoints(stop, tmp_path):
    """Windows are counted in steps: the checkpoint holds the steps of the open one."""

    def numbers(records):
        times = ("images_per_second", "seconds_per_step")
        return [{key: value for key, value in record.items() if key not in times} for record in records]

    whole, parts = [], []
    Loop(model(), Source(), 7, tmp_path / "whole.npz", log_every=3, record=whole.append).run()
    options = {"log_every": 3, "record": parts.append, "checkpoint_seconds": 0}
    with pytest.raises(KeyboardInterrupt):
        Loop(model(), Source(interrupt_at=stop - 1), 7, tmp_path / "parts.npz", **options).run()
    Loop(model(), Source(), 7, tmp_path / "parts.npz", **options).run()
    assert [record["step"] for record in whole] == [1, 3, 6, 7]
    assert numbers(parts) == numbers(whole)
    assert all(record["seconds_per_step"] > 0 for record in parts)


class Every:
    """Due after every `period` steps."""

    def __init__(self, period: int, after_step: Callable[[int], None]):
        self.period, self.after_step = period, after_step

    def resume(self, step: int) -> None:
        pass

    def due(self, step: int) -> bool:
        return step % self.period == 0


def test_callbacks_are_called_when_due_with_the_checkpoint_in_place(tmp_path):
    seen, checkpoint = [], tmp_path / "c.npz"

    def look(name: str) -> Callable[[int], None]:
        return lambda step: seen.append((name, step, load_checkpoint(checkpoint, model())["step"]))

    Loop(model(), Source(), STEPS, checkpoint, callbacks=[Every(2, look("a")), Every(3, look("b"))]).run()
    assert seen == [("a", 2, 2), ("b", 3, 3), ("a", 4, 4), ("a", 6, 6), ("b", 6, 6)]


def test_speed_is_that_of_training_alone(tmp_path):
    records, checkpoint = [], tmp_path / "c.npz"
    callbacks = [Every(4, lambda step: time.sleep(2))]
    Loop(model(), Source(), STEPS, checkpoint, log_every=2, record=records.append, callbacks=callbacks).run()
    assert [record["step"] for record in records] == [1, 2, 4, 6]
    assert records[-1]["seconds_per_step"] < 1


def test_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path):
    checkpoint = tmp_path / "c.npz"
    good = model()
    Loop(good, Source(), STEPS, checkpoint, checkpoint_seconds=10**6)
    save_checkpoint(checkpoint, good, 2, seconds=0.0)
    before = checkpoint.read_bytes()
    broken = model()
    broken.branch.classifier.layers[-1].bias.assign([np.nan, 0.0, 0.0])
    good.branch.classifier.layers[-1].bias.assign([np.nan, 0.0, 0.0])
    loop = Loop(broken, Source(), STEPS, tmp_path / "other.npz", description="3-usrn")
    with pytest.raises(DivergedError, match=r"3-usrn: loss.* not finite in step 1 of 6") as error:
        loop.run()
    assert "image-0.png" in str(error.value)
    assert not (tmp_path / "other.npz").exists()
    with pytest.raises(DivergedError, match="not finite"):
        save_checkpoint(checkpoint, good, 3, seconds=0.0)
    assert checkpoint.read_bytes() == before


def test_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    trained, checkpoint = model(), tmp_path / "c.npz"
    save_checkpoint(checkpoint, trained, 1, seconds=0.0)
    before = checkpoint.read_bytes()

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(StorageError, match="No space left on device"):
        save_checkpoint(checkpoint, trained, 2, seconds=0.0)
    assert checkpoint.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]


def test_checkpoint_of_another_network_is_refused(tmp_path):
    save_checkpoint(tmp_path / "c.npz", model(), 1, seconds=0.0)
    branch, sub_branch = tiny_branches(subclasses=7)
    other = USRN(branch, sub_branch, [0] * 7)
    optimizer = SGD(poly(0.1, 2))
    optimizer.build(other.trainable_variables)
    other.compile(optimizer=optimizer)
    with pytest.raises(WeightsError, match="from another network") as error:
        load_checkpoint(tmp_path / "c.npz", other)
    assert any("needs (7,), the file has (5,)" in fault for fault in error.value.errors)


def test_every_changed_byte_of_a_checkpoint_is_noticed_or_without_effect(tmp_path):
    file, saved = tmp_path / "c.npz", model()
    save_checkpoint(file, saved, 3, seconds=0.5)
    whole, before = file.read_bytes(), state(saved)
    noticed = 0
    for place in np.random.default_rng(0).integers(0, len(whole), 60):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            assert load_checkpoint(file, saved)["step"] == 3
        except WeightsError:
            noticed += 1
        for ours, theirs in zip(state(saved), before, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert noticed > 50


def test_a_checkpoint_of_a_later_format_is_refused(tmp_path):
    np.savez(tmp_path / "c.npz", header=np.array(json.dumps({"format": 2, "step": 1, "seconds": 0.0})))
    with pytest.raises(WeightsError, match="has format 2; this version reads format 1"):
        load_checkpoint(tmp_path / "c.npz", model())


def test_damaged_checkpoint_is_named(tmp_path):
    (tmp_path / "c.npz").write_bytes(b"half a file")
    with pytest.raises(WeightsError, match="cannot be read as a checkpoint"):
        load_checkpoint(tmp_path / "c.npz", model())
