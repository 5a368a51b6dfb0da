"""Pair images with their masks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from usrn_keras.data.file_index import is_utf8, shown_path
from usrn_keras.data.name_matching import match_masks
from usrn_keras.data.name_pattern import Pattern
from usrn_keras.errors import DataError
from usrn_keras.project.naming_rules import File, Rule, rules_by_pairs
from usrn_keras.project.scene_rules import scene_rules

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
        unused: Masks whose file names do not match the rule.
    """

    rule: Rule
    images: dict[str, Path]
    masks: dict[str, Path]
    orphans: tuple[Path, ...]
    left_out: tuple[Path, ...]
    unused: tuple[Path, ...] = ()


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
    given = {"image_pattern": image_pattern, "mask_pattern": mask_pattern}
    found = rules_by_pairs(images, masks, **given)
    most = max(map(len, found), default=0)
    plain = image_pattern in (None, Pattern()) and mask_pattern in (None, Pattern())
    if plain and _count_plain_pairs(images, masks) > most:
        return Rule()
    if not found or {file.path for file in images} & {file.path for file in masks}:
        # In one folder, names such as f1 and f2 of the same scene may look like a pair.
        of_scenes = scene_rules(images, masks, **given)
        numbers_only = all(_tells_by_number(rule) for pairs, rule in found.items() if len(pairs) == most)
        if max(map(len, of_scenes), default=-1) >= most + (not numbers_only):
            found = of_scenes
    if not found:
        raise no_pairs(images, masks)
    most = max(map(len, found))
    best = {pairs: rule for pairs, rule in found.items() if len(pairs) == most}
    if len(best) == 2 and fewer_colours:
        best = _without_reverse(best, fewer_colours)
    if len(best) > 1:
        raise _ambiguous(best)
    return next(iter(best.values()))


def _tells_by_number(rule: Rule) -> bool:
    """Whether images and masks differ in numbers alone, as in `{name}0` and `{name}1`."""
    affixes = f"{rule.image}{rule.mask}".replace("{name}", "")
    return bool(affixes) and not any(map(str.isalpha, affixes))


def _count_plain_pairs(images: Sequence[File], masks: Sequence[File]) -> int:
    """Count the images with a mask by the usual differences between names, see `match_masks`."""
    pattern = Pattern()
    named, masked = (
        {pattern.find(file.folder, file.stem) or "": file.path for file in files} for files in (images, masks)
    )
    found = match_masks(named, masked)
    return sum(name in found and found[name] != path for name, path in named.items())


def pair(rule: Rule, images: Sequence[File], masks: Sequence[File], errors: list[str]) -> Pairing:
    """Pair all files by a rule; files with equal names are added to `errors`."""
    named = _named(images, rule.image, errors)
    found = match_masks(named, _named(masks, rule.mask, errors))
    return Pairing(
        rule,
        images=named,
        masks={name: found[name] for name in named if name in found},
        orphans=tuple(path for name, path in found.items() if name not in named),
        left_out=tuple(file.path for file in images if rule.image.find(file.folder, file.stem) is None),
        unused=tuple(file.path for file in masks if rule.mask.find(file.folder, file.stem) is None),
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
    shown = list(dict.fromkeys(f"--mask-pattern '{rule.mask}'" for rule in sorted(best.values())))
    return DataError(
        f"{len(best)} naming rules pair {len(next(iter(best)))} images each, but only one can be used:",
        errors=errors,
        hint=f"Choose one: {' or '.join(shown[:4])}.",
    )


def _named(files: Sequence[File], pattern: Pattern, errors: list[str]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for file in files:
        name = pattern.find(file.folder, file.stem)
        if name is None:
            continue
        if name in named:
            errors.append(f"{named[name]} and {file.path} have the same name: rename or remove one of them")
        if problem := _no_entry(name, file):
            errors.append(f"{shown_path(file.path)}: {problem} is not allowed in a list: rename it")
        named.setdefault(name, file.path)
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
