"""The options of the hosts that label images in every step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from usrn_keras.recipe.method_options.option_section import Count, MethodOptions, Share, Threshold, Weight

CCT_PERTURBATIONS = (
    "drop",
    "cutout",
    "vat",
    "context_masking",
    "object_masking",
    "feature_drop",
    "feature_noise",
)


class FixMatchOptions(MethodOptions):
    """Options of `fixmatch`: F learns confident labels of the weak view on a strong view mixed by CutMix."""

    takes_usrn: ClassVar[bool] = True

    threshold: Threshold = Field(0.95, description="Confidence gamma that a pseudo label must reach.")
    cutmix: bool = Field(
        True,
        description="Whether a box of another unlabelled image is pasted into the strong view, with "
        "probability one half.",
    )
    lambda_u: Weight = Field(1.0, description="Weight of the loss on unlabelled images.")


class UniMatchOptions(FixMatchOptions):
    """Options of `unimatch`: FixMatch with two strong views and a view of perturbed features."""

    feature_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.5, description="Share of the channels of the backbone's features that the perturbed view lacks."
    )


class AugSegOptions(MethodOptions):
    """Options of `augseg`: the moving average of the network labels strong views mixed by CutMix."""

    takes_usrn: ClassVar[bool] = True

    threshold: Threshold = Field(0.95, description="Confidence gamma that a pseudo label must reach.")
    cutmix: bool = Field(
        True,
        description="Whether boxes of other unlabelled images are pasted into the strong view, and boxes of "
        "labelled ones where the teacher is uncertain.",
    )
    lambda_u: Weight = Field(1.0, description="Weight of the loss on unlabelled images.")
    decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.999, description="Largest share of the teacher that remains in each update by the network."
    )


class CPSOptions(MethodOptions):
    """Options of `cps`: two networks learn each other's labels."""

    takes_usrn: ClassVar[bool] = True

    weight: Weight = Field(
        1.5,
        description="Weight of the cross supervision (paper: 1.5 on VOC and 6 on Cityscapes; with cutmix 1 "
        "and 5).",
    )
    cutmix: bool = Field(
        False,
        description="Whether boxes of other unlabelled images are pasted into those that the networks learn "
        "from.",
    )
    recompute: bool = Field(
        False,
        description="Whether labels come from passes of their own, which takes less memory and more time.",
    )
    supervised: Literal["ce", "ohem"] = Field(
        "ce",
        description="Loss on the masks: cross entropy (ce), or that of hard pixels (ohem; official code on "
        "Cityscapes).",
    )

    def contradictions(self, name: str, start: str) -> Iterator[str]:
        yield from super().contradictions(name, start)
        if self.recompute and self.cutmix:
            yield (
                f"{name}.recompute: must be false with {name}.cutmix = true, whose labels always come from "
                "passes of their own, received true"
            )


class CACOptions(MethodOptions):
    """Options of `cac`: two overlapping crops have the same features, against a memory bank."""

    takes_usrn: ClassVar[bool] = True

    weight: Weight = Field(0.1, description="Weight of the contrast.")
    threshold: Threshold = Field(
        0.75,
        description="Confidence that the more confident crop must exceed; with USRN on top also the one that "
        "a label must reach to teach F.",
    )
    temperature: float = Field(0.1, gt=0, description="Temperature of the contrast.")
    bank_steps: int = Field(
        2,
        ge=1,
        description="Number of steps whose features are in the memory bank, with the current one (official "
        "code: VOC 2, with ResNet-101 3; Cityscapes 1).",
    )
    negatives_by: Literal["F", "gated"] = Field(
        "F",
        description="Labels that select the negatives: those of F, or with USRN on top the corrected ones "
        "(gated).",
    )

    @property
    def pseudo_label_note(self) -> str:
        return (
            "The contrast of CAC takes its positives and negatives by these labels; F learns them only with "
            "USRN on top."
        )

    def without_usrn(self, name: str) -> Iterator[str]:
        if self.negatives_by == "gated":
            yield (
                f"{name}.negatives_by: 'gated' needs training.with_usrn = true, whose F_sub corrects the "
                "labels, received training.with_usrn = false"
            )


class CCTOptions(MethodOptions):
    """Options of `cct`: auxiliary decoders agree on perturbed features with the main decoder."""

    weight: Weight = Field(30.0, description="Weight of the consistency loss after its ramp.")
    ramp: Share = Field(0.1, description="Share of the training in which the weight grows.")
    supervised: Literal["ce", "abce"] = Field(
        "ce",
        description="Loss on the masks: cross entropy (ce), or that of the pixels that are not confident yet "
        "(abce, annealed bootstrapped cross entropy).",
    )
    drop: Count = Field(6, description="Number of decoders of features with dropped channels.")
    cutout: Count = Field(
        6, description="Number of decoders of features with a window cut out of the foreground."
    )
    vat: Count = Field(2, description="Number of decoders of adversarial features.")
    context_masking: Count = Field(2, description="Number of decoders of the features of the foreground.")
    object_masking: Count = Field(2, description="Number of decoders of the features of the background.")
    feature_drop: Count = Field(
        6, description="Number of decoders of features without the most active positions."
    )
    feature_noise: Count = Field(6, description="Number of decoders of features with multiplicative noise.")

    def arguments(self) -> dict[str, Any]:
        keys = self.model_dump()
        return {"decoders": {name: keys.pop(name) for name in CCT_PERTURBATIONS}, **keys}

    def contradictions(self, name: str, start: str) -> Iterator[str]:
        yield from super().contradictions(name, start)
        if not any(self.arguments()["decoders"].values()):
            yield (
                f"{name}: must have an auxiliary decoder, received 0 of each; set one of "
                f"{', '.join(f'{name}.{key}' for key in CCT_PERTURBATIONS)} to 1 or more"
            )


class GCTOptions(MethodOptions):
    """Options of `gct`: two networks and a flaw detector, which finds what one can learn from the other."""

    smallest_crop: ClassVar[int] = 64

    weight: Weight = Field(100.0, description="Weight of the consistency loss after its ramp.")
    ramp: Share = Field(0.1, description="Share of the training in which the weight grows.")
    threshold: Threshold = Field(
        0.6, description="Flaw in 0..1 above which a prediction is taken to be wrong."
    )
    correction_weight: Weight = Field(
        1.0, description="Weight of the flaws of pixels that both networks predict wrongly."
    )
    detector_weight: Weight = Field(10.0, description="Weight of the loss of the flaw detector.")
    detector_rate: float = Field(
        1e-4, gt=0, description="Initial learning rate of the flaw detector, by Adam (betas 0.9 and 0.99)."
    )
