"""Naming rules: detect which part of the file name an image and its mask share.

`list_files` lists the image and mask files of a folder, including subfolders.
"""

from __future__ import annotations

import bisect
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.file_index import walk
from usrn_keras.data.name_pattern import Pattern, normal


@dataclass(frozen=True, order=True)
class File:
    """A file below a listed folder.

    Args:
        folder: Folder of the file relative to the listed folder, with `/`, in composed letters (Unicode
            NFC); empty at the top.
        stem: File name without the last suffix, in composed letters.
        path: Path of the file.
    """

    folder: str
    stem: str
    path: Path

    @property
    def suffix(self) -> str:
        """Last suffix in lower case, such as `.png`."""
        return self.path.suffix.lower()

    @property
    def shown(self) -> str:
        """Path below the listed folder, for messages."""
        return f"{self.folder}/{self.path.name}" if self.folder else self.path.name


def list_files(folder: Path, suffixes: Iterable[str], *, without: Sequence[Path] = ()) -> list[File]:
    """List the files below `folder` with one of the suffixes, sorted, except hidden files and `without`.

    Raises:
        DataError: If a subfolder cannot be read.

    Example:

    >>> list_files(Path("photos"), [".jpg", ".png"])   # doctest: +SKIP
    [File(folder='street', stem='a', path=PosixPath('photos/street/a.jpg'))]
    """
    allowed, left_out = set(suffixes), {path.resolve() for path in without}
    found = []
    errors = ErrorList()
    for parent, subfolders, names in walk(folder, errors.add):
        here = Path(parent)
        subfolders[:] = [name for name in subfolders if (here / name).resolve() not in left_out]
        relative = here.relative_to(folder).as_posix()
        for name in names:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in allowed:
                inside = "" if relative == "." else normal(relative)
                found.append(File(inside, normal(stem), here / name))
    errors.raise_if_any(f"parts of {folder} cannot be read", hint="Change the permissions of these folders.")
    return sorted(found)


def is_below(path: Path, folder: Path) -> bool:
    """Whether `path` is inside `folder` (and not the folder itself)."""
    path, folder = path.resolve(), folder.resolve()
    return path != folder and folder in path.parents


def absolute(path: Path | str) -> Path:
    """Make a path absolute, with `~` and `..` replaced and links kept."""
    return Path(os.path.abspath(Path(path).expanduser()))


SEPARATORS = "_-. "
SAMPLED_MASKS = 40  # enough to find every rule of a folder several times
SIMILAR_IMAGES = 8  # compared images per sampled mask
COMMON_TOKEN = 200  # images; parts of more names are not specific enough to find pairs
KEPT_RULES = 24  # rules with the most votes of sampled masks; the others are coincidences


@dataclass(frozen=True, order=True)
class Rule:
    """Patterns of the file names of an image and its mask."""

    image: Pattern = field(default_factory=Pattern)
    mask: Pattern = field(default_factory=Pattern)

    @property
    def added(self) -> int:
        """Number of characters that the two patterns add to a name."""
        return len(f"{self.image}{self.mask}") - 2 * len("{name}")

    @property
    def reversed(self) -> Rule:
        """Rule with the patterns of image and mask exchanged."""
        return Rule(self.mask, self.image)

    def __str__(self) -> str:
        return f"image {self.image}, mask {self.mask}"


def likely_rules(images: Sequence[File], masks: Sequence[File]) -> list[Rule]:
    """Find rules that match several pairs of an image and a mask with similar names.

    A sample of the masks is compared with the images of the same subfolder whose names are most similar:
    alphabetical neighbours, read forwards and backwards, and names that share the rarest parts.

    Example:

    >>> from pathlib import Path
    >>> images = [File("", stem, Path(f"{stem}.jpg")) for stem in ("a_1", "a_2")]
    >>> masks = [File("", stem, Path(f"{stem}.png")) for stem in ("a_1_gt", "a_2_gt")]
    >>> [str(rule) for rule in likely_rules(images, masks)][0]
    'image {name}, mask {name}_gt'
    """
    similar = _Similar(images)
    step = max(1, len(masks) // SAMPLED_MASKS)
    votes: Counter[Rule] = Counter()
    for mask in masks[::step]:
        others = [image for image in similar.to(mask) if image.path != mask.path]
        votes.update({rule for image in others for rule in _rules_of(image.stem, mask.stem)})
    return [rule for rule, _ in sorted(votes.items(), key=lambda vote: (-vote[1], vote[0]))[:KEPT_RULES]]


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


class _Similar:
    """Index of image names that finds names similar to a mask without comparing all of them."""

    def __init__(self, images: Sequence[File]):
        self.forwards = sorted((image.folder, image.stem, image) for image in images)
        self.backwards = sorted((image.folder, image.stem[::-1], image) for image in images)
        self.by_token: dict[tuple[str, str], list[File]] = defaultdict(list)
        for image in images:
            for token in _tokens(image.stem):
                self.by_token[image.folder, token].append(image)

    def to(self, mask: File) -> list[File]:
        found = _neighbours(self.forwards, mask.folder, mask.stem)
        found += _neighbours(self.backwards, mask.folder, mask.stem[::-1])
        weights: Counter[File] = Counter()
        for token in _tokens(mask.stem):
            holders = self.by_token.get((mask.folder, token), ())
            if len(holders) <= COMMON_TOKEN:
                for image in holders:
                    weights[image] += 1 / len(holders)
        return list(dict.fromkeys([*found, *(image for image, _ in weights.most_common(SIMILAR_IMAGES))]))


def _tokens(stem: str) -> set[str]:
    return set(re.findall(r"\d+|[^\W\d_]+", stem))


def _neighbours(entries: list[tuple[str, str, File]], folder: str, text: str) -> list[File]:
    at = bisect.bisect_left(entries, (folder, text))
    return [image for place, _, image in entries[max(0, at - 2) : at + 3] if place == folder]


def _rules_of(image: str, mask: str) -> Iterator[Rule]:
    """Yield rules that match the two stems, from their longest common part."""
    longest = SequenceMatcher(None, image, mask, autojunk=False).find_longest_match()
    ahead, behind = _common(image, mask), _common(image[::-1], mask[::-1])
    yield from _rule_at(image, mask, longest.a, longest.b, longest.size)
    yield from _rule_at(image, mask, 0, 0, ahead)
    yield from _rule_at(image, mask, len(image) - behind, len(mask) - behind, behind)


def _common(first: str, second: str) -> int:
    """Return the length of the common prefix."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))


def _rule_at(image: str, mask: str, at_image: int, at_mask: int, size: int) -> Iterator[Rule]:
    """Yield the rule whose name starts at the two places, unless it would split a number."""
    core = image[at_image : at_image + size]
    if image != mask:  # separators are part of the affixes
        shift = len(core) - len(core.lstrip(SEPARATORS))
        core = core.strip(SEPARATORS)
        at_image, at_mask = at_image + shift, at_mask + shift
    if not core:
        return
    patterns = [
        Pattern(stem[:at], stem[at + len(core) :]) for stem, at in ((image, at_image), (mask, at_mask))
    ]
    if not any(_cuts_number(core, pattern) for pattern in patterns):
        yield Rule(*patterns)


def _cuts_number(core: str, pattern: Pattern) -> bool:
    before, after = pattern.prefix[-1:] + core[0], core[-1] + pattern.suffix[:1]
    return any(len(edge) == 2 and edge.isdigit() for edge in (before, after))
