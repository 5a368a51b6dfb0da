"""The published ImageNet weights of each backbone: file, address and checksum, and fetching them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import keras

from usrn_keras.errors import WeightsError
from usrn_keras.networks.backbones import BACKBONES, find_by_name

KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
TORCHVISION = "https://download.pytorch.org/models"


@dataclass(frozen=True)
class PublishedFile:
    """A file of published weights.

    Attributes:
        url: Address of the file.
        digest: Start of its checksum in hexadecimal digits; empty if none was published.
        algorithm: Algorithm of the checksum, `sha256` or `md5`.
    """

    url: str
    digest: str = ""
    algorithm: str = "sha256"

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]

    @property
    def cached(self) -> Path:
        """Path of the file in the cache of Keras, whether it is there or not."""
        home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
        return Path(home) / "models" / self.name


def _keras(folder: str, name: str, digest: str = "") -> PublishedFile:
    return PublishedFile(f"{KERAS}/{folder}/{name}", digest, "md5")


def _resnet(depth: int, digest: str) -> PublishedFile:
    return _keras("resnet", f"resnet{depth}_weights_tf_dim_ordering_tf_kernels_notop.h5", digest)


def _torchvision(depth: int, digest: str) -> PublishedFile:
    return PublishedFile(f"{TORCHVISION}/resnet{depth}-{digest}.pth", digest)


def _convnext(size: str, digest: str) -> PublishedFile:
    return PublishedFile(f"{KERAS}/convnext/convnext_{size}_notop.h5", digest)


# The digits in the names of torchvision's files are the start of their SHA-256.
PUBLISHED: dict[str, PublishedFile] = {
    "keras/mobilenet": _keras("mobilenet", "mobilenet_1_0_224_tf_no_top.h5"),
    "keras/resnet50": _resnet(50, "4d473c1dd8becc155b73f8504c6f6626"),
    "keras/resnet101": _resnet(101, "88cf7a10940856eca736dc7b7e228a21"),
    "keras/resnet152": _resnet(152, "ee4c566cf9a93f14d82f913c2dc6dd0c"),
    "keras/convnexttiny": _convnext(
        "tiny", "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1"
    ),
    "keras/convnextsmall": _convnext(
        "small", "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab"
    ),
    "keras/convnextbase": _convnext(
        "base", "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45"
    ),
    "keras/convnextlarge": _convnext(
        "large", "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd"
    ),
    "keras/convnextxlarge": _convnext(
        "xlarge", "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05"
    ),
    "torchvision/resnet18": _torchvision(18, "f37072fd"),
    "torchvision/resnet34": _torchvision(34, "b627a593"),
    "torchvision/resnet50": _torchvision(50, "0676ba61"),
    "torchvision/resnet101": _torchvision(101, "63fe2227"),
    "torchvision/resnet152": _torchvision(152, "394f9c45"),
}


def published_of(name: str) -> PublishedFile | None:
    """Return the published file of a backbone; None if it has none.

    Args:
        name: Name of the backbone.

    Raises:
        RecipeError: The backbone is unknown.
    """
    find_by_name("backbone", name, BACKBONES)
    return PUBLISHED.get(name)


def verify(path: Path, published: PublishedFile) -> None:
    """Compare the checksum of a file with the published one, if there is one.

    Raises:
        WeightsError: They differ.
    """
    if not published.digest:
        return
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, published.algorithm).hexdigest()
    if not found.startswith(published.digest):
        raise WeightsError(
            f"{path} is not {published.name} as published: its {published.algorithm} is {found}, and not "
            f"{published.digest}",
            hint=f"The copy is damaged or another file. Copy it again from {published.url}",
        )


def fetch(name: str) -> Path:
    """Download the published weights of a backbone into the cache of Keras, unless they are there.

    Args:
        name: Name of the backbone.

    Returns:
        Path of the file; its checksum is verified.

    Raises:
        RecipeError: The backbone is unknown.
        WeightsError: There are no published weights, the download failed, or the checksum differs.
    """
    published = published_of(name)
    if published is None:
        raise WeightsError(
            f"network.weights: no weights file of {name} is published",
            hint=f"Backbones with one: {', '.join(PUBLISHED)}.",
        )
    path = published.cached
    if not path.is_file():
        try:
            with contextlib.redirect_stdout(sys.stderr):  # Keras prints download progress to stdout
                path = Path(keras.utils.get_file(published.name, published.url, cache_subdir="models"))
        except Exception as error:  # downloads raise many types of errors
            raise WeightsError(
                f"network.weights: {published.name} cannot be downloaded: {error}",
                hint=f"On a machine with internet access, download {published.url} and copy it to {path}, or "
                "name its path: --set network.weights=PATH.",
            ) from error
    verify(path, published)
    return path
