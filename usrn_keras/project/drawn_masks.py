"""Masks of a project that are drawn from the annotations of a labelling tool."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from usrn_keras.data.annotations import import_annotations, is_annotation_source
from usrn_keras.progress import SILENT, Progress
from usrn_keras.project.class_names import Named, ordered_names
from usrn_keras.project.naming_rules import absolute
from usrn_keras.project.project_request import ProjectPlan, ProjectRequest

OPTIONS = ("masks", "val_masks", "test_masks")
IGNORE = 255


@dataclass(frozen=True)
class DrawnMasks:
    """Masks drawn into the folder of a project.

    Args:
        request: Request that reads the drawn masks.
        folders: Name of each folder of drawn masks in the project, by option.
        names: Classes with their ids; empty if nothing was drawn.
        ignore: Mask value of pixels without a class, if there are such pixels.
        facts: What was drawn and decided, one sentence each.
    """

    request: ProjectRequest
    folders: dict[str, str]
    names: tuple[Named, ...] = ()
    ignore: tuple[Named, ...] = ()
    facts: tuple[str, ...] = ()

    def complete(self, plan: ProjectPlan) -> ProjectPlan:
        """Add the drawn classes to a plan."""
        if not self.folders:
            return plan
        return replace(plan, names=self.names, ignore=self.ignore, drawn=self.facts)

    def in_project(self, plan: ProjectPlan) -> ProjectPlan:
        """Name the folders of drawn masks relative to the project, for its recipe."""
        held_out = tuple(
            replace(part, masks=Path(self.folders[f"{part.part}_masks"]))
            if f"{part.part}_masks" in self.folders
            else part
            for part in plan.held_out
        )
        masks = Path(self.folders["masks"]) if "masks" in self.folders else plan.masks
        return replace(plan, masks=masks, held_out=held_out)


def draw_annotations(request: ProjectRequest, folder: Path, *, progress: Progress = SILENT) -> DrawnMasks:
    """Draw the masks of a request whose --masks (or --val-masks, --test-masks) is an annotation source.

    Args:
        request: Options of `usrn init`.
        folder: Folder of the project, to which the masks are written.
        progress: Progress display, which counts images.

    Raises:
        DataError: The annotations cannot be read or drawn, or --names cannot be read.
    """
    if request.mask_pattern or not is_annotation_source(absolute(request.masks)):
        return DrawnMasks(request, {})  # a pattern chooses mask files, even of an export with annotations
    names = ordered_names(absolute(request.names)) if request.names else ()
    facts, folders, ignored = [], {}, 0
    for option in OPTIONS:
        source = getattr(request, option)
        if not source or not is_annotation_source(absolute(source)):
            continue
        images = absolute(getattr(request, "images" if option == "masks" else option.removesuffix("_masks")))
        report = import_annotations(
            absolute(source),
            images,
            folder / option,
            names=names,
            ignore=request.ignore if option == "masks" else (),
            progress=progress,
        )
        names = report.classes
        folders[option] = option
        ignored += report.ignored
        facts += [f"the masks are drawn from {report.format}: {absolute(source)}", *report.facts()]
    drawn = replace(request, names="", ignore=(), **{option: str(folder / option) for option in folders})
    return DrawnMasks(
        replace(drawn, masks=Path(drawn.masks)),
        folders,
        tuple(Named(name, index) for index, name in enumerate(names)),
        (Named("", IGNORE),) if ignored else (),
        tuple(facts),
    )
