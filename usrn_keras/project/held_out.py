"""What `--val` and `--test` may say: a share of the images with masks, or a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from usrn_keras.data.splitting.share import Share
from usrn_keras.project.listing import absolute, is_below

USUAL_FOLDERS = {"val": ("val", "valid", "validation"), "test": ("test", "testing")}
USUAL_SHARE = Share("1/5")


@dataclass(frozen=True)
class HeldOut:
    """Where the images of val or test come from; exactly one of share, inside and images is given.

    Args:
        part: `val` or `test`.
        share: Of the images with masks, drawn.
        inside: A folder below --images.
        images: A folder apart,
        masks: and that of its masks.
        assumption: What was taken for granted.
    """

    part: str
    share: Share | None = None
    inside: Path | None = None
    images: Path | None = None
    masks: Path | None = None
    assumption: str = ""


def held_out(
    part: str, text: str, masks_text: str, images: Path, masks: Path, faults: list[str]
) -> HeldOut | None:
    """What the options `--PART text --PART-masks masks_text` mean; None where there is no such part.

    Without them, folders below --images that are called so become val and test, and val is otherwise
    drawn. Faults are added to `faults`.
    """
    if not text:
        if masks_text:
            faults.append(f"--{part}-masks goes with --{part} DIR, which is missing")
        return _usual(part, images)
    folder = absolute(text)
    if folder.is_dir():
        return _of_folder(part, folder, masks_text, images, masks, faults)
    if masks_text:
        faults.append(f"--{part}-masks goes with --{part} DIR, received --{part} {text}")
    try:
        return HeldOut(part, share=Share(text))
    except ValueError as error:
        faults.append(f"--{part} {text}: no such folder, and a share {error}")
    return HeldOut(part, share=USUAL_SHARE)


def mirrored(images: Path, masks: Path, other: Path) -> Path | None:
    """Where the masks of `other` should lie if those of `images` are in `masks`; None where nothing tells.

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
            return HeldOut(part, inside=images / name, assumption=f"the folder {images / name} is {part}")
    if part == "test":
        return None
    text = "a fifth of the images with masks is val, drawn at random so that both sides show the classes"
    return HeldOut(part, share=USUAL_SHARE, assumption=f"{text}; --val gives another share or a folder")


def _of_folder(
    part: str, folder: Path, masks_text: str, images: Path, masks: Path, faults: list[str]
) -> HeldOut:
    if folder.resolve() == images.resolve():
        faults.append(f"--{part} {folder} is the folder of --images: name one below it or apart, or a share")
        return HeldOut(part, inside=folder)
    if is_below(folder, images):
        if masks_text:
            faults.append(f"--{part}-masks: not with a folder below --images, its masks are below --masks")
        return HeldOut(part, inside=folder)
    if masks_text:
        given = absolute(masks_text)
        if not given.is_dir():
            faults.append(f"--{part}-masks {given}: no such folder")
        return HeldOut(part, images=folder, masks=given)
    if (folder / "images").is_dir() and (folder / "masks").is_dir():
        if (folder / "images").resolve() == images.resolve():
            faults.append(f"--{part} {folder} holds the folder of --images: name one apart, or a share")
        return HeldOut(part, images=folder / "images", masks=folder / "masks")
    mirror = mirrored(images, masks, folder)
    if mirror and mirror.is_dir():
        return HeldOut(part, images=folder, masks=mirror, assumption=f"the masks of {part} are in {mirror}")
    both = f"images and masks of {part} are both in {folder}"
    return HeldOut(part, images=folder, masks=folder, assumption=both)
