"""Import Keras without the packages that only its plots and wrappers need, in processes that belong to us."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from usrn_keras.backend_choice import chosen_backend

# What Keras imports if it is installed, and what of Keras is gone without it.
OPTIONAL_OF_KERAS = {
    "cv2": "keras.visualization.draw_bounding_boxes",
    "jax": "a repair of old versions of JAX for OrbaxCheckpoint",
    "matplotlib": "keras.visualization.plot_image_gallery",
    "pandas": "data frames as the data of fit",
    "sklearn": "keras.wrappers",
}


def keep_keras_lean() -> None:
    """Let this process import Keras, whenever it does, without the packages of `OPTIONAL_OF_KERAS`.

    Keras imports pandas, scikit-learn, matplotlib and OpenCV if they are installed, and JAX on every backend.
    That is 270 of the 380 MB, and more than half of the time, that its import takes on PyTorch. No part of
    this package uses what Keras does with them. A program that imports `usrn_keras` keeps the whole Keras:
    only the command, and the processes that it starts, call this function.

    The packages can be imported before and after as usual.
    """
    if "keras" not in sys.modules and not any(isinstance(finder, LeanFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, LeanFinder())


class LeanFinder(MetaPathFinder):
    """Find `keras` as the other finders do, for the loader that hides packages."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the usual spec of `keras` with a `LeanLoader`, None for all other modules."""
        if fullname != "keras":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = LeanLoader(spec.loader)
        return spec


class LeanLoader(Loader):
    """Load a module as another loader does, without `OPTIONAL_OF_KERAS`.

    Args:
        loader: Loader of the module.
    """

    def __init__(self, loader: Loader):
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Create the module as the other loader does."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module; it keeps the other loader, and the finder has done its work."""
        spec = module.__spec__
        assert spec is not None
        spec.loader = module.__loader__ = self.loader
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, LeanFinder)]
        needs_jax = chosen_backend()[0] not in ("tensorflow", "torch")
        with hidden(*(name for name in OPTIONAL_OF_KERAS if name != "jax" or not needs_jax)):
            self.loader.exec_module(module)


@contextlib.contextmanager
def hidden(*packages: str) -> Iterator[None]:
    """Let imports of packages fail inside the block as if they were not installed, unless they are loaded.

    Example:

    >>> with hidden("this"):
    ...     import this
    Traceback (most recent call last):
        ...
    ModuleNotFoundError: import of this halted; None in sys.modules
    """
    names = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None: not to be imported
    try:
        yield
    finally:
        for name in names:
            if sys.modules.get(name) is None:
                sys.modules.pop(name, None)
