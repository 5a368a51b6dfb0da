from __future__ import annotations

import os

import pytest

from usrn_keras.lazy_imports import native_stderr_held


def test_what_is_written_in_the_block_is_dropped(capfd):
    os.write(2, b"before\n")
    with native_stderr_held():
        os.write(2, b"noise\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "before\nafter\n"


def test_an_error_brings_it_back(capfd):
    with pytest.raises(ImportError), native_stderr_held():
        os.write(2, b"the reason\n")
        raise ImportError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "the reason\nafter\n"


def test_no_descriptor_is_left_open():
    before = os.listdir("/dev/fd")
    with native_stderr_held():
        pass
    assert os.listdir("/dev/fd") == before
