"""The benchmarks of a step run and give the rows that they say, on next to nothing."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks import contestants, devices, first_step, official_step, table, train_step
from benchmarks.our_step import OurStep
from benchmarks.roofline import MatrixProducts
from benchmarks.timed_step import TimedStep, made_batch, parents, split_list, take_turns
from benchmarks.worker import Worker


class Counting(TimedStep):
    """A step that says how many were done before."""

    def __init__(self):
        super().__init__(devices.Host(), "none")
        self.done = 0

    def launch(self) -> float:
        self.done += 1
        return float(self.done)

    def flops(self) -> int:
        return 10


class Here:
    """A worker in this process, where Keras is loaded already; `order` gets its name when it is asked."""

    start_seconds = 2.0

    def __init__(self, step: TimedStep, name: str = "", order: list[str] | None = None):
        self._step, self._name, self._order = step, name, [] if order is None else order
        self.facts = step.facts

    def call(self, method: str, *arguments: object) -> object:
        self._order.append(self._name)
        return getattr(self._step, method)(*arguments)

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def test_steps_are_timed_one_by_one():
    answer = Counting().steps(3)
    assert len(answer["seconds"]) == 3 and answer["loss"] == 3.0
    assert answer["peak_memory"] > 2**20 and all(seconds >= 0 for seconds in answer["seconds"])


def test_the_peak_is_that_since_the_reset():
    host = devices.Host()
    held = np.ones(2**23)
    with_it = host.peak_memory()
    if not host.reset_peak_memory():
        pytest.skip("this system cannot reset the peak")
    del held
    assert host.reset_peak_memory() and host.peak_memory() < with_it - 2**25


def test_workers_take_turns_and_the_order_turns_round():
    order: list[str] = []
    rounds = take_turns([Here(Counting(), name, order) for name in "ab"], rounds=3, steps=2)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert [[answer["loss"] for answer in answers] for answers in rounds] == [[2, 2], [4, 4], [6, 6]]


def test_a_worker_that_ends_says_why():
    with pytest.raises(RuntimeError, match=r"exit code 1[\s\S]*KeyError: 'device'"):
        Worker("roofline.py", {}, {})


def measured(seconds: list[float], peak: int, flops: int = 0) -> train_step.Measured:
    def answer(value: float) -> dict:
        return {"seconds": [value], "peak_memory": peak, "peak_was_reset": True}

    return train_step.Measured(None, answer(9.0), [answer(value) for value in seconds], flops)


def test_ratios_are_those_within_a_round():
    ours, official = measured([2.0, 30.0, 3.0], peak=50), measured([1.0, 10.0, 2.0], peak=100)
    found = train_step.beside(ours, official, "")
    assert found == {
        "time_ratio_median": 2.0, "time_ratio_min": 1.5, "time_ratio_max": 3.0,
        "memory_ratio": 0.5, "steps_memory_ratio": 0.5,
    }  # fmt: skip
    assert set(train_step.beside(ours, None, "_x").values()) == {""}
    assert set(train_step.beside(official, official, "").values()) == {""}


def test_the_share_of_the_rate_of_a_matrix_product():
    found = train_step.roofline(measured([2.0, 4.0], 1, flops=8 * 10**9), measured([1.0, 1.0], 1, 10**10))
    assert found["gflop_per_second"] == 3.0 and found["matmul_gflop_per_second"] == 10.0
    assert found["matmul_share_min"] == 0.2 and found["matmul_share_max"] == 0.4


def test_matrix_products_are_counted():
    products = MatrixProducts({"device": "cpu", "precision": "float32", "side": 8})
    assert products.flops() == 2 * (2 * 8**3)
    right = products._right
    assert products.once() == pytest.approx(float((right @ right @ right)[0, 0]), rel=1e-5)


def test_subclasses_of_the_made_batch():
    assert split_list(4, 10) == [3, 3, 2, 2] and parents(2, 3).tolist() == [0, 0, 1]
    batch = made_batch(2, 8, classes=4, subclasses=10)
    np.testing.assert_array_equal(batch["labels"], parents(4, 10)[batch["sublabels"]])
    assert batch["weak"].shape == (2, 8, 8, 3) and batch["weak"].dtype == np.uint8


def test_the_official_code_gets_both_views_as_it_reads_them():
    batch = made_batch(2, 8, classes=2, subclasses=3)
    found = official_step.tensors(batch, pinned=False)
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        "x_l": (2, 3, 8, 8), "x_ul": (2, 2, 3, 8, 8), "target_l": (2, 8, 8), "target_l_subcls": (2, 8, 8),
    }  # fmt: skip
    weak, strong = found["x_ul"][:, 0].numpy(), found["x_ul"][:, 1].numpy()
    np.testing.assert_allclose(weak, batch["weak"].transpose(0, 3, 1, 2) / 127.5 - 1, atol=1e-6)
    assert not np.array_equal(weak, strong)


def test_columns_may_be_added_to_a_file(tmp_path):
    path = tmp_path / "results.csv"
    table.append(path, {"a": 1, "b": "x, y"})
    table.append(path, {"b": 2, "c": 3})
    assert path.read_text() == 'a,b,c\n1,"x, y",\n,2,3\n'


def test_spread_of_an_even_number():
    assert table.spread("s", [4, 1, 3, 2]) == {"s_median": 2.5, "s_min": 1, "s_max": 4}


@pytest.mark.parametrize(
    ("given", "said"),
    [(["--backends", "jax,numpy"], "unknown numpy"), (["--official", "/nowhere"], "no checkout")],
)
def test_wrong_options_are_said(given, said, capsys):
    with pytest.raises(SystemExit):
        contestants.parse(contestants.parser_of(""), given)
    assert said in capsys.readouterr().err


def test_defaults_are_those_of_the_device(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model.py").touch()
    given = ["--device", "gpu", "--backends", "jax,torch", "--official", str(tmp_path), "--crop", "64"]
    options = contestants.parse(contestants.parser_of(""), given)
    assert (options.batch, options.crop) == (8, 64)
    assert [one.backend for one in options.contestants] == ["torch", "jax", "torch"]
    assert options.contestants[0] == contestants.OFFICIAL


def test_a_process_with_an_empty_and_one_with_a_filled_cache(tmp_path, monkeypatch):
    class Compiling(Counting):
        """A first step of 5 s, or of 1 s with what an earlier one has left."""

        def __init__(self, program: Path):
            super().__init__()
            self.program = program

        def steps(self, count: int) -> dict:
            known = self.program.exists()
            self.program.write_bytes(bytes(10**6))
            return {"seconds": [1.0 if known else 5.0]}

    def start(one, options, variables):
        return Here(Compiling(Path(variables[first_step.CACHE_VARIABLE]) / "program"))

    monkeypatch.setattr(contestants.Contestant, "start", start)
    path = tmp_path / "first_step.csv"
    first_step.main(["--backends", "jax", "--device", "cpu", "--rounds", "2", "--csv", str(path)])
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    found = [(row["cache"], row["seconds_together_min"], row["seconds_together_max"]) for row in rows]
    assert found == [("empty", "7.0", "7.0"), ("filled", "3.0", "3.0")]
    assert {row["cached_mb"] for row in rows} == {"1.0"}


def test_the_command_writes_its_rows(tmp_path, monkeypatch):
    """Our real step, in this process; the matrix product in one of its own."""

    def start(one, options):
        network = {key: getattr(options, key) for key in contestants.NETWORK}
        return Here(OurStep({**network, "device": "cpu", "precision": one.precision}))

    monkeypatch.setattr(contestants.Contestant, "start", start)
    path = tmp_path / "train_step.csv"
    given = "--backends torch --backbone keras/mobilenet --batch 1 --crop 32 --classes 2 --subclasses 3"
    train_step.main([*given.split(), "--device", "cpu", "--rounds", "2", "--steps", "1", "--csv", str(path)])
    with open(path, newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["what"], row["backend"], row["device"]) == ("ours", "torch", "cpu")
    assert 0 < float(row["step_seconds_min"]) <= float(row["step_seconds_max"])
    assert float(row["peak_memory_gb"]) > 0.1 and 0 < float(row["matmul_share_median"]) < 1
    assert row["commit"] and row["versions"].startswith("keras 3") and row["time_ratio_median"] == ""
