"""Time and memory of one USRN training step on each backend, beside the step of the official code.

    git clone https://github.com/Dayan-Guan/USRN ../USRN
    python benchmarks/train_step.py --backends jax,torch,tensorflow --official ../USRN \\
        --csv benchmarks/results/train_step.csv

Each backend, and the official code, is a process of its own; they take turns, so that the ratios (of ours to
the official one in the same round) hold on a machine that is not quiet. A step starts with the batch in host
memory and ends when the device is done. Ours makes the strong view in the step; the official code makes it
in its data loaders, which is not counted: see benchmarks/official_step.py.

By default ResNet-50, output stride 16, low-level sharing, 21 classes, 177 subclasses; on a CPU 2 labelled
and 2 unlabelled images of 128 x 128, on a GPU 8 and 8 of 320 x 320.

Memory on a CPU is what is resident of the process, on a GPU what the library has allocated there:
`peak_memory_gb` since the start, `steps_memory_gb` since the first step, which compiles (empty where the
peak cannot be reset). float32 on a GPU means TensorFloat-32 in convolutions and matrix products, for all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import devices, machine, table
from benchmarks.worker import Worker, take_turns

OFFICIAL = "official"
BACKENDS = ("jax", "torch", "tensorflow")
DEFAULT_SIZE = {"cpu": {"batch": 2, "crop": 128}, "gpu": {"batch": 8, "crop": 320}}
NETWORK = ("backbone", "batch", "crop", "classes", "subclasses")


def start(name: str, options: argparse.Namespace) -> Worker:
    """A worker that has not done a step yet.

    This process loads no library: a process inherits the peak memory of the one that starts it.
    """
    script = "official_step.py" if name == OFFICIAL else "our_step.py"
    given = {key: getattr(options, key) for key in (*NETWORK, "precision", "device")}
    given["official"] = str(options.official)
    backend = {} if name == OFFICIAL else {"KERAS_BACKEND": name}
    environment = backend | devices.variables(options.device, options.precision)
    return Worker(str(Path(__file__).with_name(script)), given, environment)


def measure(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """A row for the official code, if asked for, and for each backend."""
    names = [*([OFFICIAL] if options.official else []), *options.backends]
    with ExitStack() as stack:
        workers, first = [], []
        for name in names:  # one after the other: only one compiles at a time
            workers.append(stack.enter_context(start(name, options)))
            first.append(workers[-1].steps(1))
            print(f"{name}: first step after {first[-1]['seconds'][0]:.1f} s", file=sys.stderr, flush=True)
        rounds = take_turns(workers, options.rounds, options.steps)
    peaks = [max(a["peak_memory"] for a in answers) for answers in zip(first, *rounds, strict=True)]
    for index, (name, worker) in enumerate(zip(names, workers, strict=True)):
        answers = [answers[index] for answers in rounds]
        row = settings(name, options) | {"start_seconds": round(worker.start_seconds, 2)}
        row |= timing(first[index], answers) | memory(first[index], answers)
        if options.official:
            reference = [answers[0] for answers in rounds]
            row |= table.spread("time_ratio", ratios(answers, reference), 3)
            row |= {"memory_ratio": round(peaks[index] / peaks[0], 3)}
        yield row | worker.facts


def settings(name: str, options: argparse.Namespace) -> dict[str, object]:
    """Columns that say what was measured."""
    official = name == OFFICIAL
    return {
        "what": OFFICIAL if official else "ours",
        "backend": "torch" if official else name,
        "precision": "float32" if official else options.precision,
        **{key: getattr(options, key) for key in NETWORK},
        **({"backbone": "its resnet50"} if official else {}),
        "steps": options.rounds * options.steps,
        "rounds": options.rounds,
    }


def timing(first: dict, answers: list[dict]) -> dict[str, float]:
    """Columns of a worker's seconds."""
    seconds = list(chain.from_iterable(answer["seconds"] for answer in answers))
    return {"first_step_seconds": round(first["seconds"][0], 2), **table.spread("step_seconds", seconds, 4)}


def memory(first: dict, answers: list[dict]) -> dict[str, object]:
    """Columns of a worker's peak memory."""
    later = max(answer["peak_memory"] for answer in answers)
    return {
        "peak_memory_gb": round(max(first["peak_memory"], later) / 1e9, 3),
        "steps_memory_gb": round(later / 1e9, 3) if first["peak_was_reset"] else "",
    }


def ratios(answers: list[dict], reference: list[dict]) -> list[float]:
    """By round: median time in relation to that of the reference."""
    pairs = zip(answers, reference, strict=True)
    return [median(answer["seconds"]) / median(other["seconds"]) for answer, other in pairs]


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backends", default="torch", help="of ours, by commas: jax,torch,tensorflow")
    parser.add_argument("--official", type=Path, help="folder of a checkout of the official code")
    parser.add_argument("--device", choices=("cpu", "gpu"), help="a GPU if nvidia-smi names one")
    parser.add_argument(
        "--precision", choices=("float32", "mixed_bfloat16"), default="float32", help="of ours"
    )
    parser.add_argument("--backbone", default="keras/resnet50", help="of ours")
    parser.add_argument("--batch", type=int, help="labelled images, and unlabelled images")
    parser.add_argument("--crop", type=int)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--subclasses", type=int, default=177)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="of each in a round")
    parser.add_argument("--commit", help="of what is measured, where git cannot say it")
    parser.add_argument("--csv", type=Path, help="append rows to this file")
    options = parser.parse_args(given)
    options.backends = options.backends.split(",")
    if unknown := [name for name in options.backends if name not in BACKENDS]:
        parser.error(f"--backends: unknown {', '.join(unknown)}; allowed: {', '.join(BACKENDS)}")
    if options.official and not (options.official / "models" / "model.py").is_file():
        parser.error(f"--official: no checkout of the official code (models/model.py): {options.official}")
    options.device = options.device or ("gpu" if machine.gpu_names() else "cpu")
    for key, value in DEFAULT_SIZE[options.device].items():
        setattr(options, key, getattr(options, key) or value)
    return options


def main(given: Sequence[str] | None = None) -> None:
    options = arguments(given)
    facts = machine.facts(options.commit)  # the commit and the load before the measurement
    for row in measure(options):
        row |= facts
        print(row, flush=True)
        if options.csv:
            table.append(options.csv, row)


if __name__ == "__main__":
    main()
