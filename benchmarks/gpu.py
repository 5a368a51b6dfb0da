"""The GPU campaign: four commands of at most 10 minutes each; benchmarks/gpu.sh prepares and calls this.

    1  about 6 minutes: tests of the folders below on the GPU; a step on the CPU beside the GPU
    2  about 9 minutes: train_step.py, float32 and bfloat16, VOC 8 + 8 at 320 and Cityscapes 4 + 4 at 736
    3  about 5 minutes: launches of a step; idle share with 2 to 16 workers; evaluation at batch 1, 8, 32
    4  about 9 minutes: CamVid by usrn fit, Baseline 2,000 + 4,000 steps, crop 320, 8 + 8, bfloat16

Rows with hardware and commit go to CSV files in --out. A part whose rows are there is skipped, a run folder
is resumed, and what does not fit into the minutes is left to the next call: repeat a command until it prints
"complete". The exit code is 0 if the command is complete, 3 if it should be run again, 1 if a part failed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import devices, machine, table
from benchmarks.campaign import Part, run_command
from benchmarks.contestants import PRECISIONS
from benchmarks.options import names

HERE = Path(__file__).parent
TESTS = ("losses", "backends", "methods", "training", "evaluation")
SHORT_TESTS = ("losses",)
BACKENDS = ("torch", "jax")
USRN = ("-c", "import sys; from usrn_cli.main import main; sys.exit(main())")  # needs no installation

SIZES = {"voc": (8, 320, 21, 177), "cityscapes": (4, 736, 19, 190)}  # batch, crop, classes, subclasses
SHORT_SIZES = {"short": (2, 32, 3, 5)}


def correctness(options: argparse.Namespace) -> Iterator[Part]:
    """Command 1."""
    for backend in options.backends:
        report = options.out / f"tests_{backend}.xml"
        folders = SHORT_TESTS if options.short else TESTS
        wanted = {"backend": backend, "tests": " ".join(folders), "device": options.device}
        yield Part(
            f"tests on {backend}",
            ["-m", "pytest", *(f"tests/{folder}" for folder in folders), f"--junitxml={report}"],
            "tests.csv",
            [wanted],
            _environment(options, backend) | {"NVIDIA_TF32_OVERRIDE": "0"},  # tests compare to 1e-5
            lambda wanted=wanted, report=report: table.publish(
                [wanted | summary(report)], machine.facts(options.commit), options.out / "tests.csv"
            ),
        )
    for backend in options.backends:
        wanted = {"backend": backend, "device": options.device}
        yield _benchmark(
            options,
            "device_difference.py",
            _network(options, "voc"),
            backend,
            [wanted | {"tf32": tf32} for tf32 in ("off", "off again", "on")],
            f"step on cpu and {options.device}, {backend}",
        )


def step_time(options: argparse.Namespace) -> Iterator[Part]:
    """Command 2."""
    for size, (batch, crop, *_) in (SHORT_SIZES if options.short else SIZES).items():
        for backend in options.backends:
            precisions = PRECISIONS[:1] if options.short else PRECISIONS
            official = ["--official", str(options.official)] if options.official else []
            rounds = ["--rounds", "1", "--steps", "1"] if options.short else ["--rounds", "5", "--steps", "5"]
            wanted = {"what": "ours", "backend": backend, "batch": batch, "crop": crop}
            yield _benchmark(
                options,
                "train_step.py",
                ["--precisions", ",".join(precisions), *_network(options, size), *official, *rounds],
                backend,
                [wanted | {"precision": precision} for precision in precisions],
                f"{size} on {backend}",
            )


def waiting(options: argparse.Namespace) -> Iterator[Part]:
    """Command 3."""
    if "torch" in options.backends:
        yield _benchmark(
            options,
            "launches.py",
            _network(options, "voc"),
            "torch",
            [{"backend": "torch", "precision": "float32"}],
            "launches",
        )
    for workers in (2,) if options.short else (2, 4, 8, 16):
        for backend in options.backends:
            rounds = (
                ["--rounds", "1", "--steps", "2"] if options.short else ["--rounds", "3", "--steps", "20"]
            )
            yield _benchmark(
                options,
                "idle_share.py",
                [*rounds, *_recipe(options, "--recipe"), "--set", f"data.workers={workers}"],
                backend,
                [{"backend": backend, "workers": workers}],
                f"idle share of {backend}, {workers} workers",
            )
    for batch in (1,) if options.short else (1, 8, 32):
        for backend in options.backends:
            images = ["--images", "2", "--rounds", "1"] if options.short else ["--rounds", "3"]
            backbone = "keras/mobilenet" if options.short else "keras/resnet50"
            camvid = ["--camvid", str(options.data)] if options.data else []
            yield _benchmark(
                options,
                "evaluate.py",
                ["--batch", str(batch), "--backbone", backbone, *images, *camvid],
                backend,
                [{"backend": backend, "batch": batch, "network": backbone}],
                f"evaluation on {backend}, batch {batch}",
            )


def camvid_run(options: argparse.Namespace) -> Iterator[Part]:
    """Command 4."""
    backend, steps = options.backends[-1], (4, 4) if options.short else (2000, 4000)
    run = options.out / f"camvid_{backend}{'_short' if options.short else ''}"
    settings = {
        "training.baseline_steps": steps[0],
        "training.usrn_steps": steps[1],
        "evaluation.split": "val",
        "evaluation.checkpoint": "last",
    }
    if not options.short:
        settings |= {"views.crop_size": 320, "training.precision": "mixed_bfloat16", "data.workers": 8}
        settings |= {"training.batch_labelled": 8, "training.batch_unlabelled": 8}
    settings["network.weights"] = options.weights
    overrides = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
    yield Part(
        f"usrn fit on {backend}",
        [
            "-c",
            "from usrn_cli.main import main; main()",
            "fit",
            *_recipe(options),
            *overrides,
            "--run",
            str(run),
        ],
        "camvid_full.csv",
        [{"run": run.name}],
        _environment(options, backend),
        lambda: table.publish(
            run_rows(run, backend), machine.facts(options.commit), options.out / "camvid_full.csv"
        ),
    )


COMMANDS = {1: correctness, 2: step_time, 3: waiting, 4: camvid_run}


def _benchmark(
    options: argparse.Namespace,
    script: str,
    arguments: Sequence[str],
    backend: str,
    rows: Sequence[Mapping[str, object]],
    title: str,
) -> Part:
    csv = script.replace(".py", ".csv")
    commit = ["--commit", options.commit] if options.commit else []
    common = ["--backends", backend, "--device", options.device, "--csv", str(options.out / csv)]
    command = [str(HERE / script), *common, *arguments, *commit]
    return Part(title, command, csv, rows, {"KERAS_BACKEND": backend})


def _network(options: argparse.Namespace, size: str) -> list[str]:
    backbone = "keras/mobilenet" if options.short else "keras/resnet50"
    values = next(iter(SHORT_SIZES.values())) if options.short else SIZES[size]
    flags = zip(("--batch", "--crop", "--classes", "--subclasses"), map(str, values), strict=True)
    return ["--backbone", backbone, *(text for flag in flags for text in flag)]


def _recipe(options: argparse.Namespace, *flag: str) -> list[str]:
    """The recipe of CamVid, or without its images that of drawn scenes with a backbone of Keras."""
    small = {"views.crop_size": 64, "training.batch_labelled": 2, "training.batch_unlabelled": 2}
    settings: dict[str, object] = small if options.short else {}
    if options.data:
        settings["data.root"] = options.data
    else:
        settings |= {"network.backbone": "keras/mobilenet", "data.root": options.out / "drawn"}
    overrides = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
    return [*flag, "camvid_1_16" if options.data else "quickstart", *overrides]


def _environment(options: argparse.Namespace, backend: str) -> dict[str, str]:
    return devices.variables(options.device) | {"KERAS_BACKEND": backend}


def summary(report: Path) -> dict[str, object]:
    """Columns of a JUnit report of pytest: number of tests that passed, failed and were skipped, seconds."""
    suite = ElementTree.parse(report).getroot().find("testsuite")
    total, failures, errors, skipped = (
        int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")
    )
    failed = failures + errors
    return {
        "passed": total - failed - skipped,
        "failed": failed,
        "skipped": skipped,
        "seconds": round(float(suite.get("time")), 1),
    }


def run_rows(run: Path, backend: str) -> Iterator[dict[str, object]]:
    """A row for each model of a finished run: its scores on val and the time of its stage."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    from usrn_keras.files import read_json
    from usrn_keras.metrics import Scores
    from usrn_keras.runs import open_run
    from usrn_keras.runs.environment import recorded_numerics

    found = open_run(run)
    for scores in map(Scores.from_json, read_json(found.evaluation_file)["scores"]):
        yield {
            "run": run.name,
            "model": scores.name,
            "backend": backend,
            "miou": round(scores.miou, 4),
            "rare_miou": round(scores.rare_miou, 4),
            "numerics": recorded_numerics(run),
        }


def parsed(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", type=int, choices=sorted(COMMANDS))
    parser.add_argument(
        "--out", type=lambda path: Path(path).resolve(), required=True, help="folder of results"
    )
    parser.add_argument("--short", action="store_true", help="tiny sizes, to try a command on a CPU")
    parser.add_argument(
        "--backends", type=names(BACKENDS), default=[*BACKENDS], help="comma-separated; 4 takes the last one"
    )
    parser.add_argument("--device", choices=("cpu", "gpu"), default=machine.default_device())
    parser.add_argument("--data", type=_existing, help="folder of CamVid; without it: drawn scenes")
    parser.add_argument("--weights", default="none", help="weights file of the MobileNet, for command 4")
    parser.add_argument("--official", type=_existing, help="checkout of the official code, for command 2")
    parser.add_argument("--minutes", type=float, default=9.5, help="time that the command may take")
    parser.add_argument("--commit", help="commit that is measured; default: that of the git checkout")
    options = parser.parse_args(given)
    options.out = options.out.resolve() / ("short" if options.short else "")
    if options.command == 4 and not (options.data or options.short):
        parser.error("command 4 needs --data, the folder of CamVid")
    if options.weights not in ("none", "imagenet"):
        options.weights = str(_existing(options.weights))
    return options


def _existing(path: str) -> Path:
    if not Path(path).exists():
        raise argparse.ArgumentTypeError(f"{path} does not exist")
    return Path(path).resolve()


def main(given: Sequence[str] | None = None) -> int:
    options = parsed(given)
    options.out.mkdir(parents=True, exist_ok=True)
    parts = list(COMMANDS[options.command](options))
    return run_command(parts, options.out, options.minutes)


if __name__ == "__main__":
    sys.exit(main())
