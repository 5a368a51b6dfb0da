"""Whether a step fits into the memory that there is, and which step would."""

from __future__ import annotations

from usrn_keras.budget.calibration import calibration
from usrn_keras.budget.device import Device
from usrn_keras.budget.fitting import Sizes, smaller
from usrn_keras.budget.memory import Footprint, Memory, footprint
from usrn_keras.methods import USRN, Supervised


class Estimate:
    """Predicted memory of the training steps of a model, for any sizes, on a device.

    Args:
        model: The Baseline or USRN.
        device: What it is trained on.
        process: Bytes that the process holds without the network; None for what it usually holds.
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
        self._process = None if device.gpu else process  # that of a GPU is told by the calibration
        self._images = 0 if device.gpu else images
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
            process=self._process,
            images=self._images,
        )

    def fits(self, sizes: Sizes) -> bool:
        """Whether a step fits; True where it is not known what there is."""
        return self.device.room is None or self.memory(sizes).peak <= self.device.room

    def smaller(self, sizes: Sizes) -> Sizes | None:
        """The largest smaller sizes that fit, or None."""
        if self.device.room is None:
            return None
        return smaller(sizes, lambda candidate: self.memory(candidate).peak, self.device.room)
