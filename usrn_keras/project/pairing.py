"""Pair images with their masks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from usrn_keras.data.file_index import is_utf8, shown_path
from usrn_keras.errors import DataError
from usrn_keras.project.naming_rules import File, Pattern, Rule, likely_rules

EXAMPLES = 3


@dataclass(frozen=True)
class Pairing:
    """Images and masks by name.

    Args:
        rule: Naming rule of the pairs.
        images: Image file of each name; a name includes the subfolder, such as `street/a`.
        masks: Mask file of each name that has a mask.
        orphans: Masks without an image.
        left_out: Images whose file names do not match the rule.
    """

    rule: Rule
    images: dict[str, Path]
    masks: dict[str, Path]
    orphans: tuple[Path, ...]
    left_out: tuple[Path, ...]


def find_rule(
    images: Sequence[File],
    masks: Sequence[File],
    *,
    image_pattern: Pattern | None = None,
    mask_pattern: Pattern | None = None,
    fewer_colours: Callable[[Path, Path], Path] | None = None,
) -> Rule:
    """Find the rule that gives the most images a mask; among equal rules, the one with the longest names.

    Args:
        images: Image files; may include masks if both are in one folder.
        masks: Mask files; may include images if both are in one folder.
        image_pattern: Given pattern of image names, or None.
        mask_pattern: Given pattern of mask names, or None.
        fewer_colours: Function that returns which of two files has fewer colours and is the mask; used if
            images and masks are in one folder and the names are ambiguous.

    Raises:
        DataError: If no rule pairs any files, or several rules pair equally many; with examples of names.
    """
    if image_pattern and mask_pattern:
        return Rule(image_pattern, mask_pattern)
    found = rules_by_pairs(images, masks, image_pattern=image_pattern, mask_pattern=mask_pattern)
    if not found:
        raise no_pairs(images, masks)
    most = max(map(len, found))
    best = {pairs: rule for pairs, rule in found.items() if len(pairs) == most}
    if len(best) == 2 and fewer_colours:
        best = _without_reverse(best, fewer_colours)
    if len(best) > 1:
        raise _ambiguous(best)
    return next(iter(best.values()))


def pair(rule: Rule, images: Sequence[File], masks: Sequence[File], errors: list[str]) -> Pairing:
    """Pair all files by a rule; files with equal names are added to `errors`."""
    named = _named(images, rule.image, errors)
    masked = _named(masks, rule.mask, errors)
    return Pairing(
        rule,
        images={name: file.path for name, file in named.items()},
        masks={name: masked[name].path for name in named if name in masked},
        orphans=tuple(file.path for name, file in masked.items() if name not in named),
        left_out=tuple(file.path for file in images if rule.image.name_of(file.stem) is None),
    )


def no_pairs(images: Sequence[File], masks: Sequence[File]) -> DataError:
    """Create the error that no image has a mask, with examples of both names."""
    return DataError(
        "no mask matches an image by name",
        errors=[
            f"images are named {_examples([file.shown for file in images])}",
            f"masks are named {_examples([file.shown for file in masks])}",
        ],
        hint="A mask must have the name of its image, in a subfolder of the same name. If the names have "
        "affixes, describe them with --image-pattern and --mask-pattern, such as '{name}_mask'.",
    )


def rules_by_pairs(
    images: Sequence[File],
    masks: Sequence[File],
    *,
    image_pattern: Pattern | None = None,
    mask_pattern: Pattern | None = None,
) -> dict[frozenset[tuple[Path, Path]], Rule]:
    """Map the pairs of each likely rule to the rule; of equal pairs, the shortest affixes win."""
    places = {(mask.folder, mask.stem): mask for mask in masks}
    found: dict[frozenset[tuple[Path, Path]], Rule] = {}
    for rule in likely_rules(images, masks):
        if image_pattern not in (None, rule.image) or mask_pattern not in (None, rule.mask):
            continue
        pairs = frozenset(_pairs(rule, images, places))
        # A single pair with affixes on both sides is a coincidence, unless there is only one mask.
        enough = len(pairs) > 1 or len(masks) == 1 or Pattern() in (rule.image, rule.mask)
        if pairs and enough and (pairs not in found or rule.added < found[pairs].added):
            found[pairs] = rule
    return found


def _pairs(rule: Rule, images: Sequence[File], places: Mapping[tuple[str, str], File]):
    for image in images:
        name = rule.image.name_of(image.stem)
        mask = places.get((image.folder, rule.mask.stem_of(name))) if name else None
        if mask and mask.path != image.path:
            yield image.path, mask.path


def _without_reverse(best: dict, fewer_colours: Callable[[Path, Path], Path]) -> dict:
    """Choose between a rule and its reverse: masks have fewer colours than images."""
    (pairs, rule), (others, other) = best.items()
    if {(mask, image) for image, mask in pairs} != others:
        return best
    image, mask = min(pairs)
    return {pairs: rule} if fewer_colours(image, mask) == mask else {others: other}


def _ambiguous(best: Mapping[frozenset[tuple[Path, Path]], Rule]) -> DataError:
    errors = []
    for pairs, rule in itertools.islice(sorted(best.items(), key=lambda entry: entry[1]), 8):
        image, mask = min(pairs)
        errors.append(f"{rule} ({len(pairs)} pairs): {image.name} with {mask.name}")
    return DataError(
        f"{len(best)} naming rules pair {len(next(iter(best)))} images each, but only one can be used:",
        errors=errors,
        hint=f"Choose one, such as --mask-pattern '{max(best.values()).mask}'.",
    )


def _named(files: Sequence[File], pattern: Pattern, errors: list[str]) -> dict[str, File]:
    named: dict[str, File] = {}
    for file in files:
        stem = pattern.name_of(file.stem)
        if stem is None:
            continue
        name = f"{file.folder}/{stem}" if file.folder else stem
        if name in named:
            errors.append(
                f"{named[name].path} and {file.path} have the same name: rename or remove one of them"
            )
        if problem := _no_entry(name, file):
            errors.append(f"{shown_path(file.path)}: {problem} is not allowed in a list: rename it")
        named.setdefault(name, file)
    return named


def _no_entry(name: str, file: File) -> str:
    """Describe why a name is not allowed in a list; empty if it is allowed."""
    if not is_utf8(file.shown):
        return "a name that is not UTF-8"
    if len(name.splitlines()) > 1:
        return "a name with a line break"
    return "a name that starts with # or a space, or ends with one," * (
        name != name.strip() or name[0] == "#"
    )


def _examples(names: Sequence[str]) -> str:
    shown = ", ".join(names[:EXAMPLES])
    return f"{shown}, ... ({len(names):,} files)" if len(names) > EXAMPLES else shown or "(no files)"
