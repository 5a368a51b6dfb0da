"""From folders of images and masks to a project: recipe, lists, classes and colours, and what was assumed."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import numpy as np

from usrn_keras.data import load_dataset
from usrn_keras.data.dataset import PARTS
from usrn_keras.data.formats.lists import Lists
from usrn_keras.errors import DataError, StorageError
from usrn_keras.files import staged_path
from usrn_keras.progress import SILENT, Progress
from usrn_keras.project.class_names import Scheme, recognise
from usrn_keras.project.image_parts import draw_parts
from usrn_keras.project.project_request import ProjectPlan, ProjectRequest, check_request
from usrn_keras.project.project_summary import Project
from usrn_keras.project.proposal import (
    FEATURES_PER_SUBCLASS,
    GIB,
    PASSES,
    Machine,
    Proposal,
    look_at_machine,
    propose,
)
from usrn_keras.project.recipe_text import command, recipe_text
from usrn_keras.project.sources import Sources, Survey, find_sources, survey_files
from usrn_keras.recipe import load_recipe


def all_assumptions(
    plan: ProjectPlan,
    sources: Sources,
    scheme: Scheme,
    proposal: Proposal,
    machine: Machine,
    pixels: np.ndarray,
) -> dict[str, list[str]]:
    """A sentence for each assumption, by section of the recipe; `pixels` are the labelled ones by class."""
    return {
        "data": _data(plan, sources, scheme, pixels),
        "network": [_network(machine)],
        "subclasses": [_subclasses(proposal)],
        "views": _views(proposal),
        "training": _training(proposal, machine),
    }


def _data(plan: ProjectPlan, sources: Sources, scheme: Scheme, pixels: np.ndarray) -> list[str]:
    pairs = (
        f"names: {sources.main.rule} ({len(sources.main.masks)} pairs); images without a mask are unlabelled"
    )
    absent = ", ".join(name for name, count in zip(scheme.classes, pixels, strict=True) if not count)
    return [
        *([] if all(plan.patterns.values()) else [pairs]),
        *(part.assumption for part in plan.held_out if part.assumption),
        *scheme.assumptions,
        *([f"no labelled image shows {absent}: that cannot be learnt"] if absent else []),
    ]


def _network(machine: Machine) -> str:
    if machine.gpu:
        return "there is an NVIDIA GPU that the backend can use (none was loaded to see); --cpu for a CPU"
    return "there is no GPU (no device file of an NVIDIA GPU; no backend was loaded to see); --gpu for one"


def _subclasses(proposal: Proposal) -> str:
    return (
        f"clusters of {proposal.size_factor} x the smallest class, at most {proposal.max_subclasses} per "
        f"class: {proposal.counts.sum()} subclasses, so that one has about {FEATURES_PER_SUBCLASS} feature "
        "pixels (of 4 x 4 pixels) or more and few masks are not cut too fine"
    )


def _views(proposal: Proposal) -> list[str]:
    found = [f"images are about {round(proposal.long_side / proposal.scale)} pixels long (median)"]
    if proposal.scale < 1:
        found.append(
            f"large images are trained and measured at {proposal.scale} of their size; the features that are "
            "clustered are taken at full size: smaller files would be quicker there"
        )
    return found


def _training(proposal: Proposal, machine: Machine) -> list[str]:
    where = "of the GPU" if machine.gpu else "free now"
    known = "" if machine.memory_known else "; the system does not tell"
    return [
        f"memory: {machine.memory / GIB:.1f} GiB {where}{known}; a step of {proposal.batch} + "
        f"{proposal.batch} images takes about {proposal.memory / GIB:.1f} GiB",
        f"steps: {PASSES} passes over the training images for USRN, "
        f"{PASSES if machine.gpu else PASSES // 2} for the Baseline, within bounds",
    ]


SHOWN = 40
FEW = 5  # images


def create_project(folder: Path | str, request: ProjectRequest, *, progress: Progress = SILENT) -> Project:
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


def _look(request: ProjectRequest, progress: Progress) -> tuple[ProjectPlan, Sources, Survey]:
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
