"""Run the checks of `usrn doctor` in their order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from shlex import join

from usrn_keras import machine
from usrn_keras.backend_choice import chosen_backend
from usrn_keras.doctor.doctor_checks import (
    check_backend,
    check_disk,
    check_gpu,
    check_machine,
    check_recipe,
    check_versions,
    has_bfloat16,
    load_backends,
)
from usrn_keras.doctor.doctor_report import LEVELS, DoctorReport
from usrn_keras.doctor.probes import CPU
from usrn_keras.progress import SILENT, Progress


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
        run_dir: Run folder whose disk is checked; None for `runs/RECIPE`.
        progress: Progress display.

    Example:

    >>> diagnose().error  # doctest: +SKIP
    """
    started, (name, source) = time.monotonic(), chosen_backend()
    backends = load_backends(progress)
    devices, gpus = backends.get(name, {}).get("devices", []), machine.nvidia_gpus()
    visible = machine.visible_gpus() if gpus else []
    folder = (run_dir or Path("runs", Path(recipe or "").stem)).expanduser().absolute()
    checked = {
        "versions": check_versions(),
        "backend": check_backend(name, source, backends),
        "gpu": check_gpu(name, backends, gpus, visible),
        "machine": check_machine(name, on_cpu=devices[:1] == [CPU]),
        "disk": check_disk(folder),
    }
    given = [*([recipe] if recipe else []), *(word for text in overrides for word in ("--set", text))]
    run = ["--run", str(run_dir)] if run_dir else []
    if recipe:
        timed = not any(finding.error for _, findings in checked.values() for finding in findings)
        progress.log(f"reading {recipe}{', and timing its input pipeline and training step' * timed}")
        order = {"recipe": recipe, "overrides": list(overrides), "folder": str(folder), "timed": timed}
        checked["recipe"] = check_recipe(order, name, bfloat16=has_bfloat16(devices, visible))
    findings = [finding for _, found in checked.values() for finding in found]
    following = [
        f"{join(['usrn', 'data', 'check', *given])}  # all errors of images and masks",
        f"{join(['usrn', 'fit', *given, *run])} --dry-run  # memory, time, and batches that fit",
        join(["usrn", "fit", *given, *run]),
    ]
    if any(finding.error for finding in findings):
        following = [f"{join(['usrn', 'doctor', *given, *run])}  # after the changes"]
    elif not recipe:
        following = [
            "usrn doctor RECIPE   # check your own images, and time a training step",
            "usrn fit quickstart  # test the installation on drawn scenes",
        ]
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    sections = {section: facts for section, (facts, _) in checked.items()}
    return DoctorReport(sections, findings, following, time.monotonic() - started)
