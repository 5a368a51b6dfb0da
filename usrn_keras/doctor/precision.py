"""Which `training.precision` suits the device: whether bfloat16 is fast there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from usrn_keras.doctor.findings import Finding
from usrn_keras.doctor.probe import Probe
from usrn_keras.machine.cores import Cores

FASTER = 1.2  # times as fast as float32: less is not worth the rounding
TF32_SINCE = 8.0  # compute capability
FLOAT32, BFLOAT16 = "float32", "mixed_bfloat16"


@dataclass(frozen=True)
class PrecisionSection:
    """Precision.

    Args:
        probe: The chosen backend, with the rates of a convolution; None or broken: nothing is known.
        cores: Of the processor.
        asked: The recipe's `training.precision`; None without a recipe.
    """

    probe: Probe | None
    cores: Cores
    asked: str | None = None
    title = "precision"

    @property
    def gain(self) -> float | None:
        """How many times as fast a convolution is in bfloat16 as in float32; None if not measured."""
        flops = self.probe.flops if self.probe else {}
        return flops["bfloat16"] / flops["float32"] if flops else None

    @property
    def on_gpu(self) -> bool:
        """Whether training uses a GPU or TPU."""
        return bool(self.probe and self.probe.accelerators)

    @property
    def recommended(self) -> str | None:
        """What to set; None where it was not measured.

        On a CPU always float32: there a convolution does not tell how a whole step fares. With AVX512_BF16
        one gained 2.2 times on PyTorch and a step of ResNet-50 5 %; on JAX 1.1 times, and the step 24 %.
        """
        if self.gain is None:
            return None
        return BFLOAT16 if self.on_gpu and self.gain >= FASTER else FLOAT32

    def lines(self) -> list[str]:
        """Rates, what they mean, and what to set."""
        if self.gain is None:
            return ["not measured: the backend does not compute"]
        rates = ", ".join(f"{kind} {rate / 1e9:.3g}" for kind, rate in self.probe.flops.items())
        where = self.probe.devices[0].name if self.on_gpu else self._cpu()
        return [
            f"3x3 convolution, forward and backward, GFLOP/s: {rates} on {where}",
            *self._tf32(),
            f'training.precision = "{self.recommended}": {self._reason()}',
        ]

    def to_json(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "convolution_flops": dict(self.probe.flops) if self.probe else {},
            "bfloat16_gain": self.gain,
            "bfloat16_instructions": self.cores.bfloat16,
            "tf32": self.on_gpu and self._has_tf32() and self.probe.tf32,
            "recommended": self.recommended,
        }

    def findings(self) -> list[Finding]:
        """A recipe whose precision is not the one that suits the device."""
        if self.asked is None or self.recommended in (None, self.asked):
            return []
        if self.recommended == FLOAT32 and self.gain >= FASTER:
            return []  # somebody has chosen bfloat16 on a CPU that computes it fast
        return [
            Finding(
                "precision",
                f'training.precision is "{self.asked}"; a convolution in bfloat16 is {self.gain:.1f} times '
                "as fast on this device as one in float32",
                f"--set training.precision={self.recommended}",
            )
        ]

    def _cpu(self) -> str:
        return f"the CPU{f' ({self.cores.name})' if self.cores.name else ''}"

    def _has_tf32(self) -> bool:
        capability = self.probe.devices[0].capability
        return capability is not None and float(capability) >= TF32_SINCE

    def _tf32(self) -> list[str]:
        if not self.on_gpu or not self._has_tf32():
            return []
        return [f"float32 convolutions {'take' if self.probe.tf32 else 'do not take'} TF32 on this GPU"]

    def _reason(self) -> str:
        times = f"bfloat16 is {self.gain:.1f} times as fast"
        if self.on_gpu:
            return times
        missing = "" if self.cores.bfloat16 else " (the processor has no instructions for it)"
        return f"{times}{missing}; on a CPU that tells little of a whole step: time both before choosing it"
