"""How the pixels of an image are predicted: at once or in windows, mirrored too, at several sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from usrn_keras.data.batches.padding import STRIDE
from usrn_keras.errors import RecipeError
from usrn_keras.recipe import Recipe

MODES = ("whole", "slide")


@dataclass(frozen=True)
class Inference:
    """How the pixels of an image are predicted; with several passes over it, their mean decides.

    What is averaged are probabilities, the softmax of the logits: a pass that is sure counts more than
    one that wavers, and no pass counts more because its logits are larger.

    Args:
        mode: `whole`, the image at once, or `slide`, windows of equal size that slide over it.
        window: Height and width of a window in pixels, a multiple of 32; `slide` needs it.
        overlap: Share of a window that the next one covers too, in [0, 1).
        flip: Whether to predict the mirrored image (or window) as well.
        scales: Sizes of the image to predict, 1 its own. Windows keep their size at all of them.

    Raises:
        RecipeError: A value is out of its range; names all that are.

    Example:

    >>> Inference("slide", window=320, flip=True, scales=(0.5, 1)).line()
    'slide 320 overlap 0.33 + flip + scales 0.5/1'
    """

    mode: str = "whole"
    window: int = 0
    overlap: float = 0.33
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(float(scale) for scale in self.scales))
        faults = []
        if self.mode not in MODES:
            faults.append(f"mode: must be {' or '.join(MODES)}, received {self.mode!r}")
        if self.mode == "slide" and (self.window <= 0 or self.window % STRIDE):
            faults.append(f"window: must be a multiple of {STRIDE} above 0, received {self.window}")
        if not 0 <= self.overlap < 1:
            faults.append(f"overlap: must be at least 0 and below 1, received {self.overlap}")
        if not self.scales or min(self.scales) <= 0:
            faults.append(f"scales: must be one or more numbers above 0, received {list(self.scales)}")
        if faults:
            raise RecipeError("images cannot be predicted in this way", faults=faults)

    @property
    def one_pass(self) -> bool:
        """Whether the network sees each image once, whole and in its own size."""
        return self.mode == "whole" and not self.flip and self.scales == (1.0,)

    def line(self) -> str:
        """What stands beside a figure."""
        parts = [f"slide {self.window} overlap {self.overlap:g}" if self.mode == "slide" else "whole"]
        parts += ["flip"] if self.flip else []
        parts += [f"scales {'/'.join(f'{s:g}' for s in self.scales)}"] if self.scales != (1.0,) else []
        return " + ".join(parts)


WHOLE = Inference()


def inference_of(recipe: Recipe, overrides: Mapping[str, Any] | None = None) -> Inference:
    """What `[evaluation]` of a recipe asks for; windows have the size of training crops.

    Args:
        recipe: Of a run.
        overrides: Fields of `Inference` to take instead; None as a value leaves the recipe's.
    """
    evaluation = recipe.evaluation
    values = {key: getattr(evaluation, key) for key in ("mode", "overlap", "flip", "scales")}
    values["window"] = recipe.views.crop_size
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    return Inference(**(values | given))
