"""Naming rules: which part of a file name an image and its mask share, found from the names themselves.

`list_files` lists the image and mask files of a folder, sub-folders included.
"""

from __future__ import annotations

import bisect
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.file_index import walk


@dataclass(frozen=True, order=True)
class File:
    """A file below the folder that was listed.

    Args:
        folder: Its folder relative to the one listed, with `/`; empty at the top.
        stem: Its name without the last suffix.
        path: Where it is.
    """

    folder: str
    stem: str
    path: Path

    @property
    def suffix(self) -> str:
        """The last suffix in lower case, such as `.png`."""
        return self.path.suffix.lower()

    @property
    def shown(self) -> str:
        """The path below the listed folder, for messages."""
        return f"{self.folder}/{self.path.name}" if self.folder else self.path.name


def list_files(folder: Path, suffixes: Iterable[str], *, without: Sequence[Path] = ()) -> list[File]:
    """Files below `folder` with one of the suffixes, sorted; hidden ones and the folders `without` left out.

    Raises:
        DataError: A sub-folder cannot be read.

    Example:

    >>> list_files(Path("photos"), [".jpg", ".png"])   # doctest: +SKIP
    [File(folder='street', stem='a', path=PosixPath('photos/street/a.jpg'))]
    """
    allowed, left_out = set(suffixes), {path.resolve() for path in without}
    found = []
    faults = ErrorList()
    for parent, subfolders, names in walk(folder, faults.add):
        here = Path(parent)
        subfolders[:] = [name for name in subfolders if (here / name).resolve() not in left_out]
        relative = here.relative_to(folder).as_posix()
        for name in names:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in allowed:
                found.append(File("" if relative == "." else relative, stem, here / name))
    faults.raise_if_any(f"{folder} cannot be read as a whole", hint="Give the right to read it.")
    return sorted(found)


def is_below(path: Path, folder: Path) -> bool:
    """Whether `path` is inside `folder` (and not the folder itself)."""
    path, folder = path.resolve(), folder.resolve()
    return path != folder and folder in path.parents


def absolute(path: Path | str) -> Path:
    """The path from the root of the file system, with `~` and `..` replaced, links kept."""
    return Path(os.path.abspath(Path(path).expanduser()))


SEPARATORS = "_-. "
SAMPLED_MASKS = 40  # enough to meet every rule of a folder several times
SIMILAR_IMAGES = 8  # of each sampled mask
COMMON_TOKEN = 200  # images; a part of so many names says nothing about who belongs to whom
KEPT_RULES = 24  # those that most sampled masks speak for; the others are accidents


@dataclass(frozen=True, order=True)
class Pattern:
    """What stands before and after the name in a file's stem, as in `{name}_mask`."""

    prefix: str = ""
    suffix: str = ""

    def name_of(self, stem: str) -> str | None:
        """The name in `stem`, or None where the stem does not fit."""
        fits = stem.startswith(self.prefix) and stem.endswith(self.suffix)
        name = stem[len(self.prefix) : len(stem) - len(self.suffix)] if fits else ""
        return name or None

    def stem_of(self, name: str) -> str:
        """The stem of the file of `name`."""
        return f"{self.prefix}{name}{self.suffix}"

    def __str__(self) -> str:
        return self.stem_of("{name}")

    @classmethod
    def parse(cls, text: str) -> Pattern | None:
        """The pattern that `text` writes, or None unless it holds `{name}` exactly once."""
        parts = text.split("{name}")
        return cls(*parts) if len(parts) == 2 else None


@dataclass(frozen=True, order=True)
class Rule:
    """How the names of an image and of its mask are made of what they share."""

    image: Pattern = Pattern()
    mask: Pattern = Pattern()

    @property
    def added(self) -> int:
        """Characters that the two patterns add to a name."""
        return len(f"{self.image}{self.mask}") - 2 * len("{name}")

    @property
    def reversed(self) -> Rule:
        """The rule with the parts of image and mask exchanged."""
        return Rule(self.mask, self.image)

    def __str__(self) -> str:
        return f"image {self.image}, mask {self.mask}"


def likely_rules(images: Sequence[File], masks: Sequence[File]) -> list[Rule]:
    """Rules that several pairs of an image and a mask of similar names speak for.

    A sample of the masks is compared with the images in the same sub-folder whose names are most alike:
    neighbours in the alphabet, read forwards and backwards, and those with the rarest common parts.

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


class _Similar:
    """Finds images whose names are like that of a mask without comparing it with every image."""

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
    """Rules by which the two stems belong together, from the longest part that both have."""
    longest = SequenceMatcher(None, image, mask, autojunk=False).find_longest_match()
    ahead, behind = _common(image, mask), _common(image[::-1], mask[::-1])
    yield from _rule_at(image, mask, longest.a, longest.b, longest.size)
    yield from _rule_at(image, mask, 0, 0, ahead)
    yield from _rule_at(image, mask, len(image) - behind, len(mask) - behind, behind)


def _common(first: str, second: str) -> int:
    """Length of the beginning that both have."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))


def _rule_at(image: str, mask: str, at_image: int, at_mask: int, size: int) -> Iterator[Rule]:
    """The rule whose name starts at the two places; none where it would cut a number in two."""
    core = image[at_image : at_image + size]
    if image != mask:  # separators belong to what is added
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
