"""From folders of images and masks to a project: recipe, lists, classes and colours."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import numpy as np

from usrn_keras.data import load_dataset
from usrn_keras.data.layouts.lists import Lists
from usrn_keras.data.sample import PARTS
from usrn_keras.errors import DataError, StorageError
from usrn_keras.files import staged_path
from usrn_keras.progress import SILENT, Progress
from usrn_keras.project.assumptions import all_assumptions
from usrn_keras.project.classes import Scheme, recognise
from usrn_keras.project.machine import look_at_machine
from usrn_keras.project.parts import draw_parts
from usrn_keras.project.proposal import propose
from usrn_keras.project.recipe_text import command, recipe_text
from usrn_keras.project.report import Project
from usrn_keras.project.request import Plan, Request, check_request
from usrn_keras.project.sources import Sources, find_sources
from usrn_keras.project.survey import Survey, survey_files
from usrn_keras.recipe import load_recipe

SHOWN = 40
FEW = 5  # images


def create_project(folder: Path | str, request: Request, *, progress: Progress = SILENT) -> Project:
    """Look at the files and write a project.

    Args:
        folder: The new folder, `NAME`; the recipe is `NAME/NAME.toml`.
        request: What to look at, and how.
        progress: Counts the images that are read.

    Returns:
        What was found, chosen and assumed.

    Raises:
        DataError: Folders, names, images or masks that cannot be used; with every fault of a stage.
        StorageError: The folder exists and holds something, or cannot be written.

    Example:

    >>> create_project("my_project", Request(Path("photos"), Path("masks")))   # doctest: +SKIP
    """
    shown_recipe = Path(folder) / f"{Path(folder).resolve().name}.toml"
    folder = Path(folder).expanduser().resolve()
    _refuse_used(folder)
    plan, sources, survey = _look(request, progress)
    scheme = recognise({name: survey.masks[name] for name in sources.masks}, plan.names, plan.ignore)
    parts = draw_parts(sources, plan.held_out, scheme.pixels, labelled=plan.labelled, seed=request.seed)
    pixels = _pixels_by_part(sources, scheme, parts)
    labelled = pixels["labelled"].sum(axis=0)
    if not labelled.any():
        raise DataError("no pixel of the labelled images has a class", hint="Look at the masks: --ignore?")
    machine = look_at_machine(request.gpu)
    counts = {"labelled": len(parts.labelled), "unlabelled": len(parts.unlabelled)}
    proposal = propose([survey.sizes[name] for name in sources.main.images], labelled, machine, **counts)
    assumptions = all_assumptions(plan, sources, scheme, proposal, machine, labelled)
    text = recipe_text(folder, plan, sources, scheme, parts, proposal, machine, assumptions)
    with staged_path(folder) as temporary:
        _write(temporary, folder.name, text, scheme, parts)
        recipe = load_recipe(str(temporary / f"{folder.name}.toml"))
        dataset = load_dataset(recipe.data)
    return Project(
        recipe=shown_recipe,
        rule=str(sources.main.rule),
        scheme=scheme,
        parts=parts,
        pixels=labelled,
        images={part: (found > 0).sum(axis=0) for part, found in pixels.items()},
        proposal=proposal,
        fingerprint=dataset.fingerprint(),
        assumptions=tuple(sentence for found in assumptions.values() for sentence in found),
        notes=(*sources.notes, *_few(parts)),
        commands=(f"usrn data check {quote(str(shown_recipe))}", command(shown_recipe, machine.gpu)),
    )


def _look(request: Request, progress: Progress) -> tuple[Plan, Sources, Survey]:
    """Options, names and contents of the files, each stage with all of its faults at once."""
    faults: list[str] = []
    plan = check_request(request, faults)
    _raise(faults, "the options cannot be used", "`usrn init --help` explains them.")
    sources = find_sources(plan.images, plan.masks, plan.held_out, faults, **plan.patterns)
    survey = survey_files(sources.images, sources.masks, faults, progress=progress)
    _raise(faults, f"{len(faults)} fault(s) in the files", "Mend or move these files, then run it again.")
    return plan, sources, survey


def _raise(faults: list[str], message: str, hint: str) -> None:
    if faults:
        more = [f"and {len(faults) - SHOWN} more"] * (len(faults) > SHOWN)
        raise DataError(message, faults=faults[:SHOWN] + more, hint=hint)


def _pixels_by_part(sources: Sources, scheme: Scheme, parts: Lists) -> dict[str, np.ndarray]:
    """(images, classes) pixels of the images with masks in each part."""
    row_of = dict(zip(sources.masks, scheme.pixels, strict=True))
    none = np.zeros((0, len(scheme.classes)), np.int64)
    return {
        part: np.array([row_of[name] for name in getattr(parts, part)], np.int64).reshape(-1, none.shape[1])
        for part in ("labelled", "val", "test")
    }


def _few(parts: Lists) -> list[str]:
    return [
        f"{part} has {len(names)} image(s) only: its mIoU says little; give more masks or a larger --{part}"
        for part, names in (("val", parts.val), ("test", parts.test))
        if 0 < len(names) < FEW
    ]


def _refuse_used(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()) and folder != Path.cwd():
        return
    if taken := next((parent for parent in folder.parents if parent.is_file()), None):
        raise StorageError(f"{folder} cannot be written: {taken} is a file")
    if folder.exists():
        raise StorageError(
            f"{folder} exists already and is not an empty folder",
            hint="Choose another name: usrn init makes a new folder and changes none.",
        )


def _write(folder: Path, name: str, recipe: str, scheme: Scheme, parts: Lists) -> None:
    (folder / "lists").mkdir(parents=True)
    lists = {part: getattr(parts, part) for part in PARTS}
    texts = {
        f"{name}.toml": recipe,
        "classes.txt": _lines(scheme.classes),
        "palette.txt": _lines(f"{red} {green} {blue}" for red, green, blue in scheme.palette.tolist()),
        **{f"lists/{part}.txt": _lines(names) for part, names in lists.items() if names},
    }
    for path, text in texts.items():
        (folder / path).write_text(text, encoding="utf-8")


def _lines(entries) -> str:
    return "".join(f"{entry}\n" for entry in entries)
