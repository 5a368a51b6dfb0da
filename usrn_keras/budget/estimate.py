"""Whether a step fits into the memory that there is, and which step would."""

from __future__ import annotations

from usrn_keras.budget.calibration import calibration
from usrn_keras.budget.device import Device
from usrn_keras.budget.fitting import Sizes, smaller
from usrn_keras.budget.footprint import footprint, variable_bytes
from usrn_keras.budget.memory import Footprint, Memory
from usrn_keras.budget.room import process_memory
from usrn_keras.methods import USRN, Supervised
from usrn_keras.training import AdamW

BATCHES_AHEAD = 6  # made ahead, and under way
PIXEL_BYTES = 3 + 4 + 4  # of an image, its labels and its sublabels


class Estimate:
    """Predicted memory of the training steps of a model, for any sizes, on a device.

    Args:
        model: The Baseline or USRN; until it is compiled, it counts as trained by SGD.
        device: What it is trained on.
        process: Bytes that this process holds without the model; None: as it is now.
        images: Bytes of decoded images that are kept.

    Example:

    >>> from usrn_keras.networks import build_branches
    >>> branch, _ = build_branches("keras/mobilenet", classes=3, weights="none", width=0.25)
    >>> estimate = Estimate(Supervised(branch), Device("torch", gpu=False, room=2**33))
    >>> estimate.fits(Sizes(2, 0, 64)), estimate.fits(Sizes(512, 0, 1024))
    (True, False)
    """

    def __init__(
        self, model: Supervised | USRN, device: Device, *, process: float | None = None, images: float = 0
    ):
        self.model = model
        self.device = device
        self._numbers = calibration(device.backend, gpu=device.gpu)
        # On a GPU, the calibration tells what the backend itself takes.
        self.process = None if device.gpu else process or process_without(model)
        self._images = images
        self._footprints: dict[int, Footprint] = {}

    @property
    def measured(self) -> bool:
        """Whether the prediction rests on measurements on such a device."""
        return self._numbers.measured

    def memory(self, sizes: Sizes) -> Memory:
        """The worst moment of a step."""
        crop = sizes.crop_size
        if crop not in self._footprints:
            self._footprints[crop] = footprint(self.model, crop, crop)
        return self._footprints[crop].memory(
            sizes.batch_labelled,
            sizes.batch_unlabelled,
            self._numbers,
            accumulation=sizes.accumulation,
            adaptive=isinstance(getattr(self.model, "optimizer", None), AdamW),
            process=self.process,
            images=0 if self.device.gpu else self._images + self._ahead(sizes),
        )

    def _ahead(self, sizes: Sizes) -> int:
        """Bytes of the batches that are made ahead."""
        images = sizes.batch_labelled + sizes.batch_unlabelled * isinstance(self.model, USRN)
        return BATCHES_AHEAD * images * sizes.crop_size**2 * PIXEL_BYTES

    def fits(self, sizes: Sizes) -> bool:
        """Whether a step fits; True where it is not known what there is."""
        return self.device.room is None or self.memory(sizes).peak <= self.device.room

    def smaller(self, sizes: Sizes) -> Sizes | None:
        """The largest smaller sizes that fit, or None."""
        if self.device.room is None:
            return None
        return smaller(sizes, lambda candidate: self.memory(candidate).peak, self.device.room)


def process_without(model: Supervised | USRN) -> int | None:
    """Bytes that this process holds beside the variables of a model and its optimizer; None if not told."""
    held = process_memory()
    optimizer = getattr(model, "optimizer", None)  # until it is compiled, a model has none
    variables = [*model.variables, *(optimizer.variables if optimizer else [])]
    return None if held is None else max(0, held - sum(variable_bytes(variable) for variable in variables))
