from __future__ import annotations

import os

import pytest

from usrn_keras.lazy_imports import suppress_native_stderr


def test_what_is_written_in_the_block_is_dropped(capfd):
    os.write(2, b"before\n")
    with suppress_native_stderr():
        os.write(2, b"noise\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "before\nafter\n"


def test_an_error_brings_it_back(capfd):
    with pytest.raises(ImportError), suppress_native_stderr():
        os.write(2, b"the reason\n")
        raise ImportError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "the reason\nafter\n"


def test_no_descriptor_is_left_open():
    before = os.listdir("/dev/fd")
    with suppress_native_stderr():
        pass
    assert os.listdir("/dev/fd") == before
