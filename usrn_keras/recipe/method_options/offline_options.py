"""The options of the methods that label images in a stage of their own."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from usrn_keras.recipe.method_options.option_section import MethodOptions


class DARSOptions(MethodOptions):
    """Options of `dars`: rounds of pseudo masks with the class frequencies of the labelled images."""

    takes_usrn: ClassVar[bool] = True
    selects_sublabels: ClassVar[bool] = True

    ratios: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.4, 0.5],
        min_length=1,
        description="Share of the unlabelled pixels that is labelled in each round, one value for each "
        "round (official code: 0.4, 0.5 on VOC and 0.4, 0.65 on Cityscapes).",
    )


class CReSTOptions(MethodOptions):
    """Options of `crest`: generations of pseudo masks that prefer rare classes."""

    generations: int = Field(
        5, gt=0, description="Number of generations after the Baseline; each is trained from the start."
    )
    alpha: float = Field(
        3.0,
        gt=0,
        description="Kept share of the pixels predicted as a class is (ratio of frequencies)^(1 / alpha); "
        "larger: more pixels of frequent classes.",
    )
    alignment: bool = Field(
        True,
        description="Whether predictions are aligned with the class frequencies of the labelled images "
        "(CReST+), which takes a second prediction of every image.",
    )
    temperature: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Exponent of the class frequencies in the last generation; it falls from 1 in the "
        "Baseline. Lower: more labels of rare classes.",
    )

    def temperature_of(self, generation: int) -> float:
        """Exponent of the class frequencies in a generation, from 1.

        Example:

        >>> [CReSTOptions().temperature_of(number) for number in (1, 5)]
        [0.9, 0.5]
        """
        return 1.0 - (1.0 - self.temperature) * generation / self.generations


class DSBNOptions(MethodOptions):
    """Options of `dsbn`: one pass of pseudo masks, doubled batch norms, a loss that corrects noisy labels."""

    weights: Literal["own", "official"] = Field(
        "own",
        description="Weight of the two parts of the loss of a pixel: by its own confidence (own), or by the "
        "mean over the images of the batch, as in the official code (official).",
    )
