"""How many of some images, as a person writes it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Share:
    """A part of some images: `1/8`, `0.125`, or a number of them such as `46`.

    Example:

    >>> Share("1/8").of(367), Share("46").of(367)
    (46, 46)
    """

    text: str

    def __post_init__(self) -> None:
        self._number()

    def of(self, total: int) -> int:
        """How many of `total` images, rounded; halves are rounded up."""
        number = self._number()
        return number if isinstance(number, int) else int(total * number + Fraction(1, 2))

    def _number(self) -> int | Fraction:
        if self.text.isascii() and self.text.isdigit() and int(self.text) > 0:
            return int(self.text)
        try:
            fraction = Fraction(self.text)
        except (ValueError, ZeroDivisionError):
            fraction = None
        if fraction is None or not 0 < fraction < 1:
            raise ValueError(
                f"must be a fraction between 0 and 1 such as 1/8 or 0.125, or a number of images such as 46, "
                f"received {self.text!r}"
            )
        return fraction
