"""The bands of images: which bands of a file are the channels of the network, in which order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

VISIBLE = ("red", "green", "blue")
MOST_BANDS = 64  # of an image; 32 bands of a 16-bit scene of 10,000 x 10,000 pixels are 6.4 GB
_NAMED = re.compile(r"([A-Za-z][\w.-]*)(?:=([0-9]{1,4}))?", re.ASCII)


@dataclass(frozen=True)
class Bands:
    """Bands of image files, in the order of the channels that the network receives.

    Args:
        names: Name of each channel, such as `red` or `nir`; the number of the band where it has no name.
        numbers: Number of the band in the file of each channel; the first is 1.
        total: Number of bands that a file must have; None if it may have more than those used.

    Example:

    >>> Bands(("blue", "green", "red", "nir"), (1, 2, 3, 4)).visible
    (2, 1, 0)
    """

    names: tuple[str, ...] = VISIBLE
    numbers: tuple[int, ...] = (1, 2, 3)
    total: int | None = None

    @property
    def count(self) -> int:
        """Number of channels."""
        return len(self.names)

    @property
    def colours(self) -> tuple[int | None, ...]:
        """Which of red (0), green (1) and blue (2) each channel is; None for another band.

        Three bands without any name are taken for red, green and blue: a false-colour image.
        """
        if self.count == 3 and all(name.isdigit() for name in self.names):
            return (0, 1, 2)
        return tuple(VISIBLE.index(name) if name in VISIBLE else None for name in self.names)

    @property
    def visible(self) -> tuple[int, int, int] | None:
        """Places of red, green and blue among the channels; None if one of them is missing."""
        found = tuple(self.colours.index(colour) for colour in range(3) if colour in self.colours)
        return found if len(found) == 3 else None

    @property
    def are_rgb(self) -> bool:
        """Whether the channels are red, green and blue, in this order."""
        return self.colours == (0, 1, 2)

    def __str__(self) -> str:
        return ", ".join(
            name if name.isdigit() else f"{name} (band {number})"
            for name, number in zip(self.names, self.numbers, strict=True)
        )


RGB = Bands()


def parse_bands(entries: Sequence[int | str]) -> Bands | None:
    """Parse `data.bands` of a valid recipe; None if it is empty, for images read as red, green and blue.

    Args:
        entries: Entries of the key, see `band_errors`.

    Example:

    >>> parse_bands(["red", "green", "blue", "nir"]).numbers, parse_bands(["nir=4", 2]).names
    ((1, 2, 3, 4), ('nir', '2'))
    """
    if not entries:
        return None
    parsed = [_parse(entry, place) for place, entry in enumerate(entries, start=1)]
    names, numbers = zip(*parsed, strict=True)
    is_whole_file = all(isinstance(entry, str) and "=" not in entry for entry in entries)
    return Bands(names, numbers, len(entries) if is_whole_file else None)


def band_errors(entries: Sequence[int | str]) -> Iterator[str]:
    """Yield one line for each error in the entries of `data.bands`.

    An entry is the number of a band in the files, from 1; `NAME=NUMBER`; or `NAME` alone, which names the
    band at this place of the list.

    Example:

    >>> list(band_errors(["red", 1]))
    ['data.bands: band 1 of the files is used 2 times, received [\\'red\\', 1]']
    """
    wrong = [entry for place, entry in enumerate(entries, start=1) if _parse(entry, place) is None]
    if wrong:
        yield (
            "data.bands: each entry must be the number of a band from 1, NAME=NUMBER, or the NAME of the "
            f"band at this place (letters, digits, `_`, `-` and `.`), received {', '.join(map(repr, wrong))}"
        )
        return
    if len(entries) > MOST_BANDS:
        yield f"data.bands: must have at most {MOST_BANDS} entries, received {len(entries)}"
        return
    parsed = [_parse(entry, place) for place, entry in enumerate(entries, start=1)]
    for number, count in Counter(number for _, number in parsed).items():
        if count > 1:
            yield f"data.bands: band {number} of the files is used {count} times, received {list(entries)}"
    for name, count in Counter(name for name, _ in parsed).items():
        if count > 1 and not name.isdigit():
            yield f"data.bands: the name {name} is given {count} times, received {list(entries)}"


def _parse(entry: int | str, place: int) -> tuple[str, int] | None:
    """Name and number of a band; None for an entry that is wrong."""
    if isinstance(entry, int):
        return (str(entry), entry) if entry > 0 else None
    found = _NAMED.fullmatch(entry)
    if found is None or (found[2] and int(found[2]) == 0):
        return None
    return found[1].lower(), int(found[2] or place)
