"""Everything that `usrn fit --dry-run` tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from usrn_keras.budget.device import Device
from usrn_keras.budget.estimate import Estimate
from usrn_keras.budget.fitting import BATCHES, Sizes, settings
from usrn_keras.budget.flops import step_flops
from usrn_keras.budget.memory import Memory
from usrn_keras.budget.parameters import PartParameters, parameters
from usrn_keras.budget.shapes import Flow, shapes
from usrn_keras.methods import USRN, Supervised

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class Facts:
    """What is known of a recipe's data before training.

    Args:
        name: Of the recipe.
        images: Number of images of each list; empty where the data set is not there.
        classes: Their number.
        classes_from: Where it comes from.
        subclasses: K.
        subclasses_from: Where it comes from.
        notes: What is missing and was assumed.
    """

    name: str
    images: dict[str, int]
    classes: int
    classes_from: str
    subclasses: int
    subclasses_from: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fit:
    """A row of the table of sizes that fit.

    Args:
        sizes: Of a step.
        peaks: Bytes that a step of each method needs at its worst moment.
        fits: Whether the larger of them fits; None where it is not known what there is.
    """

    sizes: Sizes
    peaks: dict[str, float]
    fits: bool | None


@dataclass(frozen=True)
class Budget:
    """What training a recipe takes: shapes, parameters, operations and memory.

    Args:
        facts: What is known of the data.
        device: What it is trained on.
        sizes: Of a step, by the recipe.
        flows: Shapes in a step of USRN, or of the Baseline where nothing comes after it.
        parts: Parameters.
        flops: Operations of a step of each method, by the pass of images.
        memory: The worst moment of a step of each method.
        measured: Whether the prediction of memory rests on measurements on such a device.
        table: Memory of other batches and crops.
        fits: Whether every method fits; None where it is not known what there is.
        advice: What `--set` takes to make it fit; empty where it fits or nothing would.
    """

    facts: Facts
    device: Device
    sizes: Sizes
    flows: tuple[Flow, ...]
    parts: tuple[PartParameters, ...]
    flops: dict[str, dict[str, int]]
    memory: dict[str, Memory]
    measured: bool
    table: tuple[Fit, ...]
    fits: bool | None
    advice: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it, bytes and operations as whole numbers."""
        told = asdict(self)
        for memory in told["memory"].values():
            memory |= {name: round(value) for name, value in memory.items()}
            memory["peak"] = sum(memory.values())
        for row in told["table"]:
            row["peaks"] = {name: round(peak) for name, peak in row["peaks"].items()}
        return told

    def rich(self) -> RenderableType:
        """Tables for people."""
        from usrn_keras.budget.tables import tables

        return tables(self)


def make_budget(
    models: Mapping[str, Supervised | USRN],
    facts: Facts,
    device: Device,
    sizes: Sizes,
    *,
    steps: dict[str, int],
    process: float | None = None,
    images: float = 0,
) -> Budget:
    """What training takes.

    Args:
        models: What is trained one after the other, by its name; compiled.
        facts: What is known of the data.
        device: What it is trained on.
        sizes: Of a step.
        steps: The keys of the recipe that count steps, and their values.
        process, images: See `Estimate`.
    """
    *_, largest = models.values()
    estimates = {
        name: Estimate(method, device, process=process, images=images) for name, method in models.items()
    }

    def row(tried: Sizes) -> Fit:
        peaks = {name: estimate.memory(tried).peak for name, estimate in estimates.items()}
        known = device.room is not None
        return Fit(tried, peaks, all(one.fits(tried) for one in estimates.values()) if known else None)

    asked = row(sizes)
    larger = max(estimates.values(), key=lambda estimate: estimate.memory(sizes).peak)
    fitting = larger.smaller(sizes) if asked.fits is False else None
    return Budget(
        facts,
        device,
        sizes,
        flows=tuple(shapes(largest, sizes)),
        parts=tuple(parameters(largest)),
        flops={name: _flops(method, sizes) for name, method in models.items()},
        memory={name: estimate.memory(sizes) for name, estimate in estimates.items()},
        measured=larger.measured,
        table=tuple(row(tried) for tried in _others(sizes)),
        fits=asked.fits,
        advice=tuple(settings(sizes, fitting, steps)) if fitting else (),
    )


def _flops(model: Supervised | USRN, sizes: Sizes) -> dict[str, int]:
    crop = sizes.crop_size
    return step_flops(model, sizes.batch_labelled, sizes.batch_unlabelled, crop, crop)


def _others(sizes: Sizes) -> list[Sizes]:
    """Equal batches of the kinds that there are, at the recipe's crop, and at half and twice that."""
    both = sizes.batch_unlabelled > 0
    crops = sorted({max(32, sizes.crop_size // 64 * 32), sizes.crop_size, 2 * sizes.crop_size})
    return [
        replace(sizes, batch_labelled=batch, batch_unlabelled=batch * both, crop_size=crop)
        for crop in crops
        for batch in BATCHES
    ]
