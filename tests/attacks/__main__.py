"""The long form of the attacks: `python -m tests.attacks --help`. The short form is `test_attacks.py`.

Ends with 1 if anything was lost. The table and every loss are printed, and written to `--out`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

KINDS = ("rows", "kills", "errors", "signals", "recipes", "runs", "data", "models")


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__)
    parser.add_argument("--kinds", default=",".join(KINDS), help="Attacks, comma-separated.")
    parser.add_argument("--rows", type=int, default=10, help="Runs that are attacked again and again.")
    parser.add_argument(
        "--kills", type=int, default=100, help="Kills in each stage; as many at random times."
    )
    parser.add_argument("--errors", type=int, default=25, help="ENOSPC, and EIO, in each stage.")
    parser.add_argument(
        "--signals", type=int, default=200, help="SIGINT, SIGTERM and SIGHUP at random times."
    )
    parser.add_argument("--recipes", type=int, default=4000, help="Mutations of recipes.")
    parser.add_argument("--runs", type=int, default=500, help="Damaged files of run folders.")
    parser.add_argument("--data", type=int, default=500, help="Damaged images, masks and lists.")
    parser.add_argument("--models", type=int, default=50, help="Hostile models.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of all random choices.")
    parser.add_argument("--out", type=Path, help="File for the table, written again after each kind.")
    options = parser.parse_args(words)
    kinds = options.kinds.split(",")
    if unknown := sorted(set(kinds) - set(KINDS)):
        parser.error(f"unknown attacks: {', '.join(unknown)}; allowed: {', '.join(KINDS)}")
    table = attack(kinds, options)
    print(table.markdown())
    return int(bool(table.lost))


def attack(kinds: list[str], options: argparse.Namespace):
    """Do the attacks and return the summary."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    backend = os.environ["KERAS_BACKEND"]
    from tests.attacks import fit_attacks, fuzzers
    from tests.attacks.fit_attacks import Target
    from tests.attacks.summary import Summary
    from tests.conftest import make_recipe
    from usrn_keras.backends import prepare_backend
    from usrn_keras.stages import fit  # noqa: F401 - loaded once, for all forks

    table = Summary()
    with tempfile.TemporaryDirectory(prefix="attacks-") as name:
        place = Path(name).resolve()
        recipe = make_recipe(place)
        text = recipe.read_text().replace("_steps = 4", "_steps = 3")
        recipe.write_text(f"{text}[evaluation]\nevery = 2\n")
        # Threads and devices of JAX and TensorFlow do not survive a fork.
        target = Target(recipe, place / "runs", backend, forks=backend == "torch")
        target.place.mkdir()
        if target.forks:
            prepare_backend()
        expected, events, cpu = None, [], 0.0
        if {"rows", "kills", "errors", "signals", "runs", "models"} & set(kinds):
            started = time.process_time(), sum(os.times()[2:4])
            expected, events = fit_attacks.reference(target)
            cpu = sum(os.times()[2:4]) - started[1]
        for kind in kinds:
            if kind == "rows":
                fit_attacks.attack_in_a_row(target, expected, options.rows, options.seed, table)
            elif kind == "kills":
                fit_attacks.attack_events(target, expected, events, "kill", options.kills, table)
                fit_attacks.attack_times(target, expected, cpu, options.kills, True, options.seed, table)
            elif kind == "errors":
                for action in ("ENOSPC", "EIO"):
                    fit_attacks.attack_events(target, expected, events, action, options.errors, table)
            elif kind == "signals":
                fit_attacks.attack_times(target, expected, cpu, options.signals, False, options.seed, table)
            elif kind == "recipes":
                fuzzers.fuzz_recipes(recipe.read_text(), place, options.recipes, options.seed, table)
                fuzzers.random_arrays(place, options.recipes // 10, options.seed, table)
            elif kind == "runs":
                image = place / "data/images/3.png"
                whole = target.place / "whole"
                fuzzers.fuzz_run_folders(
                    whole, recipe, image, options.runs, options.seed, target.forks, table
                )
            elif kind == "data":
                fuzzers.fuzz_data(place / "data", recipe, place, options.data, options.seed, table)
            else:
                model = target.place / "whole/model.keras"
                fuzzers.hostile_models(model, place, options.models, options.seed, backend, table)
            if options.out:
                options.out.write_text(table.markdown() + "\n")
            print(f"{kind}: done", file=sys.stderr, flush=True)
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
