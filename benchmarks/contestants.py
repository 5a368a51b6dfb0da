"""Training steps that are compared: ours on each backend, and the official one."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import devices
from benchmarks.options import add_device_option, add_row_options, names
from benchmarks.worker import Worker

BACKENDS = ("jax", "torch", "tensorflow")
PRECISIONS = ("float32", "mixed_bfloat16")
VIEWS = {"separate": "ours", "joint": "ours, joint views"}  # what a row says of `usrn.joint_views`
DEFAULT_SIZE = {"cpu": {"batch": 2, "crop": 128}, "gpu": {"batch": 8, "crop": 320}}
NETWORK = ("backbone", "batch", "crop", "classes", "subclasses")


@dataclass(frozen=True)
class Contestant:
    """Our step on a backend in a precision, or the official one."""

    what: str
    backend: str
    precision: str

    @property
    def official(self) -> bool:
        return self.what == "official"

    def settings(self, options: argparse.Namespace) -> dict[str, object]:
        """Columns that name what was measured."""
        network = {key: getattr(options, key) for key in NETWORK}
        if self.official:
            network["backbone"] = "its resnet50"
        return {"what": self.what, "backend": self.backend, "precision": self.precision, **network}

    def start(self, options: argparse.Namespace, variables: Mapping[str, str] = {}) -> Worker:
        """Start a worker; it has not done a step yet.

        The caller must load no library: a process inherits the peak memory of its parent.
        """
        script = "official_step.py" if self.official else "our_step.py"
        given = {key: getattr(options, key) for key in (*NETWORK, "device")}
        given |= {"official": str(options.official), "precision": self.precision}
        given["joint_views"] = self.what == VIEWS["joint"]
        environment = devices.variables(options.device) | {"KERAS_BACKEND": self.backend}
        return Worker(script, given, environment | dict(variables))


OFFICIAL = Contestant("official", "torch", "float32")


def parser_of(description: str) -> argparse.ArgumentParser:
    """The options that all benchmarks of a step share; `parse` reads them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backends", type=names(BACKENDS), default=["torch"], help="ours, comma-separated")
    parser.add_argument("--official", type=Path, help="folder of a checkout of the official code")
    add_device_option(parser)
    parser.add_argument(
        "--precisions", type=names(PRECISIONS), default=["float32"], help="ours, comma-separated"
    )
    parser.add_argument(
        "--views", type=names(tuple(VIEWS)), default=["separate"], help="ours: separate, joint, or both"
    )
    parser.add_argument("--backbone", default="keras/resnet50", help="backbone of our network")
    parser.add_argument("--batch", type=int, help="labelled images, and unlabelled images")
    parser.add_argument("--crop", type=int)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--subclasses", type=int, default=177)
    add_row_options(parser)
    return parser


def parse(parser: argparse.ArgumentParser, given: Sequence[str] | None) -> argparse.Namespace:
    """Checked options, with `contestants`: what is measured, the official code first."""
    options = parser.parse_args(given)
    if options.official and not (options.official / "models" / "model.py").is_file():
        parser.error(f"--official: no checkout of the official code (models/model.py): {options.official}")
    kinds = itertools.product([VIEWS[name] for name in options.views], options.backends, options.precisions)
    ours = list(itertools.starmap(Contestant, kinds))
    options.contestants = [OFFICIAL, *ours] if options.official else ours
    for key, value in DEFAULT_SIZE[options.device].items():
        setattr(options, key, getattr(options, key) or value)
    return options
