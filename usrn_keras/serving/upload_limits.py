"""The largest photo that a page accepts."""

from __future__ import annotations

from dataclasses import dataclass

from usrn_keras.data.decoding.decode import ImageSizeError


@dataclass(frozen=True)
class UploadLimits:
    """Limits of one photo.

    Args:
        megabytes: Size of its file, in 10**6 bytes.
        megapixels: Number of its pixels, in 10**6: the memory of a prediction grows with it.
    """

    megabytes: float = 100
    megapixels: float = 50

    @property
    def bytes(self) -> int:
        """Size of the file in bytes, at most."""
        return int(self.megabytes * 10**6)

    @property
    def pixels(self) -> int:
        """Number of pixels, at most."""
        return int(self.megapixels * 10**6)

    def check_bytes(self, name: str, size: int) -> None:
        """Check the size of a file, `size` bytes, before it is read.

        Raises:
            ImageSizeError: The file is larger.
        """
        if size > self.bytes:
            raise ImageSizeError(
                f"{name} has {size / 10**6:.1f} MB; the limit is {self.megabytes:g} MB",
                hint="Save it smaller, or start `usrn serve` with a larger --max-megabytes.",
            )

    def check_pixels(self, name: str, height: int, width: int) -> None:
        """Check the size of an image before it is decoded.

        Raises:
            ImageSizeError: The image has more pixels.
        """
        if height * width > self.pixels:
            raise ImageSizeError(
                f"{name} has {width} x {height} pixels, {height * width / 10**6:.1f} megapixels; "
                f"the limit is {self.megapixels:g} megapixels",
                hint="Make it smaller, or start `usrn serve` with a larger --max-megapixels.",
            )
