"""Attacks on `usrn fit`: killed, failed or interrupted anywhere, it must resume to the same result."""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.attacks.processes import Signal, run_usrn
from tests.attacks.summary import Summary
from tests.attacks.victim import ACTIONS, Attack
from usrn_keras.files import leftovers
from usrn_keras.runs import open_run
from usrn_keras.runs.run_list import damaged_products

TIMES = ("images_per_second", "seconds_per_step")
ALLOWED = {"kill": {-signal.SIGKILL}, "ENOSPC": {0, 9}, "EIO": {0, 6, 9}}  # 6: a file that cannot be read
MOST_CPU = 5.0  # seconds from a signal to the end
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@dataclass
class Target:
    """A recipe that is trained again and again.

    Attributes:
        recipe: Path of the recipe.
        place: Folder for the runs.
        backend: Name of the backend, for the table.
        forks: Whether commands are forked from this process.
    """

    recipe: Path
    place: Path
    backend: str
    forks: bool

    def fit(self, folder: Path, **how: Any):
        """Run `usrn fit` in a folder."""
        words = ["fit", self.recipe, "--run", folder, "--quiet"]
        return run_usrn(words, folder, forks=self.forks, **how)


def reference(target: Target) -> tuple[dict[str, Any], list[tuple[str, int]]]:
    """Train without an attack; returns the result, and the number and the stage of each change."""
    folder, events = target.place / "whole", []
    done = target.fit(folder, events=events)
    if done.code:
        raise RuntimeError(f"the reference run failed: {done.text}")
    stages = open_run(folder).stages
    stage, found = "start", []
    for number, path in enumerate(events):
        first = path.split("/")[0]
        if first in stages and not (stages.index(first) < _position(stage, stages)):
            stage = first
        found.append((stage, number))
        if path.endswith(f"{stages[-1]}/complete.json"):
            stage = "evaluation"
    return result_of(folder), found


def _position(stage: str, stages: tuple[str, ...]) -> int:
    return len(stages) if stage == "evaluation" else stages.index(stage) if stage in stages else -1


def attack_events(
    target: Target,
    expected: dict[str, Any],
    events: list[tuple[str, int]],
    action: str,
    count: int,
    table: Summary,
) -> None:
    """Attack `count` changes of every stage, spread evenly, and resume each time."""
    for stage in dict.fromkeys(stage for stage, _ in events):
        numbers = [number for one, number in events if one == stage]
        for number in _spread(numbers, count):
            folder = target.place / f"{action}-{number}"
            done = target.fit(folder, attack=Attack(action, number))
            problem = "" if done.code in ALLOWED[action] else f"exit code {done.code}: {done.text[-300:]}"
            problem = problem or _resumed(target, folder, expected)
            table.add(f"{action} in {stage}", target.backend, f"change {number}", problem)
            shutil.rmtree(folder, ignore_errors=True)


def attack_in_a_row(target: Target, expected: dict[str, Any], count: int, seed: int, table: Summary) -> None:
    """Attack the same run again and again, each time somewhat later, until it is complete."""
    rng = random.Random(seed)
    for number in range(count):
        folder, problem, attacks = target.place / f"row-{number}", "", []
        while not problem and not (folder / "evaluation.json").exists() and len(attacks) < 40:
            action, at = rng.choice(ACTIONS), rng.randrange(15, 70)
            attacks.append(f"{action} {at}")
            done = target.fit(folder, attack=Attack(action, at))
            if done.code not in ALLOWED[action] | {0}:
                problem = f"exit code {done.code} after {attacks}: {done.text[-300:]}"
        problem = problem or _resumed(target, folder, expected)
        table.add("several in a row", target.backend, ", ".join(attacks), problem)
        shutil.rmtree(folder, ignore_errors=True)


def attack_times(
    target: Target, expected: dict[str, Any], cpu: float, count: int, kill: bool, seed: int, table: Summary
) -> None:
    """Send signals at random CPU times: SIGKILL, or SIGINT, SIGTERM and SIGHUP in turn."""
    rng = random.Random(seed)
    for number in range(count):
        kind = signal.SIGKILL if kill else list(CODES)[number % len(CODES)]
        at, folder = rng.uniform(0, cpu), target.place / f"signal-{number}"
        done = target.fit(folder, sent=Signal(kind, at))
        problem = ""
        if not kill and done.code not in (CODES[kind], 0, -kind):  # 0, or the signal itself: at the very end
            problem = f"exit code {done.code}: {done.text[-300:]}"
        elif not kill and done.code == 0 and not (folder / "evaluation.json").exists():
            problem = "the signal was lost"
        elif not kill and done.cpu_after_signal > MOST_CPU:
            problem = f"stopped after {done.cpu_after_signal:.1f} s of CPU time"
        problem = problem or _resumed(target, folder, expected)
        name = "SIGKILL" if kill else kind.name
        table.add(f"{name} at a random time", target.backend, f"{at:.2f} s", problem)
        shutil.rmtree(folder, ignore_errors=True)


def _spread(numbers: list[int], count: int) -> Iterator[int]:
    count = min(count, len(numbers))
    return (numbers[round(i * (len(numbers) - 1) / max(1, count - 1))] for i in range(count))


def _resumed(target: Target, folder: Path, expected: dict[str, Any]) -> str:
    """Run the same command again; returns what differs from the run without an attack."""
    done = target.fit(folder)
    if done.code:
        return f"resuming ended with {done.code}: {done.text[-300:]}"
    found = result_of(folder)
    different = [key for key, value in expected.items() if not _equal(found.get(key), value)]
    if different:
        return f"differs in {', '.join(different[:3])}"
    if left := leftovers(folder):
        return f"left {left[0]}"
    return "; ".join(damaged_products(open_run(folder)))


def result_of(folder: Path) -> dict[str, Any]:
    """What a run has learnt and measured: variables, records without times, scores, sublabel maps."""
    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*/checkpoint.npz")):
        with np.load(file) as arrays:
            kept = {f"{file.parent.name} {key}": arrays[key] for key in arrays.files if key != "header"}
        found |= kept
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found["records"] = [{key: one[key] for key in one if key not in TIMES} for one in records]
    found["scores"] = json.loads((folder / "evaluation.json").read_text())["scores"]
    maps = sorted(folder.glob("*/sublabels/*.png"))
    return found | {f"{file.parent.parent.name} {file.name}": file.read_bytes() for file in maps}


def _equal(one: Any, other: Any) -> bool:
    return np.array_equal(one, other) if isinstance(other, np.ndarray) else one == other
