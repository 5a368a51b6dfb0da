"""The long form of the attacks: `python -m tests.attacks --help`. The short form is `test_attacks.py`.

Ends with 1 if anything was lost. The table and every loss are printed. With `--resume FILE` every outcome is
appended to a file as soon as it is known; the same command resumes a campaign that was stopped, and attacks
again what was lost. `--show` prints the table of such files.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from functools import partial, reduce
from pathlib import Path

from tests.attacks.summary import Summary
from tests.tools import ROOT

KINDS = (
    "kills",
    "errors",
    "each_error",
    "times",
    "signals",
    "verbs",
    "verb_errors",
    "recipes",
    "runs",
    "data",
    "models",
)
ON_RUNS = {"kills", "errors", "each_error", "times", "signals", "verbs", "verb_errors", "runs", "models"}
AT_TIMES = {"times", "signals"}
SMALLEST = {
    "_steps = 4": "_steps = 3",
    "conv_pw_7_relu": "conv_pw_4_relu",
    "[network]": '[network]\noutput_stride = 8\nsharing = "low_high"',
    "[training]": "[evaluation]\nevery = 2\n[training]",
}
"""Changes of the recipe of the tests: most of the time of an attack, a command builds its networks."""


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__)
    parser.add_argument("--kinds", default=",".join(KINDS), help="Attacks, comma-separated.")
    parser.add_argument("--kills", type=int, default=100, help="SIGKILL in each stage of `usrn fit`.")
    parser.add_argument("--errors", type=int, default=50, help="ENOSPC or EIO in each stage.")
    parser.add_argument("--times", type=int, default=100, help="SIGKILL at random times.")
    parser.add_argument(
        "--signals", type=int, default=200, help="SIGINT, SIGTERM and SIGHUP at random times."
    )
    parser.add_argument("--verbs", type=int, default=30, help="SIGKILL in each other command.")
    parser.add_argument(
        "--verb-errors",
        type=int,
        default=30,
        help="ENOSPC, and EIO, in each other command; 0: at each change once.",
    )
    parser.add_argument("--only", default="", help="Other commands to attack, comma-separated; all if empty.")
    parser.add_argument("--recipes", type=int, default=4000, help="Mutations of recipes.")
    parser.add_argument("--runs", type=int, default=500, help="Damaged files of run folders.")
    parser.add_argument("--data", type=int, default=500, help="Damaged images, masks and lists.")
    parser.add_argument("--models", type=int, default=50, help="Hostile models.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of all random choices.")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="Record of the campaign, JSON lines.")
    parser.add_argument("--show", action="store_true", help="Print the table of FILEs and attack nothing.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="Records to show.")
    options = parser.parse_args(words)
    if options.show:
        print(Summary(*options.files).markdown())
        return 0
    kinds = options.kinds.split(",")
    if unknown := sorted(set(kinds) - set(KINDS)):
        parser.error(f"unknown attacks: {', '.join(unknown)}; allowed: {', '.join(KINDS)}")
    table = Summary(*filter(None, [options.resume]), seed=options.seed, commit=_commit())
    attack(kinds, options, table)
    print(table.markdown())
    return int(bool(table.lost))


def _commit() -> str:
    """Commit of the attacked code; an exported copy may have it in the file COMMIT."""
    if (file := ROOT / "COMMIT").exists():
        return file.read_text().strip()
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _compute_eagerly() -> None:
    """Compile no step in TensorFlow, which takes longer than all else; it changes no file."""
    import tensorflow as tf

    from usrn_keras.stages import build

    build.COMPILES = False
    tf.config.run_functions_eagerly(True)


def attack(kinds: list[str], options: argparse.Namespace, table: Summary) -> None:
    """Do the attacks and add their outcomes to the summary."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # they take longer than the programs run
    backend = os.environ["KERAS_BACKEND"]
    from tests.attacks import fit_attacks, fuzzers
    from tests.attacks.verb_attacks import VERBS, attack_verbs, prepare_place
    from tests.conftest import make_recipe
    from usrn_keras.backends import prepare_backend
    from usrn_keras.stages import fit  # noqa: F401 - loaded once, for all forks

    with tempfile.TemporaryDirectory(prefix="attacks-") as name:
        place = Path(name).resolve()
        recipe = make_recipe(place)
        recipe.write_text(
            reduce(lambda text, change: text.replace(*change), SMALLEST.items(), recipe.read_text())
        )
        prepare_place(place)
        # Only imported so far: threads and devices of JAX and TensorFlow would not survive a fork.
        target = fit_attacks.Target(recipe, place / "runs", backend, forks=hasattr(os, "fork"))
        target.place.mkdir()
        whole = target.place / "whole"
        if backend == "torch":
            prepare_backend()
        elif backend == "tensorflow" and not AT_TIMES & set(kinds):
            _compute_eagerly()
        if ON_RUNS & set(kinds):
            reference = fit_attacks.train_reference(target)
            most = fit_attacks.MOST_CPU[backend]
            rows = partial(fit_attacks.attack_in_rows, target, reference)
            verbs = options.only.split(",") if options.only else list(VERBS)
            attack_them = partial(attack_verbs, verbs, place, whole, forks=target.forks)
        for kind in kinds:
            if kind == "kills":
                strike = partial(fit_attacks.at_changes, ("kill",))
                rows(kind, strike, options.kills, table, by_stage=True)
            elif kind == "errors":
                strike = partial(fit_attacks.at_changes, ("ENOSPC", "EIO"))
                rows(kind, strike, options.errors, table, by_stage=True)
            elif kind == "each_error":
                for action in ("ENOSPC", "EIO"):
                    fit_attacks.attack_each_change(target, reference, action, table)
            elif kind == "times":
                rows(kind, partial(fit_attacks.at_times, (signal.SIGKILL,), most), options.times, table)
            elif kind == "signals":
                strike = partial(fit_attacks.at_times, tuple(fit_attacks.CODES), most)
                rows(kind, strike, options.signals, table)
            elif kind == "verbs":
                attack_them(("kill",), options.verbs, backend, table)
            elif kind == "verb_errors":
                attack_them(("ENOSPC", "EIO"), options.verb_errors, backend, table)
            elif kind == "recipes":
                fuzzers.fuzz_recipes(recipe.read_text(), place, options.recipes, table)
                fuzzers.random_arrays(place, options.recipes // 10, table)
            elif kind == "runs":
                image = place / "data/images/3.png"
                fuzzers.fuzz_run_folders(whole, recipe, image, options.runs, target, table)
            elif kind == "data":
                fuzzers.fuzz_data(place / "data", recipe, place, options.data, table)
            else:
                fuzzers.hostile_models(whole / "model.keras", place, options.models, backend, table)
            print(f"{kind}: done", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
