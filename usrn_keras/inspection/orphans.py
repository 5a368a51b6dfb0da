"""Masks that go with no image: labelled in vain, as a rule for a difference in the name."""

from __future__ import annotations

from pathlib import Path

from usrn_keras.data.faults import Faults
from usrn_keras.data.layouts.folder_files import index_folder
from usrn_keras.inspection.findings import MASK_WITHOUT_IMAGE, Finding
from usrn_keras.recipe.schema import Data


def masks_without_image(data: Data) -> list[Finding]:
    """A note for each, of a folder data set; in the others a mask is looked for by the name of its image."""
    if data.dataset != "folder":
        return []
    files = index_folder(Path(data.root).expanduser(), data, Faults())  # its faults are known already
    return [
        Finding(
            MASK_WITHOUT_IMAGE,
            f"{files.masks[name]}: no image is called {name}",
            "An image without a mask of its name is unlabelled: rename one of the two, or remove the mask.",
            (files.masks[name],),
        )
        for name in sorted(files.masks.keys() - files.images.keys())
    ]
