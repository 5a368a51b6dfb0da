"""Which chunks are computed, which are skipped, and in which order their answers come."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from tests.chunks.worker_functions import double
from usrn_keras.chunks import ChunkAnswers, Work, cut, map_chunks
from usrn_keras.chunks.chunk_worker import Order, compute
from usrn_keras.errors import BackendError

ITEMS = list(range(7))


class Backwards:
    """A pool of this process that computes the last chunk first, and notes what it computes."""

    def __init__(self, stop_after: int = 99):
        self.computed, self.stop_after = [], stop_after

    def compute(self, orders):
        for number, order in reversed(list(orders)):
            if len(self.computed) == self.stop_after:
                raise KeyboardInterrupt
            self.computed.append(list(order.items))
            yield number, double(order.common, order.items)


def work(folder, factor=2, **options) -> Work:
    for item in ITEMS:
        if not (folder / f"{item}.txt").exists():
            (folder / f"{item}.txt").touch()
    target = "tests.chunks.worker_functions:double"
    files = {"files": lambda item: [folder / f"{item}.txt"]}
    return Work(target, {"factor": factor}, cut(ITEMS, 3), key=factor, **(files | options))


def doubled(pool, work, answers, **options):
    return [
        number
        for answer in map_chunks(pool, work, answers, "torch", **options)
        for number in json.loads(answer)
    ]


@pytest.fixture
def answers(tmp_path):
    return ChunkAnswers(tmp_path / "answers")


def test_answers_come_in_the_order_of_the_chunks(tmp_path, answers):
    counted = []
    assert doubled(Backwards(), work(tmp_path), answers, computed=counted.append) == [0, 2, 4, 6, 8, 10, 12]
    assert sorted(counted) == [1, 3, 3]


def test_an_interrupted_call_computes_only_what_is_missing(tmp_path, answers):
    with pytest.raises(KeyboardInterrupt):
        doubled(Backwards(stop_after=2), work(tmp_path), answers)
    pool = Backwards()
    assert doubled(pool, work(tmp_path), answers) == [0, 2, 4, 6, 8, 10, 12]
    assert pool.computed == [[0, 1, 2]]


@pytest.mark.parametrize("damage", [lambda text: text[:-1], lambda text: text[:-1] + b"7", lambda text: b""])
def test_a_damaged_answer_is_computed_again(tmp_path, answers, damage):
    doubled(Backwards(), work(tmp_path), answers)
    key = work(tmp_path).key_of(1)
    (file,) = [path for path in answers.folder.iterdir() if path == answers._file(key)]
    file.write_bytes(damage(file.read_bytes()))
    pool = Backwards()
    assert doubled(pool, work(tmp_path), answers) == [0, 2, 4, 6, 8, 10, 12]
    assert pool.computed == [[3, 4, 5]]


def test_other_options_and_changed_files_are_computed_again(tmp_path, answers):
    doubled(Backwards(), work(tmp_path), answers)
    pool = Backwards()
    assert doubled(pool, work(tmp_path, factor=3), answers)[-1] == 18 and len(pool.computed) == 3
    (tmp_path / "6.txt").write_text("another image")
    pool, changed = Backwards(), work(tmp_path)
    assert doubled(pool, changed, answers)[-1] == 12 and pool.computed == [[6]]


def test_an_answer_that_is_not_valid_any_more_is_computed_again(tmp_path, answers):
    doubled(Backwards(), work(tmp_path), answers)
    pool = Backwards()
    doubled(pool, work(tmp_path, valid=lambda answer: json.loads(answer) != [6, 8, 10]), answers)
    assert pool.computed == [[3, 4, 5]]


def test_answers_that_are_not_kept_are_deleted(tmp_path, answers):
    doubled(Backwards(), work(tmp_path), answers, keep=False)
    assert list(answers.folder.iterdir()) == []


def test_a_worker_of_another_version_is_refused():
    with pytest.raises(BackendError, match=r"has usrn-keras .*, this command 0\.0\.1"):
        compute(Order("tests.chunks.worker_functions:double", {}, [1], "torch", version="0.0.1"))


def test_a_worker_with_another_backend_is_refused(monkeypatch):
    loaded = SimpleNamespace(backend=SimpleNamespace(backend=lambda: "jax"))
    monkeypatch.setitem(sys.modules, "keras", loaded)
    with pytest.raises(BackendError, match="has loaded Keras on jax, this command asks for torch"):
        compute(Order("tests.chunks.worker_functions:double", {}, [1], "torch"))
