"""Attacks on the other commands: killed or failed anywhere, they leave no file half-written."""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from tests.attacks.processes import Ended, run_usrn
from tests.attacks.summary import Summary
from tests.attacks.victim import Attack
from usrn_keras.files import leftovers

GROUP = 6  # attacks on the same files, before the command is repeated without one
ALLOWED = {"kill": {-signal.SIGKILL, 0}, "ENOSPC": {0, 9}, "EIO": {0, 6, 9}}
TABLE = """title = "Attacked"
about = "One row."
reference = "Baseline"
[[rows]]
name = "Baseline"
set = { "training.method" = "supervised" }
"""


class Place(NamedTuple):
    """What commands get.

    Attributes:
        root: Folder with `recipe.toml`, `data/` and what `prepare_place` adds.
        run: Copy of the complete run, below the folder whose changes count.
        out: Folder whose changes count.
    """

    root: Path
    run: Path
    out: Path


class Verb(NamedTuple):
    """A command that writes.

    Attributes:
        words: Function from the place to the words of the command.
        at_once: Whether its new files appear together or not at all.
        needs_run: Whether it reads or changes the run.
        scratch: Name of a folder with files that are deleted before the command ends; "" for none.
    """

    words: Callable[[Place], Sequence[object]]
    at_once: bool = False
    needs_run: bool = True
    scratch: str = ""


VERBS: dict[str, Verb] = {
    "predict": Verb(
        lambda at: ["predict", at.run, at.root / "data/images", "--out", at.out / "a", "--quiet"]),
    "evaluate": Verb(lambda at: ["evaluate", at.run, "--quiet"]),
    "report": Verb(lambda at: ["report", at.run, "--quiet"]),
    "cluster": Verb(lambda at: ["cluster", at.run, "--quiet"], scratch="features"),
    "suggest": Verb(
        lambda at: ["suggest", at.run, "--count", 1, "--out", at.out / "a", "--force", "--quiet"]),
    "labels export": Verb(
        lambda at: ["labels", "export", at.run, at.root / "data/images", "--format", "labelme",
                    "--out", at.out / "a", "--quiet"], at_once=True),
    "export": Verb(lambda at: ["export", at.run, "--format", "onnx", "--size", "32x32"]),
    "runs clean": Verb(lambda at: ["runs", "clean", at.run]),
    "labels import": Verb(
        lambda at: ["labels", "import", at.root / "annotations", "--images", at.root / "data/images",
                    "--out", at.out / "a", "--quiet"], at_once=True, needs_run=False),
    "init": Verb(
        lambda at: ["init", at.out / "a", "--images", at.root / "data/images", "--masks",
                    at.root / "data/masks", "--cpu", "--quiet"], at_once=True, needs_run=False),
    "split": Verb(
        lambda at: ["split", at.root / "recipe.toml", "--labelled", 2, "--out", at.out / "a", "--quiet"],
        at_once=True, needs_run=False),
    "data show": Verb(
        lambda at: ["data", "show", at.root / "recipe.toml", "--out", at.out / "a.png", "--force"],
        needs_run=False),
    "recipes copy": Verb(
        lambda at: ["recipes", "copy", "quickstart", at.out / "a.toml", "--force"], needs_run=False),
    "table": Verb(
        lambda at: ["table", at.root / "table.toml", at.root / "recipe.toml", "--folder", at.out / "table",
                    "--quiet"], needs_run=False),
}  # fmt: skip
"""The commands other than `fit` that write. The runs of the table are complete before it is attacked."""


def prepare_place(root: Path) -> None:
    """Write what the commands read, beside the recipe and its data."""
    (root / "table.toml").write_text(TABLE)
    (root / "annotations").mkdir(exist_ok=True)
    for number in range(3):
        shape = {"label": "car", "points": [[5, 5], [20, 5], [20, 15]], "shape_type": "polygon"}
        size = {"imagePath": f"{number}.png", "imageHeight": 40, "imageWidth": 48}
        (root / f"annotations/{number}.json").write_text(json.dumps({"shapes": [shape], **size}))


class _Tried:
    """A command, and the files before and after it without an attack."""

    def __init__(self, verb: Verb, root: Path, whole: Path, *, forks: bool):
        self._verb, self._whole, self._forks = verb, whole, forks
        self.at = Place(root, root / "verb/run", root / "verb")
        self.pristine = root / "verb-before"
        shutil.rmtree(self.pristine, ignore_errors=True)
        self.reset()
        if "table" in verb.words(self.at):
            self.run()
            shutil.rmtree(self.at.out / "table/tables")
        shutil.copytree(self.at.out, self.pristine)
        self.before = files_of(self.at.out)
        self.events: list[str] = []
        self.done = self.run(events=self.events)
        self.after = files_of(self.at.out)
        self.reset()
        self.run()
        again = files_of(self.at.out)
        self.same = {name for name in self.after if again.get(name) == self.after[name]}

    def reset(self) -> None:
        """Restore the files before the command."""
        shutil.rmtree(self.at.out, ignore_errors=True)
        if self.pristine.exists():
            shutil.copytree(self.pristine, self.at.out)
            return
        self.at.out.mkdir()
        if self._verb.needs_run:
            shutil.copytree(self._whole, self.at.run)

    def run(self, **how) -> Ended:
        """Run the command."""
        return run_usrn(self._verb.words(self.at), self.at.out, forks=self._forks, **how)

    def halves(self) -> str:
        """What is half-written; "" if nothing is."""
        return half_written(files_of(self.at.out), self.before, self.after, self.same, self._verb)

    def differs(self) -> str:
        """What differs from the files after the command; "" if nothing does."""
        now = files_of(self.at.out)
        different = [
            name
            for name in self.after
            if name not in now or (name in self.same and now[name] != self.after[name])
        ]
        return f"differs in {', '.join(different[:3])}" if different else self.halves()


HOLDER = ".holder.json"  # names the process that has the lock; the next one replaces it


def half_written(
    now: dict[str, bytes], before: dict[str, bytes], after: dict[str, bytes], same: set[str], verb: Verb
) -> str:
    """Find a file that is neither as before nor as after a command; "" if there is none.

    Args:
        now: Content of the files by path.
        before: Content before the command.
        after: Content after the command without an attack.
        same: Paths of the files that have the same content after each such command.
        verb: The command.
    """
    for name, content in now.items():
        if verb.scratch and verb.scratch in Path(name).parts:
            continue
        if name not in before and name not in after and Path(name).name != HOLDER:
            return f"{name} is neither a file before nor after the command"
        allowed = [found[name] for found in (before, after) if name in found]
        if content not in allowed and (name in same or not content):
            return f"{name} is half-written, {len(content)} bytes"
    if gone := [name for name in before if name not in now and name in after]:
        return f"{gone[0]} is gone"
    new = {name for name in after if name not in before}
    there = new & set(now)
    return (
        f"{len(there)} of {len(new)} new files are there"
        if verb.at_once and there not in (set(), new)
        else ""
    )


def files_of(folder: Path) -> dict[str, bytes]:
    """Content of the files below a folder by their relative paths, without temporary files."""
    left = {file for one in leftovers(folder) for file in (one, *one.rglob("*"))}
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file not in left]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def attack_verbs(
    names: Sequence[str], root: Path, whole: Path, actions: Sequence[str], count: int, backend: str,
    table: Summary, *, forks: bool,
) -> None:  # fmt: skip
    """Attack changes of the file system of each command, spread evenly over it.

    Args:
        names: Names of the commands in `VERBS`.
        root: Folder with the recipe, its data and what `prepare_place` writes.
        whole: Complete run.
        actions: Actions of attacks, such as `kill`.
        count: Number of attacks of each action on each command; a command with fewer changes gets more than
            one round of them. 0: one at each change.
        backend: Name of the backend, for the table.
        table: Receives the attacks.
        forks: Whether commands are forked from this process.
    """
    for name in names:
        units = [(action, group) for action in actions for group in range(-(-count // GROUP))]
        if units and all(table.is_done(f"{action} {name} {group}", backend) for action, group in units):
            continue
        tried = _Tried(VERBS[name], root, whole, forks=forks)
        if tried.done.code:
            table.add(f"{name} without an attack", backend, "once", tried.done.text[-300:])
            continue
        most = count or len(tried.events)
        for action, group in product(actions, range(-(-most // GROUP))):
            unit = f"{action} {name} {group}"
            if table.is_done(unit, backend):
                continue
            places = _places(len(tried.events), most, f"{unit} {table.seed}")
            numbers = places[group * GROUP : (group + 1) * GROUP]
            table.add_all(unit, backend, _attack_group(tried, name, action, numbers))


def _places(events: int, count: int, seed: str) -> list[int]:
    """`count` changes, each as often as the others, and those that are left over at random."""
    rounds, rest = divmod(count, events)
    places = [*list(range(events)) * rounds, *sorted(random.Random(seed).sample(range(events), rest))]
    return places


def _attack_group(
    tried: _Tried, name: str, action: str, numbers: Sequence[int]
) -> list[tuple[str, str, str]]:
    found, kind = [], f"{action} in usrn {name}"
    tried.reset()
    for number in numbers:
        if not tried.differs():
            tried.reset()
        done = tried.run(attack=Attack(action, number))
        problem = "" if done.code in ALLOWED[action] else f"exit code {done.code}: {done.text[-300:]}"
        problem = problem or tried.halves()
        if not problem and done.code == 0 and action != "kill":
            problem = tried.differs()
        failed = action != "kill" and done.code  # else the failure was the removal of a temporary file itself
        if not problem and failed and leftovers(tried.at.out):
            problem = f"left {leftovers(tried.at.out)[0]}"
        found.append((kind, f"change {number}, {tried.events[number]}", problem))
    if tried.differs():
        done = tried.run()
        problem = (
            tried.differs() if done.code == 0 else f"repeated, it ended with {done.code}: {done.text[-300:]}"
        )
        if problem:
            found = [(kind, case, before or f"repeated: {problem}") for kind, case, before in found]
    return found
