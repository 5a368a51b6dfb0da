"""Options of `usrn init`, checked before any image or mask is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from usrn_keras.data.mask_values import pack
from usrn_keras.data.name_pattern import Pattern
from usrn_keras.data.random_split import Share
from usrn_keras.project.class_names import Named, read_names
from usrn_keras.project.naming_rules import absolute, is_below

USUAL_FOLDERS = {"val": ("val", "valid", "validation"), "test": ("test", "testing")}
USUAL_SHARE = Share("1/5")
BLACK_AND_WHITE = ("background", "foreground")  # classes of masks with a threshold


@dataclass(frozen=True)
class HeldOut:
    """Source of the val or test images; exactly one of `share`, `inside` and `images` is set.

    Args:
        part: Name of the part: `val` or `test`.
        share: Share of the images with masks, drawn at random.
        inside: Folder below --images.
        images: Separate folder of images.
        masks: Separate folder of their masks.
        assumption: Assumption about the part; may be empty.
    """

    part: str
    share: Share | None = None
    inside: Path | None = None
    images: Path | None = None
    masks: Path | None = None
    assumption: str = ""


def held_out(
    part: str, text: str, masks_text: str, images: Path, masks: Path, errors: list[str]
) -> HeldOut | None:
    """Parse the options `--PART text --PART-masks masks_text`; None if there is no such part.

    By default, folders below --images with the usual names become val and test; otherwise val is drawn.

    Args:
        part: Name of the part: `val` or `test`.
        text: Value of --val or --test; may be empty.
        masks_text: Value of --val-masks or --test-masks; may be empty.
        images: Folder of the images.
        masks: Folder of the masks.
        errors: List to which errors are added.
    """
    if not text:
        if masks_text:
            errors.append(f"--{part}-masks requires --{part} DIR, which is missing")
        return _usual(part, images)
    folder = absolute(text)
    if folder.is_dir():
        return _of_folder(part, folder, masks_text, images, masks, errors)
    if masks_text:
        errors.append(f"--{part}-masks requires --{part} DIR, received --{part} {text}")
    try:
        return HeldOut(part, share=Share(text))
    except ValueError as error:
        errors.append(f"--{part} {text}: no such folder, and a share {error}")
    return HeldOut(part, share=USUAL_SHARE)


def mirrored(images: Path, masks: Path, other: Path) -> Path | None:
    """Infer the folder of the masks of `other` from the folders `images` and `masks`; None if impossible.

    Example:

    >>> mirrored(Path("/d/images/train"), Path("/d/masks/train"), Path("/d/images/val")).as_posix()
    '/d/masks/val'
    """
    differing = [i for i, (a, b) in enumerate(zip(images.parts, masks.parts, strict=False)) if a != b]
    if len(images.parts) != len(masks.parts) or len(differing) != 1 or len(other.parts) <= differing[0]:
        return None
    place = differing[0]
    if other.parts[place] != images.parts[place]:
        return None
    return Path(*other.parts[:place], masks.parts[place], *other.parts[place + 1 :])


def _usual(part: str, images: Path) -> HeldOut | None:
    for name in USUAL_FOLDERS[part]:
        if (images / name).is_dir():
            return HeldOut(
                part, inside=images / name, assumption=f"the folder {images / name} is used as {part}"
            )
    if part == "test":
        return None
    text = "a fifth of the images with masks is val, drawn at random so that all parts show the classes"
    return HeldOut(part, share=USUAL_SHARE, assumption=f"{text}; --val sets another share or a folder")


def _of_folder(
    part: str, folder: Path, masks_text: str, images: Path, masks: Path, errors: list[str]
) -> HeldOut:
    if folder.resolve() == images.resolve():
        errors.append(
            f"--{part} {folder} is the folder of --images: must be a folder below it, another folder, or a "
            "share"
        )
        return HeldOut(part, inside=folder)
    if is_below(folder, images):
        if masks_text:
            errors.append(
                f"--{part}-masks: not allowed with a folder below --images, whose masks are below --masks"
            )
        return HeldOut(part, inside=folder)
    if masks_text:
        given = absolute(masks_text)
        if not given.is_dir():
            errors.append(f"--{part}-masks {given}: no such folder")
        return HeldOut(part, images=folder, masks=given)
    if (folder / "images").is_dir() and (folder / "masks").is_dir():
        if (folder / "images").resolve() == images.resolve():
            errors.append(
                f"--{part} {folder} contains the folder of --images: must be another folder, or a share"
            )
        return HeldOut(part, images=folder / "images", masks=folder / "masks")
    mirror = mirrored(images, masks, folder)
    if mirror and mirror.is_dir():
        return HeldOut(part, images=folder, masks=mirror, assumption=f"the masks of {part} are in {mirror}")
    both = f"images and masks of {part} are both in {folder}"
    return HeldOut(part, images=folder, masks=folder, assumption=both)


ANNOTATIONS = (".json", ".xml", ".txt", ".zip")  # suffixes of files of annotations
PATTERNS = ("image_pattern", "mask_pattern")


@dataclass(frozen=True)
class ProjectRequest:
    """Options of `usrn init` as text; empty text means not given.

    Args:
        images: Folder of the images.
        masks: Folder of the masks; may be the same folder; or annotations: a file, a folder or a zip.
        val: Folder of validation images, or share of the images with masks.
        val_masks: Folder of the validation masks, if `val` is a separate folder.
        test: Folder of test images, or share of the images with masks.
        test_masks: Folder of the test masks, if `test` is a separate folder.
        names: File of class names.
        labelled: Share of the training images with masks whose masks are used.
        ignore: Mask values, or colours `RED,GREEN,BLUE`, of pixels without a class.
        image_pattern: Pattern of image names, such as `{name}_rgb`; empty to detect it.
        mask_pattern: Pattern of mask names, such as `{name}_mask`; empty to detect it.
        seed: Seed of the random splits.
        gpu: Whether to propose settings for an NVIDIA GPU; None to detect one.
        mask_threshold: Largest grey value of the first class in masks of two classes; None for other masks.
    """

    images: Path
    masks: Path
    val: str = ""
    val_masks: str = ""
    test: str = ""
    test_masks: str = ""
    names: str = ""
    labelled: str = ""
    ignore: tuple[str, ...] = ()
    image_pattern: str = ""
    mask_pattern: str = ""
    seed: int = 0
    gpu: bool | None = None
    mask_threshold: int | None = None


@dataclass(frozen=True)
class ProjectPlan:
    """Parsed `ProjectRequest`."""

    images: Path
    masks: Path
    held_out: tuple[HeldOut, ...] = ()
    names: tuple[Named, ...] = ()
    labelled: Share | None = None
    ignore: tuple[Named, ...] = ()
    patterns: dict[str, Pattern | None] = field(default_factory=dict)
    threshold: int | None = None
    drawn: tuple[str, ...] = ()  # facts about masks that were drawn from annotations


def check_request(request: ProjectRequest, errors: list[str]) -> ProjectPlan:
    """Parse the options; errors are added to `errors`."""
    folders = {
        "images": absolute(request.images),
        "masks": absolute(request.masks),
    }
    for option, folder in folders.items():
        if folder.is_file():
            errors.append(f"--{option} {folder}: is a file, must be a folder of {option}")
        elif not folder.is_dir():
            errors.append(f"--{option} {folder}: no such folder")
    parts = [
        held_out(part, getattr(request, part), getattr(request, f"{part}_masks"), **folders, errors=errors)
        for part in ("val", "test")
    ]
    held_out_folders = [
        (part.inside or part.images).resolve() for part in parts if part and part.share is None
    ]
    if len(set(held_out_folders)) < len(held_out_folders):
        errors.append(f"--val and --test are the same folder, {held_out_folders[0]}")
    return ProjectPlan(
        **folders,
        held_out=tuple(part for part in parts if part),
        names=_names(request, errors),
        labelled=_share(request.labelled, errors),
        ignore=tuple(value for text in request.ignore if (value := _ignored(text, errors))),
        patterns={key: _pattern(key, getattr(request, key), errors) for key in PATTERNS},
        threshold=request.mask_threshold,
    )


def _names(request: ProjectRequest, errors: list[str]) -> tuple[Named, ...]:
    if request.names:
        return tuple(read_names(absolute(request.names), errors))
    # Without values, names belong to the mask values in ascending order.
    return tuple(map(Named, BLACK_AND_WHITE)) if request.mask_threshold is not None else ()


def _share(text: str, errors: list[str]) -> Share | None:
    try:
        return Share(text) if text else None
    except ValueError as error:
        errors.append(f"--labelled: {error}")
    return None


def _ignored(text: str, errors: list[str]) -> Named | None:
    parts = text.replace(",", " ").split()
    if len(parts) in (1, 3) and all(part.isascii() and part.isdigit() for part in parts):
        numbers = [int(part) for part in parts]
        if len(numbers) == 1 and numbers[0] <= 65535:
            return Named("", numbers[0])
        if len(numbers) == 3 and max(numbers) <= 255:
            return Named("", int(pack(np.array(numbers, np.uint8))), coloured=True)
    errors.append(f"--ignore {text}: must be a mask value, such as 255, or a colour RED,GREEN,BLUE")
    return None


def _pattern(key: str, text: str, errors: list[str]) -> Pattern | None:
    pattern = Pattern.parse(text) if text else None
    if text and pattern is None:
        option = key.replace("_", "-")
        errors.append(
            f"--{option} {text}: must contain {{name}} exactly once, such as {{name}}_mask, with or without "
            "a folder before it, such as mask/{name}"
        )
    return pattern
