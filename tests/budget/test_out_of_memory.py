from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.budget.out_of_memory import memory_errors, ran_out_of_memory
from usrn_keras.errors import DataError, OutOfMemoryError, USRNError


def error_of(name: str, base: type[Exception], text: str) -> Exception:
    """An error as a backend would raise it, without the backend."""
    return type(name, (base,), {})(text)


SAID = [
    error_of("RuntimeError_", RuntimeError, "[alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    error_of("OutOfMemoryError", RuntimeError, "CUDA out of memory. Tried to allocate 20.00 GiB"),
    error_of("JaxRuntimeError", RuntimeError, "RESOURCE_EXHAUSTED: Out of memory allocating 85899 bytes"),
    error_of("ResourceExhaustedError", Exception, "OOM when allocating tensor with shape[8,720,720,177]"),
    error_of("InternalError", Exception, "RESOURCE_EXHAUSTED: Failed to allocate request for 5.00GiB"),
    MemoryError(),
    np._core._exceptions._ArrayMemoryError((2**40,), np.dtype("float32")),
]  # fmt: skip


@pytest.mark.parametrize("error", SAID, ids=lambda error: type(error).__name__)
def test_the_errors_of_each_backend_are_recognised(error):
    with (
        pytest.raises(OutOfMemoryError) as caught,
        memory_errors("8 images", lambda: "9 GB were used", "Use 4 images."),
    ):
        raise error
    first, figures, theirs, hint = str(caught.value).splitlines()
    assert (first, figures, hint) == ("memory ran out: 8 images", "  - 9 GB were used", "Use 4 images.")
    assert theirs.startswith(f"  - {type(error).__name__}") and len(theirs) < 320
    assert caught.value.__cause__ is error and caught.value.exit_code == 11


@pytest.mark.parametrize(
    "error",
    [
        ValueError("shapes (2, 3) and (4,) do not fit"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        DataError("RESOURCE_EXHAUSTED.png is no image"),
        OutOfMemoryError("memory ran out"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_stay_as_they_are(error):
    with pytest.raises(type(error)) as caught, memory_errors("8 images", str, ""):
        raise error
    assert caught.value is error


def test_every_error_has_an_exit_code_of_its_own():
    codes = [kind.exit_code for kind in USRNError.__subclasses__()]
    assert len(set(codes)) == len(codes)
    assert not ran_out_of_memory(USRNError("out of memory"))


def test_the_line_about_memory_is_found_in_what_keras_writes_around_it():
    text = "Exception encountered when calling call().\n\n\x1b[1mCUDA out of memory. Tried\x1b[0m\n\nArg"
    with pytest.raises(OutOfMemoryError) as caught, memory_errors("8 images", str, ""):
        raise RuntimeError(text)
    assert caught.value.errors[1] == "RuntimeError: CUDA out of memory. Tried"
