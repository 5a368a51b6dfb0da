"""Attacks on `usrn fit`: killed, failed or interrupted anywhere, it must resume to the same result.

One run is attacked again and again, each time a little later, until it is complete; then it must equal the
run without an attack. So an attack costs the start of a command instead of a whole training.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.attacks.processes import Ended, Signal, preload, run_usrn
from tests.attacks.summary import Summary
from tests.attacks.victim import Attack
from usrn_keras.files import leftovers
from usrn_keras.runs import open_run
from usrn_keras.runs.run_list import damaged_products

TIMES = ("images_per_second", "seconds_per_step")
ALLOWED = {"kill": {-signal.SIGKILL, 0}, "ENOSPC": {0, 9}, "EIO": {0, 6, 9}}  # 6: a file that cannot be read
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
MOST_CPU = {"torch": 5.0, "jax": 60.0, "tensorflow": 60.0}  # seconds to the end: a step, which may compile
LONGEST_ROW = 40


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

    def fit(self, folder: Path, **how: Any) -> Ended:
        """Run `usrn fit` in a folder."""
        words = ["fit", self.recipe, "--run", folder, "--quiet"]
        return run_usrn(words, folder, forks=self.forks, **how)


class Reference(NamedTuple):
    """The run without an attack.

    Attributes:
        result: What it has learnt and measured, see `result_of`.
        changes: Number of changes of the file system.
        cpu: Its CPU time in seconds.
        stages: Names of the stages, and of what is done before and after them.
    """

    result: dict[str, Any]
    changes: int
    cpu: float
    stages: tuple[str, ...]


class Strike(NamedTuple):
    """One attack on a run.

    Attributes:
        name: What happens, for the table.
        case: When it happens.
        how: Arguments of `run_usrn`.
        problem: Function from the end of the command to what is wrong with it, "" if nothing.
    """

    name: str
    case: str
    how: dict[str, Any]
    problem: Callable[[Ended], str]


def train_reference(target: Target) -> Reference:
    """Train without an attack in the folder `whole`."""
    folder, events = target.place / "whole", []
    done = target.fit(folder, events=events)
    if done.code:
        raise RuntimeError(f"the reference run failed: {done.text}")
    if target.forks:
        preload(folder)
    stages = open_run(folder).stages
    cpu = target.fit(target.place / "again").cpu  # without the import of modules
    return Reference(result_of(folder), len(events), cpu, ("start", *stages, "evaluation"))


def at_changes(actions: tuple[str, ...], rng: random.Random, reference: Reference) -> Strike:
    """An attack at a random change of the file system, soon after the start or half a run later."""
    action, latest = rng.choice(actions), reference.changes // rng.choice((12, 4, 2))
    at = rng.randrange(max(2, latest))

    def problem(done: Ended) -> str:
        return "" if done.code in ALLOWED[action] else f"exit code {done.code}: {done.text[-300:]}"

    return Strike(action, f"{action} at change {at}", {"attack": Attack(action, at)}, problem)


def at_times(numbers: tuple[int, ...], most_cpu: float, rng: random.Random, reference: Reference) -> Strike:
    """A signal at a random CPU time of the command, which ends within `most_cpu` seconds of CPU time."""
    number, at = signal.Signals(rng.choice(numbers)), rng.uniform(0, reference.cpu)

    def problem(done: Ended) -> str:
        if number == signal.SIGKILL:
            return "" if done.code in (0, -number) else f"exit code {done.code}: {done.text[-300:]}"
        if done.code not in (CODES[number], 0, -number):  # 0, or the signal itself: at the very end
            return f"exit code {done.code}: {done.text[-300:]}"
        late = done.cpu_after_signal > most_cpu
        return f"stopped after {done.cpu_after_signal:.1f} s of CPU time" if late else ""

    return Strike(number.name, f"{number.name} at {at:.2f} s", {"sent": Signal(number, at)}, problem)


def attack_in_rows(
    target: Target,
    reference: Reference,
    name: str,
    strike: Callable[[random.Random, Reference], Strike],
    count: int,
    table: Summary,
    *,
    by_stage: bool = False,
) -> None:
    """Attack run after run, until enough attacks are counted.

    Args:
        target: What is trained.
        reference: The run without an attack.
        name: Name of the attacks in the record.
        strike: Function that draws the next attack.
        count: Number of attacks, in each stage with `by_stage`.
        table: Receives each attack; all attacks of a run are lost if its result differs at the end.
        by_stage: Whether attacks are counted by the stage that they stop.
    """
    stages = reference.stages[1:] if by_stage else ("",)
    for number in range(count):
        kinds = [one.kind for one in table.of(f"{name} ", target.backend)]
        if min(sum(kind.endswith(stage) for kind in kinds) for stage in stages) >= count:
            return
        unit = f"{name} {number}"
        if not table.is_done(unit, target.backend):
            draw = partial(strike, random.Random(f"{unit} {table.seed}"), reference)
            table.add_all(unit, target.backend, _attack_row(target, reference, draw))


def _attack_row(
    target: Target, reference: Reference, draw: Callable[[], Strike]
) -> list[tuple[str, str, str]]:
    """Attack one run until it is complete; returns the kind, the case and the problem of each attack."""
    folder, found = target.place / "attacked", []
    shutil.rmtree(folder, ignore_errors=True)
    while not (folder / "evaluation.json").exists() and len(found) < LONGEST_ROW:
        strike = draw()
        done = target.fit(folder, **strike.how)
        if "sent" in strike.how and done.cpu_after_signal is None:
            continue  # the command ended before the signal
        kind = f"{strike.name} in {_stage_of(folder, reference.stages)}"
        problem = strike.problem(done)
        found.append((kind, f"{len(found) + 1} of a run, {strike.case}", problem))
        if problem:
            return found
        if done.code == 0 and not (folder / "evaluation.json").exists():
            return [*found[:-1], (kind, strike.case, "the command ended with 0 before the run was complete")]
    if problem := _resumed(target, folder, reference.result):
        found = [(kind, case, problem) for kind, case, _ in found]
    return found


def _stage_of(folder: Path, stages: tuple[str, ...]) -> str:
    """The stage that a stopped run is in."""
    if not (folder / "stages.json").exists():
        return stages[0]
    return next((one for one in stages[1:-1] if not (folder / one / "complete.json").exists()), stages[-1])


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
