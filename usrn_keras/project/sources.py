"""List the given folders, pair images with masks, and read each file once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from usrn_keras.data.decoding.images import IMAGE_SUFFIXES
from usrn_keras.data.decoding.mask_files import read_raw
from usrn_keras.data.left_out_files import describe_unmatched, find_unread, name_some
from usrn_keras.data.masks import LOSSY_SUFFIXES, MASK_SUFFIXES
from usrn_keras.data.name_pattern import Pattern, normal
from usrn_keras.errors import DataError
from usrn_keras.project.black_and_white import OFFER, files_near_black_and_white
from usrn_keras.project.mask_kinds import count_values
from usrn_keras.project.naming_rules import File, Rule, is_below, list_files
from usrn_keras.project.pairing import Pairing, find_rule, no_pairs, pair, rules_by_pairs
from usrn_keras.project.project_request import ANNOTATIONS, HeldOut


@dataclass(frozen=True, eq=False)
class Sources:
    """Image and mask files of a project.

    Args:
        main: Pairs of --images and --masks.
        apart: Pairs of separate val and test folders, by part.
        notes: Notes about the files, one sentence each.
        assumption: How masks belong to images, in one sentence; empty if the patterns were given.
    """

    main: Pairing
    apart: dict[str, Pairing] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    assumption: str = ""

    @property
    def images(self) -> dict[str, Path]:
        """All images; images of separate folders are named `val/NAME` and `test/NAME`."""
        return self._all(lambda pairing: pairing.images)

    @property
    def masks(self) -> dict[str, Path]:
        """All masks that have an image, by the same names."""
        return self._all(lambda pairing: pairing.masks)

    def _all(self, files: Callable[[Pairing], dict[str, Path]]) -> dict[str, Path]:
        found = dict(files(self.main))
        for part, pairing in self.apart.items():
            found |= {f"{part}/{name}": path for name, path in files(pairing).items()}
        return found


def find_sources(
    images: Path,
    masks: Path,
    held_out: Sequence[HeldOut],
    errors: list[str],
    *,
    image_pattern: Pattern | None = None,
    mask_pattern: Pattern | None = None,
    threshold: int | None = None,
) -> Sources:
    """List the folders and pair their files.

    Args:
        images: Folder of the images.
        masks: Folder of the masks; may be the same folder, or one may contain the other.
        held_out: Sources of val and test; separate folders are paired by the same rule.
        errors: List to which errors are added.
        image_pattern: Given pattern of image names, or None.
        mask_pattern: Given pattern of mask names, or None.
        threshold: Threshold of masks of two classes, which may be JPEGs; None for other masks.

    Raises:
        DataError: If no rule or several rules pair images and masks, or masks are in a lossy format.
    """
    apart = [part for part in held_out if part.images]
    outside = [folder for part in apart for folder in (part.images, part.masks)]
    suffixes = MASK_SUFFIXES if threshold is None else (*MASK_SUFFIXES, *LOSSY_SUFFIXES)
    image_files, mask_files = _list(images, masks, outside, suffixes=suffixes)
    rule = _rule(image_files, mask_files, masks, image_pattern, mask_pattern)
    main = _pair(rule, image_files, mask_files, errors)
    if not main.masks:
        raise no_pairs(image_files, mask_files)
    if threshold is None:
        _check_lossy(main, masks, errors)
    others = {}
    for part in apart:
        pairing = _pair(rule, *_list(part.images, part.masks, suffixes=suffixes), errors)
        if not pairing.masks:
            errors.append(
                f"--{part.part}: no image in {part.images} has a mask `{rule.mask}` in {part.masks}"
            )
        others[part.part] = pairing
    folders = dict.fromkeys([images, masks, *outside])
    unread = find_unread(folders, without=[folder for folder in outside if is_below(folder, images)])
    given = image_pattern and mask_pattern
    return Sources(
        main, others, (*map(str, unread), *_notes(main, others, held_out)), "" if given else _assumed(main)
    )


def _assumed(main: Pairing) -> str:
    """Say which masks belong to which images."""
    found = f"names: {main.rule} ({len(main.masks)} pairs); images without a mask are unlabelled"
    other = [
        (name, path.name)
        for name, path in main.masks.items()
        if Path(name).name != main.rule.mask.name_of(normal(path.stem))
    ]
    if other:
        name, mask = other[0]
        found += f"; {len(other)} masks have the whole path or file name of their image, such as {mask} for "
        found += f"the image {name}"
    return found


def _list(
    images: Path, masks: Path, outside: Sequence[Path] = (), *, suffixes: Sequence[str] = MASK_SUFFIXES
) -> tuple[list[File], list[File]]:
    """List possible image files and possible mask files; equal if the folders are the same."""
    without = [folder for folder in outside if folder.resolve() not in (images.resolve(), masks.resolve())]
    image_files = list_files(images, IMAGE_SUFFIXES, without=[*without, *[masks] * is_below(masks, images)])
    mask_files = list_files(masks, suffixes, without=[*without, *[images] * is_below(images, masks)])
    return image_files, mask_files


def _rule(
    images: Sequence[File],
    masks: Sequence[File],
    folder: Path,
    image_pattern: Pattern | None,
    mask_pattern: Pattern | None,
) -> Rule:
    patterns = {"image_pattern": image_pattern, "mask_pattern": mask_pattern}
    try:
        return find_rule(images, masks, **patterns, fewer_colours=_fewer_colours)
    except DataError:
        lossy = rules_by_pairs(images, list_files(folder, LOSSY_SUFFIXES), **patterns)
        if not masks and not lossy and (found := _annotations(folder)):
            raise found from None
        if masks or not lossy:
            raise
    pairs = max(lossy, key=len)
    _, mask = min(pairs)
    raise DataError(
        f"the masks are JPEG or WebP files, such as {mask}, which do not preserve mask values",
        hint=OFFER
        if files_near_black_and_white(sorted(mask for _, mask in pairs))
        else "Create the masks again as PNG from the annotation; converting the JPEG does not restore the "
        "values.",
    )


def _annotations(folder: Path) -> DataError | None:
    """Create the error for a folder with annotations instead of masks; None if it has no such files."""
    files = list_files(folder, ANNOTATIONS)
    if not files:
        return None
    suffix = max(ANNOTATIONS, key=[file.suffix for file in files].count)
    own = [file.path for file in files if file.suffix == suffix]
    return DataError(
        f"{folder} contains no masks, but {len(own)} {suffix} files, such as {own[0].name}",
        hint="`usrn labels import --help` lists the annotations that are read; draw others to masks first, "
        "one PNG per image with a value for each class.",
    )


def _fewer_colours(first: Path, second: Path) -> Path:
    def colours(path: Path) -> int:
        try:
            return len(count_values(read_raw(path)).values)
        except DataError:  # a JPEG is not a mask
            return 1 << 24

    return min((first, second), key=colours)


def _pair(rule: Rule, images: list[File], masks: list[File], errors: list[str]) -> Pairing:
    """Pair the files; in a common folder, files named as masks are not images."""
    shared = {file.path for file in images} & {file.path for file in masks}
    if shared and rule.image != rule.mask:
        is_mask = {file.path for file in masks if _fits(rule.mask, file) and not _fits_better(rule, file)}
        images = [file for file in images if file.path not in is_mask]
        masks = [file for file in masks if file.path in is_mask or file.path not in shared]
    elif shared:
        images, masks = _by_suffix(images, masks)
    return pair(rule, images, masks, errors)


def _fits(pattern: Pattern, file: File) -> bool:
    return pattern.find(file.folder, file.stem) is not None


def _fits_better(rule: Rule, file: File) -> bool:
    """Whether the longer of two matching patterns is that of images, such as `{name}_rgb` and `{name}`."""
    return len(str(rule.image)) > len(str(rule.mask)) and _fits(rule.image, file)


def _by_suffix(images: list[File], masks: list[File]) -> tuple[list[File], list[File]]:
    """Separate `a.jpg` and `a.png`: masks are the files with a lossless suffix."""
    lossy = [file for file in images if file.suffix in LOSSY_SUFFIXES]
    return lossy, [file for file in masks if file.suffix not in LOSSY_SUFFIXES]


def _check_lossy(main: Pairing, folder: Path, errors: list[str]) -> None:
    """Report JPEG masks among others; their images would silently become unlabelled."""
    for file in list_files(folder, LOSSY_SUFFIXES):
        name = main.rule.mask.find(file.folder, file.stem)
        if name in main.images and main.images[name] != file.path and name not in main.masks:
            errors.append(
                f"{file.path}: JPEG and WebP do not preserve mask values: create the mask again as PNG"
            )


def _notes(main: Pairing, others: dict[str, Pairing], held_out: Sequence[HeldOut]) -> tuple[str, ...]:
    pairings = (main, *others.values())
    used = {path for pairing in pairings for path in pairing.masks.values()}
    orphans = sorted({path for pairing in pairings for path in pairing.orphans} - used)
    left_out = [path for pairing in pairings for path in pairing.left_out]
    unused = [path for pairing in pairings for path in pairing.unused]
    notes = [f"{len(orphans)} mask(s) have no image: {name_some(orphans)}"] if orphans else []
    notes += map(str, describe_unmatched(left_out, unused, main.rule.image, main.rule.mask))
    for part in held_out:
        if part.share is None and (bare := _without_mask(part, main, others)):
            notes.append(f"{len(bare)} {part.part} image(s) have no mask and are left out: {name_some(bare)}")
    if "gtFine" in main.rule.mask.suffix:
        notes.append(
            'the file names are those of Cityscapes: dataset = "cityscapes" has its classes and splits'
        )
    return tuple(notes)


def _without_mask(part: HeldOut, main: Pairing, others: dict[str, Pairing]) -> list[Path]:
    pairing = others.get(part.part, main)
    bare = [path for name, path in pairing.images.items() if name not in pairing.masks]
    return [path for path in bare if is_below(path, part.inside)] if part.inside else bare
