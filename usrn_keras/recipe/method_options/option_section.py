"""The base of the options of a method, and the types of their keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field

from usrn_keras.recipe.section import Section

Threshold = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class MethodOptions(Section):
    """Base of the options of a method.

    A subclass whose keys depend on other sections overrides `contradictions`.
    """

    starts_from_baseline: ClassVar[bool] = False  # whether the method needs training.start = "baseline"
    takes_usrn: ClassVar[bool] = False  # whether training.with_usrn = true is allowed
    selects_sublabels: ClassVar[bool] = False  # whether it selects sublabels without usrn.threshold
    smallest_crop: ClassVar[int] = 0  # pixels on each side of the crops that the method needs

    @property
    def overrides_labels(self) -> bool:
        """Whether USRN on top can change a label: the host has no confidence threshold above one half."""
        return getattr(self, "threshold", 0.0) <= 0.5

    @property
    def reads_unlabelled(self) -> bool:
        """Whether the method learns from unlabelled images."""
        return True

    @property
    def has_gate(self) -> bool:
        """Whether a gate selects the corrected pseudo labels; reports show how often it is open."""
        return False

    @property
    def pseudo_label_note(self) -> str:
        """Note that reports show above the pseudo labels; may be empty."""
        return ""

    def arguments(self) -> dict[str, Any]:
        """Return the options as arguments of the method's constructor."""
        return self.model_dump()

    def without_usrn(self, name: str) -> Iterator[str]:
        """Yield one line for each option that needs `training.with_usrn = true`, where it is false.

        Args:
            name: Name of the section.
        """
        yield from ()

    def contradictions(self, name: str, start: str) -> Iterator[str]:
        """Yield one line for each contradiction with the rest of the recipe.

        Args:
            name: Name of the section.
            start: Value of `training.start`.
        """
        if self.starts_from_baseline and start != "baseline":
            yield (
                f"training.start: must be 'baseline' with training.method = {name!r}, the network whose "
                f"features are clustered, received {start!r}"
            )
