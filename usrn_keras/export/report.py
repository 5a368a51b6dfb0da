"""What an export says about itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ExportReport:
    """What was written and how well it agrees with the Keras model.

    Attributes:
        format: `onnx`, `tf_saved_model`, `litert` or `torch`.
        path: File, or folder for `tf_saved_model`.
        bytes: Size of all files written.
        input_signature: `float32 (batch, 32*height, 32*width, 3)`: names are free sizes.
        max_abs_difference: Largest difference of two logits over all parity images.
        relative_difference: The same, divided by the largest absolute logit.
        argmax_agreement: Share of the pixels with the same class, 0..1.
        seconds: Conversion and parity check together.
        backend: The Keras backend that did the conversion.
        note: Where and why, if the conversion did not run in the calling process.
        labels: The file of the classes and of what a program around the model must know; "" without one.
    """

    format: str
    path: str
    bytes: int
    input_signature: str
    max_abs_difference: float
    relative_difference: float
    argmax_agreement: float
    seconds: float
    backend: str
    note: str = ""
    labels: str = ""

    def to_json(self) -> dict[str, Any]:
        """The report as plain values for `json.dump`."""
        return asdict(self)

    def __str__(self) -> str:
        size = f"{self.bytes / 1e6:.1f} MB"
        lines = [
            f"{self.path}  ({self.format} by {self.backend}, {size}, {self.seconds:.1f} s)",
            f"input: {self.input_signature}, RGB in 0..255",
            f"parity: same class on {self.argmax_agreement:.3%} of the pixels, "
            f"logits within {self.max_abs_difference:.2g} ({self.relative_difference:.1g} relative)",
        ]
        lines += [f"classes, colours, padding: {self.labels}"] if self.labels else []
        return "\n".join([*lines, self.note] if self.note else lines)
