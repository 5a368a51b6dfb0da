"""What can be measured: our step on a backend, the official one; its options, its process, its columns."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import devices, machine
from benchmarks.worker import Worker

OFFICIAL = "official"
BACKENDS = ("jax", "torch", "tensorflow")
DEFAULT_SIZE = {"cpu": {"batch": 2, "crop": 128}, "gpu": {"batch": 8, "crop": 320}}
NETWORK = ("backbone", "batch", "crop", "classes", "subclasses")


def parser_of(description: str) -> argparse.ArgumentParser:
    """The options that all benchmarks of a step share; `parse` reads them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backends", default="torch", help="of ours, by commas: jax,torch,tensorflow")
    parser.add_argument("--official", type=Path, help="folder of a checkout of the official code")
    parser.add_argument("--device", choices=("cpu", "gpu"), help="default: gpu if nvidia-smi names one")
    parser.add_argument(
        "--precision", choices=("float32", "mixed_bfloat16"), default="float32", help="of ours"
    )
    parser.add_argument("--backbone", default="keras/resnet50", help="of ours")
    parser.add_argument("--batch", type=int, help="labelled images, and unlabelled images")
    parser.add_argument("--crop", type=int)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--subclasses", type=int, default=177)
    parser.add_argument("--commit", help="of what is measured, where git cannot say it")
    parser.add_argument("--csv", type=Path, help="append rows to this file")
    return parser


def parse(parser: argparse.ArgumentParser, given: Sequence[str] | None) -> argparse.Namespace:
    """Checked options, with `names`: what is measured, the official code first."""
    options = parser.parse_args(given)
    backends = options.backends.split(",")
    if unknown := [name for name in backends if name not in BACKENDS]:
        parser.error(f"--backends: unknown {', '.join(unknown)}; allowed: {', '.join(BACKENDS)}")
    if options.official and not (options.official / "models" / "model.py").is_file():
        parser.error(f"--official: no checkout of the official code (models/model.py): {options.official}")
    options.names = [*([OFFICIAL] if options.official else []), *backends]
    options.device = options.device or ("gpu" if machine.gpu_names() else "cpu")
    for key, value in DEFAULT_SIZE[options.device].items():
        setattr(options, key, getattr(options, key) or value)
    return options


def start(name: str, options: argparse.Namespace, variables: Mapping[str, str] = {}) -> Worker:
    """A worker that has not done a step yet.

    The process that calls this loads no library: a process inherits the peak memory of its parent.
    """
    script = "official_step.py" if name == OFFICIAL else "our_step.py"
    given = {key: getattr(options, key) for key in (*NETWORK, "precision", "device")}
    given["official"] = str(options.official)
    backend = {} if name == OFFICIAL else {"KERAS_BACKEND": name}
    environment = devices.variables(options.device, precision_of(name, options)) | backend | dict(variables)
    return Worker(str(Path(__file__).with_name(script)), given, environment)


def precision_of(name: str, options: argparse.Namespace) -> str:
    return "float32" if name == OFFICIAL else options.precision


def settings(name: str, options: argparse.Namespace) -> dict[str, object]:
    """Columns that say what was measured."""
    official = name == OFFICIAL
    return {
        "what": OFFICIAL if official else "ours",
        "backend": "torch" if official else name,
        "precision": precision_of(name, options),
        **{key: getattr(options, key) for key in NETWORK},
        **({"backbone": "its resnet50"} if official else {}),
    }
