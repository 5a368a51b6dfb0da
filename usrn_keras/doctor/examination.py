"""Check versions, backends, GPUs, precision, cores, memory, input pipeline, disk and a recipe.

Checks that may fail, hang or crash run in worker processes (see `probes`); this process loads no backend.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import join
from typing import Any

import psutil

from usrn_keras.backend_choice import BACKENDS, chosen_backend, is_installed
from usrn_keras.doctor import installation, resources
from usrn_keras.doctor.doctor_report import DoctorFinding, DoctorReport, DoctorSection
from usrn_keras.errors import USRNError
from usrn_keras.progress import SILENT, Progress
from usrn_keras.worker import Worker, WorkerError

SECONDS = 180.0  # time limit of a worker
TIMED_SECONDS = 1.5  # minimum time of each speed measurement
GPU_WORDS = ("CUDA", "GPU", "NVIDIA")
SAMPLE_IMAGES = (8, 512, 1024)  # number, height and width of the generated images


def diagnose(
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    run_dir: Path | None = None,
    *,
    progress: Progress = SILENT,
) -> DoctorReport:
    """Check this machine, and optionally a recipe.

    Args:
        recipe: TOML file or name of a shipped recipe; None checks only the machine.
        overrides: Overrides of recipe keys, of the form `section.key=value`.
        run_dir: Run folder whose disk is checked; by default `runs/RECIPE`.
        progress: Progress display.

    Example:

    >>> diagnose().error  # doctest: +SKIP
    """
    started, load = time.monotonic(), psutil.getloadavg()[0]  # the load of other processes, before the checks
    chosen, source = chosen_backend()
    probes, rates, said, broken = _probe(chosen, progress)
    probe = probes.get(chosen)
    found = {
        "versions": installation.versions_section(broken),
        "backend": installation.backend_section(chosen, source, probes),
        "gpu": installation.gpu_section(chosen, probe, said),
    }
    if not broken:
        loaded, recipe_found = None, {}
        if recipe:
            progress.log(f"reading {recipe}")
            loaded, section = resources.recipe_section(recipe, overrides, run_dir)
            recipe_found = {"recipe": section}
        if rates:
            asked = loaded.training.precision if loaded else None
            found["precision"] = installation.precision_section(rates, probe["devices"][0], asked)
        found["machine"] = resources.machine_section(load, chosen, installation.is_on_accelerator(probe))
        can_run = loaded and rates and not any(f.error for f in recipe_found["recipe"].findings)
        progress.log(f"timing the input pipeline{' and a training step' * bool(can_run)}")
        found["pipeline"] = _recipe_pipeline(recipe, overrides, chosen) if can_run else _small_pipeline()
        folder = Path("runs") / loaded.name if loaded else Path("runs")
        found |= {"disk": resources.disk_section(run_dir or folder)} | recipe_found
    given = [*([recipe] if recipe else []), *(word for text in overrides for word in ("--set", text))]
    return DoctorReport(found, *_commands(given, run_dir), time.monotonic() - started)


def _commands(given: Sequence[str], run_dir: Path | None) -> tuple[list[str], str]:
    """Return the commands to run next if training can run, and the command to run after a change."""
    run = ["--run", str(run_dir)] if run_dir else []
    again = f"{join(['usrn', 'doctor', *given, *run])}  # after the changes"
    if not given:
        return [
            "usrn doctor RECIPE   # check your own images and settings",
            "usrn fit quickstart  # test the installation on drawn scenes",
        ], again
    fit = join(["usrn", "fit", *given, *run])
    return [
        f"{join(['usrn', 'data', 'check', *given])}  # list all errors of images and masks",
        f"{fit} --dry-run  # shapes, memory, and batches that fit",
        fit,
    ], again


def _probe(chosen: str, progress: Progress) -> tuple[dict[str, dict], dict, list[str], dict[str, str]]:
    """Load all backends and packages in parallel, then time the chosen backend alone.

    Returns:
        Facts about each backend (see `backend_section`); rates of the chosen one (see `precision_section`);
        its messages about GPUs; and the reasons why packages cannot be imported.
    """
    nothing = {
        "installed": False,
        "version": None,
        "loads": False,
        "error": "",
        "seconds": 0.0,
        "devices": [],
    }
    probes, rates, said = {name: dict(nothing) for name in BACKENDS}, {}, []
    installed = [name for name in BACKENDS if is_installed(name)]
    with contextlib.ExitStack() as stack:
        packages = stack.enter_context(_worker("import_packages", {"modules": [*installation.MODULES]}))
        workers = [stack.enter_context(_worker("load_backend", {"name": name}, name)) for name in installed]
        with progress.task("loading backends", total=len(installed)) as task:
            for name, worker in zip(installed, workers, strict=True):
                facts, error = _result(worker)
                lines = facts.pop("warnings", None) or worker.stderr_lines()
                if name == chosen:
                    said = [line for line in lines if any(word in line.upper() for word in GPU_WORDS)]
                facts |= {"installed": True, "version": installation.version(name)}
                probes[name] |= facts | {"loads": not error, "error": error}
                task.advance()
        answer, error = _result(packages)
    broken = {next(iter(installation.MODULES)): error} if error else answer["broken"]
    if chosen in probes and probes[chosen]["loads"]:
        order = {"gpu": installation.is_on_accelerator(probes[chosen]), "seconds": TIMED_SECONDS}
        with _worker("time_small_steps", order, chosen) as worker:
            rates, probes[chosen]["error"] = _result(worker)
    return probes, rates, said, broken


def _small_pipeline() -> DoctorSection:
    with _worker("time_generated_images", {"images": SAMPLE_IMAGES, "seconds": TIMED_SECONDS}) as worker:
        loader, error = _result(worker)
    source = f"generated JPEGs of {SAMPLE_IMAGES[2]} x {SAMPLE_IMAGES[1]}, crops of 320"
    failures = [DoctorFinding("pipeline", f"the input pipeline fails: {error}")] if error else []
    return resources.pipeline_section(source, loader, None, failures)


def _recipe_pipeline(recipe: str, overrides: Sequence[str], backend: str) -> DoctorSection:
    sent, step, failures = {}, None, []
    order = {"recipe": recipe, "overrides": list(overrides), "seconds": TIMED_SECONDS}
    with _worker("time_recipe", order, backend, on_message=sent.update) as worker:
        try:
            step = worker.result(SECONDS)
        except TimeoutError:
            message = f"a training step took more than {SECONDS:.0f} seconds and was not timed"
            failures.append(DoctorFinding("step_not_timed", message, level="note"))
        except WorkerError as error:
            failures.append(resources.step_failure(error.reason))
        except USRNError as error:
            failures.append(DoctorFinding.of("step" if sent else "pipeline", error))
    source = f"the images and views of {recipe}"
    return resources.pipeline_section(source, sent.get("loader", {}), step, failures)


def _worker(function: str, order: Mapping[str, Any], backend: str = "", **options: Any) -> Worker:
    # TensorFlow logs why it finds no GPU; no backend may reserve all GPU memory.
    variables = {"TF_CPP_MIN_LOG_LEVEL": "1"}
    variables |= {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    variables |= {"KERAS_BACKEND": backend} if backend else {}
    return Worker(f"usrn_keras.doctor.probes:{function}", order, variables, **options)


def _result(worker: Worker) -> tuple[dict, str]:
    """Return the result of a worker and an empty reason, or {} and the reason of its failure."""
    try:
        return worker.result(SECONDS), ""
    except WorkerError as error:
        return {}, error.reason
    except TimeoutError:
        return {}, f"it did not finish within {SECONDS:.0f} seconds"
