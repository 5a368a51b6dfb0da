"""Draw annotations as masks: palette PNG files of class ids, one for each annotated image."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from usrn_keras.data.annotations.annotation_set import AnnotatedImage, AnnotationSet
from usrn_keras.data.annotations.class_ids import IGNORE, UNLABELLED, ClassIds, choose_class_ids
from usrn_keras.data.annotations.cvat import CLASS_MASKS, OBJECT_MASKS
from usrn_keras.data.annotations.drawing import DrawnMask, draw_mask
from usrn_keras.data.annotations.image_matching import ImageFinder, check_targets, list_images
from usrn_keras.data.annotations.import_report import ImportReport
from usrn_keras.data.annotations.recognise import ALLOWED, read_annotations, top_folder
from usrn_keras.data.batches.prefetch import ordered_map
from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.decoding.file_facts import read_facts
from usrn_keras.data.file_index import read_lines
from usrn_keras.errors import DataError, StorageError
from usrn_keras.files import staged_path
from usrn_keras.machine import usable_cores
from usrn_keras.progress import SILENT, Progress

CLASSES, PALETTE = "classes.txt", "palette.txt"  # beside the masks
FAILED = "the annotations of {source} cannot be imported; nothing was written"


def import_annotations(
    source: Path | str,
    images: Path | str,
    out: Path | str,
    *,
    unlabelled: str = "",
    names: Sequence[str] = (),
    ignore: Collection[str] = (),
    replace: bool = False,
    progress: Progress = SILENT,
) -> ImportReport:
    """Draw the annotations of a source as masks; an error or an interrupt leaves `out` unchanged.

    Masks of a folder that exists already are kept, so that new ones can be added. Its `classes.txt` gives
    the class names then, unless `names` does.

    Args:
        source: File, folder or zip archive of annotations.
        images: Folder of the images; a mask has the path of its image, with the suffix `.png`.
        out: Folder of the masks, which also receives `classes.txt` and `palette.txt`.
        unlabelled: What pixels of no shape are: `background` or `ignore`; empty for what is usual in the
            format (`ignore` for Cityscapes, otherwise `background`).
        names: Class names by id; empty to take the labels of the source.
        ignore: Labels whose pixels have no class.
        replace: Whether masks in `out` may be replaced.
        progress: Progress display, which counts images.

    Returns:
        Report of classes, overlaps, and of images and annotations without a counterpart.

    Raises:
        DataError: The source cannot be read, or annotations are damaged, unknown, repeated or outside their
            images; the error lists all problems.
        StorageError: `out` cannot be written, or has masks that would be replaced.

    Example:

    >>> import_annotations("labels.zip", "photos", "masks").classes   # doctest: +SKIP
    ('background', 'cat', 'dog')
    """
    source, images, out = Path(source), Path(images), Path(out)
    if not images.is_dir():
        raise DataError(f"--images {images}: no such folder")
    if unlabelled and unlabelled not in UNLABELLED:
        raise DataError(f"--unlabelled: must be {' or '.join(UNLABELLED)}, received {unlabelled}")
    errors = ErrorList()
    failed = FAILED.format(source=source)
    with read_annotations(source, errors) as found:
        errors.raise_if_any(failed, hint=ALLOWED)
        files = list_images(images, errors)
        _check_photographs(found, source, images)
        names = tuple(names) or _existing_classes(out)
        ids = choose_class_ids(found, errors, names=names, unlabelled=unlabelled, ignore=ignore)
        matched, without_image = _match(found, files, errors)
        masks = check_targets({image: annotated.place for image, annotated in matched.items()}, errors)
        errors.raise_if_any(failed)
        if not matched:
            raise _no_image(found, images, files)
        _check_existing(out, masks.values(), replace)
        with staged_path(out) as staging:
            _copy_existing(out, staging)
            drawn = _draw_all(found, matched, files, masks, ids, staging, errors, progress)
            errors.raise_if_any(failed)
            _write_lines(staging / CLASSES, ids.classes)
            _write_lines(staging / PALETTE, (" ".join(map(str, c)) for c in ids.palette[: len(ids.classes)]))
    return _report(found, out, ids, masks, drawn, tuple(sorted(files.keys() - matched.keys())), without_image)


def _match(
    found: AnnotationSet, files: dict[str, Path], errors: ErrorList
) -> tuple[dict[str, AnnotatedImage], tuple[str, ...]]:
    """The annotation of each image, and the places of annotations without an image."""
    finder = ImageFinder(files)
    matched: dict[str, AnnotatedImage] = {}
    without_image = []
    for annotated in found.images:
        fitting = finder.find(annotated.names)
        if not fitting:
            without_image.append(annotated.place)
        elif len(fitting) > 1:
            errors.add(
                f"{annotated.place}: its image `{annotated.names[0]}` may be {' or '.join(fitting[:3])}; "
                "allowed is one: use different names, or give the folder of one of them as --images"
            )
        elif fitting[0] in matched:
            errors.add(
                f"{matched[fitting[0]].place} and {annotated.place} are two annotations of {fitting[0]}; "
                "allowed is one for each image"
            )
        else:
            matched[fitting[0]] = annotated
    return matched, tuple(without_image)


def _check_photographs(found: AnnotationSet, source: Path, images: Path) -> None:
    """Check that no mask of the source would be taken as a photograph."""
    if not source.is_dir():
        return
    folder, root = images.resolve(), top_folder(source).resolve()
    inside = [name for name in found.masks if folder in (root / name).parents]
    if inside:
        raise DataError(
            f"--images {images} contains {len(inside)} masks of the annotations ({found.format}), such as "
            f"{inside[0]}, which would be taken for photographs",
            hint=_photographs_hint(root, images),
        )


def _photographs_hint(root: Path, images: Path) -> str:
    """How to get a folder that has only the photographs."""
    for folder in (root / "JPEGImages", root / "images"):
        if folder.is_dir():
            masks = f"{CLASS_MASKS}/{{name}}", f"{OBJECT_MASKS}/{{name}}"
            return (
                f"Give the folder of the photographs alone: --images {images / folder.name}; or choose mask "
                f"files: usrn init with --mask-pattern '{masks[0]}' or --mask-pattern '{masks[1]}'."
            )
    if any(root.glob("*_json/img.png")):
        return (
            "Collect the photographs first: mkdir photos; "
            f'for d in {root}/*_json; do cp "$d/img.png" "photos/$(basename "$d" _json).png"; done'
        )
    return "Give a folder that has only the photographs."


def _no_image(found: AnnotationSet, images: Path, files: dict[str, Path]) -> DataError:
    if not found.images:
        return DataError("the source contains no annotated image", hint=ALLOWED)
    return DataError(
        f"no annotation belongs to an image in {images}",
        errors=[
            f"annotated: {', '.join(image.names[0] for image in found.images[:3])}",
            f"images: {', '.join(sorted(files)[:3]) or 'none'}",
        ],
        hint="The file names must be equal; folders and suffixes may differ.",
    )


def _existing_classes(out: Path) -> tuple[str, ...]:
    path = out / CLASSES
    if path.is_file():
        return tuple(line for line in read_lines(path) if line)
    if out.is_dir() and any(out.rglob("*.png")):
        raise DataError(
            f"{out} contains masks, but no {CLASSES} that names their classes",
            hint="Give the names in the order of their ids with --names, or choose another folder "
            "with --out.",
        )
    return ()


def _check_existing(out: Path, masks: Collection[str], replace: bool) -> None:
    if out.is_file():
        raise StorageError(f"{out} is a file", hint="Choose a folder with --out.")
    there = [mask for mask in masks if (out / mask).exists()]
    if there and not replace:
        raise StorageError(
            f"{len(there)} masks exist already in {out}, such as {there[0]}; nothing was written",
            hint="Replace them with --replace, or choose another folder with --out.",
        )


def _copy_existing(out: Path, staging: Path) -> None:
    """Copy a folder of masks by hard links where possible: it is replaced as a whole afterwards."""
    if out.is_dir():
        shutil.copytree(out, staging, copy_function=_link)
    else:
        staging.mkdir()


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _draw_all(
    found: AnnotationSet,
    matched: dict[str, AnnotatedImage],
    files: dict[str, Path],
    masks: dict[str, str],
    ids: ClassIds,
    folder: Path,
    errors: ErrorList,
    progress: Progress,
) -> dict[str, tuple[DrawnMask, np.ndarray]]:
    """Draw and write every mask; returns, by image, what happened and the number of pixels of each value."""

    def draw(image: str) -> tuple[str, DrawnMask | None, np.ndarray | None, list[str]]:
        try:
            drawn = draw_mask(matched[image], ids, found.labels, read_facts(files[image]).size)
        except DataError as error:
            return image, None, None, list(error.errors) or [error.message]
        write_mask(folder / masks[image], drawn.mask, ids.palette)
        pixels = np.bincount(drawn.mask.ravel(), minlength=256)
        return image, DrawnMask(drawn.mask[:0], *_facts(drawn)), pixels, []

    result = {}
    workers = min(16, usable_cores())
    with progress.task("drawing masks", total=len(matched)) as task:
        for image, drawn, pixels, problems in ordered_map(draw, matched, workers=workers, ahead=4 * workers):
            for problem in problems:
                errors.add(problem)
            if drawn is not None:
                result[image] = (drawn, pixels)
            task.advance()
    return result


def _facts(drawn: DrawnMask) -> tuple[int, int, int, tuple[str, ...]]:
    return drawn.overlapping, drawn.unlabelled, drawn.clipped, drawn.empty


def write_mask(path: Path, mask: np.ndarray, palette: np.ndarray) -> None:
    """Write a palette PNG.

    Args:
        path: Path of the file; an existing link is replaced, not written through.
        mask: Values, `(height, width)` uint8.
        palette: Colours of the values, `(256, 3)` uint8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    picture = Image.fromarray(mask)
    picture.putpalette(palette.tobytes())
    picture.save(path, "PNG")


def _write_lines(path: Path, lines: Collection[str]) -> None:
    path.unlink(missing_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _report(
    found: AnnotationSet,
    out: Path,
    ids: ClassIds,
    masks: dict[str, str],
    drawn: dict[str, tuple[DrawnMask, np.ndarray]],
    without_annotation: tuple[str, ...],
    without_image: tuple[str, ...],
) -> ImportReport:
    pixels = np.sum([counts for _, counts in drawn.values()], axis=0)
    facts = {masks[image]: result for image, (result, _) in drawn.items()}
    notes = list(found.notes)
    if clipped := sum(result.clipped for result in facts.values()):
        notes.append(f"{clipped} shapes reach beyond their image and were cut off at its border")
    if empty := [place for result in facts.values() for place in result.empty]:
        notes.append(f"{len(empty)} shapes cover no pixel, such as {empty[0]}")
    if blank := [name for name, result in facts.items() if result.unlabelled == _size_of(drawn, masks, name)]:
        notes.append(f"{len(blank)} annotated images have no labelled pixel, such as {blank[0]}")
    void = sorted(label for label, value in ids.of_label.items() if value == IGNORE)
    if void:
        notes.append(f"labels without a class: {', '.join(void)}")
    return ImportReport(
        format=found.format,
        out=out,
        masks=tuple(sorted(facts)),
        classes=ids.classes,
        pixels=tuple(pixels[: len(ids.classes)].tolist()),
        ignored=int(pixels[IGNORE]),
        unlabelled=sum(result.unlabelled for result in facts.values()),
        unlabelled_as="ignored" if ids.unlabelled == IGNORE else "background",
        overlapping={name: result.overlapping for name, result in facts.items() if result.overlapping},
        without_annotation=without_annotation,
        without_image=without_image,
        notes=tuple(notes),
    )


def _size_of(drawn: dict, masks: dict[str, str], name: str) -> int:
    return next(int(pixels.sum()) for image, (_, pixels) in drawn.items() if masks[image] == name)
