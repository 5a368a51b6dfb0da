"""The data set and the network that tests share; both are only read."""

from __future__ import annotations

import pytest

from tests.subclasses.made_dataset import MASKS, colours_at_stride_4, write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), MASKS)


@pytest.fixture(scope="module")
def model():
    return colours_at_stride_4()
