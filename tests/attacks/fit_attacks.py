"""Attacks on `usrn fit`: killed, failed or interrupted anywhere, it must resume to the same result.

One run is attacked again and again, each time a little later, until it is complete; then it must equal the
run without an attack. So an attack costs the start of a command instead of a whole training.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.attacks.processes import Ended, Signal, preload, run_usrn
from tests.attacks.summary import Summary
from tests.attacks.victim import NEW, Attack, attacked_file
from usrn_keras.files import leftovers
from usrn_keras.runs import open_run
from usrn_keras.runs.run_list import damaged_products

TIMES = ("images_per_second", "seconds_per_step")
ALLOWED = {"kill": {-signal.SIGKILL, 0}, "ENOSPC": {0, 9}, "EIO": {0, 6, 9}}  # 6: a file that cannot be read
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
MOST_CPU = {"torch": 5.0, "jax": 60.0, "tensorflow": 60.0}  # seconds to the end: a step, which may compile
LONGEST_ROW = 40
MORE_RUNS = 10  # than attacks, at most: a run may pass by the stages that lack attacks
AT = " at "
Attacks = Sequence[tuple[str, str, str]]  # kind, case and problem of each


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
        changes: Number of changes of the file system in each stage, and in what is done before (`start`)
            and after (`evaluation`) them.
        cpu: Its CPU time in seconds.
    """

    result: dict[str, Any]
    changes: dict[str, int]
    cpu: float

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, and of what is done before and after them."""
        return tuple(self.changes)


class Strike(NamedTuple):
    """One attack on a run.

    Attributes:
        name: What happens, for the table.
        case: When it happens; "" if only its end shows that.
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
    return Reference(result_of(folder), changes_of(events, stages), cpu)


def changes_of(events: Sequence[str], stages: Sequence[str]) -> dict[str, int]:
    """Count the changes of each stage, and of what is done before and after them.

    Args:
        events: Path of each change below the run folder.
        stages: Names of the stages.

    Example:

    >>> changes_of(["stages.json", "1-a/x", "x", "1-a/complete.json", "evaluation.json"], ["1-a"])
    {'start': 1, '1-a': 3, 'evaluation': 1}
    """
    ends = [events.index(f"{stage}/complete.json") + 1 for stage in stages]
    bounds = [0, events.index("stages.json") + 1, *ends, len(events)]
    return dict(zip(("start", *stages, "evaluation"), np.diff(bounds).tolist(), strict=True))


def at_changes(
    actions: tuple[str, ...], rng: random.Random, reference: Reference, stage: str, lacking: Collection[str]
) -> Strike | None:
    """An attack at a random change of the stage that a run is in, or of the next one; None for none.

    Args:
        actions: Actions to choose from.
        rng: Random numbers.
        reference: The run without an attack.
        stage: Stage that the run is in.
        lacking: Stages that have not been attacked often enough; the others are passed by.
    """
    action, here = rng.choice(actions), reference.changes[stage]
    following = dict(zip(reference.stages, reference.stages[1:], strict=False)).get(stage)
    if stage not in lacking and following is None:
        return None
    if stage in lacking:
        at = min(rng.randrange(here), rng.randrange(here))  # earlier ones leave more of the stage
    else:
        at = here + rng.randrange(reference.changes[following])
    return _at_change(action, at, f"{action} at change {at}")


def at_new_changes(action: str) -> Strike:
    """An attack at the first change that no earlier one was at."""
    return _at_change(action, NEW, "")


def _at_change(action: str, at: int, case: str) -> Strike:
    def problem(done: Ended) -> str:
        return "" if done.code in ALLOWED[action] else f"exit code {done.code}: {done.text[-300:]}"

    return Strike(action, case, {"attack": Attack(action, at)}, problem)


def at_times(
    numbers: tuple[int, ...], most_cpu: float, rng: random.Random, reference: Reference, *_: Any
) -> Strike:
    """A signal at a random CPU time of the command, which ends within `most_cpu` seconds of CPU time."""
    number, at = signal.Signals(rng.choice(numbers)), rng.uniform(0, reference.cpu / rng.choice((1, 2, 4)))

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
    strike: Callable[..., Strike | None],
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
        strike: Function that draws the next attack, or None for the end of a run, as `at_changes`.
        count: Number of attacks, in each stage with `by_stage`.
        table: Receives each attack; all attacks of a run are lost if its result differs at the end.
        by_stage: Whether attacks are counted by the stage that they stop.
    """

    def lacking(found: Attacks = ()) -> set[str]:
        kinds = [one.kind for one in table.of(f"{name} ", target.backend)] + [kind for kind, *_ in found]
        stages = reference.stages if by_stage else ("",)
        return {stage for stage in stages if sum(kind.endswith(stage) for kind in kinds) < count}

    for number in range(count + MORE_RUNS):
        if not lacking():
            return
        unit = f"{name} {number}"
        if not table.is_done(unit, target.backend):
            rng = random.Random(f"{unit} {table.seed}")
            draw = partial(_draw, strike, rng, reference, lacking)
            table.add_all(unit, target.backend, _attack_row(target, reference, draw))


def _draw(strike, rng, reference, lacking, stage: str, found: Attacks) -> Strike | None:
    return strike(rng, reference, stage, lacking(found))


def attack_each_change(target: Target, reference: Reference, action: str, table: Summary) -> None:
    """Attack each change of the file system of the command once, also those of commands that resume.

    Args:
        target: What is trained.
        reference: The run without an attack.
        action: Action of the attacks, such as `ENOSPC`.
        table: Receives each attack.
    """
    name = f"each {action}"
    before = table.of(f"{name} ", target.backend)
    number = len({one.unit for one in before})
    known = [one.case.partition(AT)[2] for one in before]
    attacked_file(target.place / "attacked").write_text("".join(f"{one}\n" for one in known))
    strike = at_new_changes(action)
    while row := _attack_row(target, reference, lambda stage, found: strike):
        table.add_all(f"{name} {number}", target.backend, row)
        number += 1


def _attack_row(
    target: Target, reference: Reference, draw: Callable[[str, Attacks], Strike | None]
) -> list[tuple[str, str, str]]:
    """Attack one run until it is complete; returns the kind, the case and the problem of each attack."""
    folder, found = target.place / "attacked", []
    shutil.rmtree(folder, ignore_errors=True)
    while not (folder / "complete.json").exists() and len(found) < LONGEST_ROW:
        strike = draw(_stage_of(folder, reference.stages), found)
        if strike is None:
            break
        known = _attacked(folder)
        done = target.fit(folder, **strike.how)
        if "sent" in strike.how and done.cpu_after_signal is None:
            continue  # the command ended before the signal
        new = _attacked(folder)[len(known) :]
        if not strike.case and not new:
            continue  # each change of the command was attacked before
        kind = f"{strike.name} in {_stage_of(folder, reference.stages)}"
        problem = strike.problem(done)
        found.append(
            (kind, f"{len(found) + 1} of a run, {strike.case or strike.name + AT + new[0]}", problem)
        )
        if problem:
            return found
        if done.code == 0 and not (folder / "complete.json").exists():
            return [*found[:-1], (*found[-1][:2], "the command ended with 0 before the run was complete")]
    if found and (problem := _resumed(target, folder, reference.result)):
        found = [(kind, case, problem) for kind, case, _ in found]
    return found


def _attacked(folder: Path) -> list[str]:
    """Names of the changes of a folder that were attacked by name."""
    file = attacked_file(folder)
    return file.read_text().splitlines() if file.exists() else []


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
