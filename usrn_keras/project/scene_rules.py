"""Find rules where a folder within the path says which file is an image and which a mask."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from usrn_keras.data.masks import LOSSY_SUFFIXES
from usrn_keras.data.name_pattern import Pattern, leave_out
from usrn_keras.project.naming_rules import File, Rule, rules_by_pairs

CANDIDATES = 8  # pairs of folders with the most files


def scene_rules(
    images: Sequence[File],
    masks: Sequence[File],
    *,
    image_pattern: Pattern | None = None,
    mask_pattern: Pattern | None = None,
) -> dict[frozenset[tuple[Path, Path]], Rule]:
    """Map pairs of files to rules with folders, such as image `rgb/{name}`, mask `mask/{name}`.

    Of rules that give equally many images a mask, those are kept whose images are more, or photographs.

    Args:
        images, masks: Files of the two folders, which may be the same.
        image_pattern, mask_pattern: Given patterns, or None.

    Example:

    >>> def file(folder, name):
    ...     return File(folder, Path(name).stem, Path(folder, name))
    >>> images = [file(f"drive_{d}/rgb", f"00{i}.jpg") for d in "AB" for i in range(3)]
    >>> masks = [file(f"drive_{d}/mask", f"00{i}.png") for d in "AB" for i in range(2)]
    >>> [str(rule) for rule in scene_rules(images, masks).values()]
    ['image rgb/{name}, mask mask/{name}']
    """
    found: dict[frozenset[tuple[Path, Path]], Rule] = {}
    for of_images, of_masks in _candidates(images, masks):
        if any(
            pattern is not None and pattern.folder != folder
            for pattern, folder in ((image_pattern, of_images), (mask_pattern, of_masks))
        ):
            continue
        given = {
            "image_pattern": image_pattern and replace(image_pattern, folder=""),
            "mask_pattern": mask_pattern and replace(mask_pattern, folder=""),
        }
        rules = rules_by_pairs(_inside(images, of_images), _inside(masks, of_masks), **given)
        for pairs, rule in rules.items():
            rule = Rule(replace(rule.image, folder=of_images), replace(rule.mask, folder=of_masks))
            if pairs not in found or rule.added < found[pairs].added:
                found[pairs] = rule
    most = max(map(len, found), default=0)
    best = {pairs: rule for pairs, rule in found.items() if len(pairs) == most}
    weights = {pairs: _weight(pairs, rule, images) for pairs, rule in best.items()}
    return {pairs: rule for pairs, rule in best.items() if weights[pairs] == max(weights.values())}


def _candidates(images: Sequence[File], masks: Sequence[File]) -> list[tuple[str, str]]:
    """List pairs of folder names that lead from folders of images to folders of masks."""
    of_masks: dict[str, set[str]] = defaultdict(set)
    for folder in {mask.folder for mask in masks}:
        for part in _parts(folder):
            of_masks[leave_out(folder, part)].add(part)
    votes: Counter[tuple[str, str]] = Counter()
    for folder, count in Counter(image.folder for image in images).items():
        for part in _parts(folder):
            for other in of_masks.get(leave_out(folder, part), ()):
                if other != part:
                    votes[part, other] += count
    return [pair for pair, _ in sorted(votes.items(), key=lambda vote: (-vote[1], vote[0]))[:CANDIDATES]]


def _parts(folder: str) -> list[str]:
    return ["", *dict.fromkeys(folder.split("/"))] if folder else [""]


def _inside(files: Sequence[File], part: str) -> list[File]:
    """Leave a folder out of the paths of the files that are in it."""
    found = ((leave_out(file.folder, part), file) for file in files)
    return [File(folder, file.stem, file.path) for folder, file in found if folder is not None]


def _weight(pairs: frozenset[tuple[Path, Path]], rule: Rule, images: Sequence[File]) -> tuple[bool, int]:
    """Whether the images are photographs, and how many files there are beside them."""
    image, _ = min(pairs)
    fitting = sum(rule.image.find(file.folder, file.stem) is not None for file in images)
    return image.suffix.lower() in LOSSY_SUFFIXES, fitting
