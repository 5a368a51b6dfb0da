"""Compiled functions: each version of numba keeps its machine code in a folder of its own."""

import ast
from pathlib import Path

import numba
import pytest

import usrn_keras.clustering
from usrn_keras.clustering.compiled import compiled

SOURCES = sorted(Path(usrn_keras.clustering.__file__).parent.glob("*.py"))


def twice(value):
    return 2 * value


def cache_of(kernel) -> Path:
    return Path(kernel._cache.cache_path)


def test_each_version_of_numba_has_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    here = compiled()(twice)
    monkeypatch.setattr(numba, "__version__", "0.0.1")
    other = compiled()(twice)
    assert here(4) == other(4) == 8
    assert cache_of(here) != cache_of(other)
    for kernel in (here, other):
        assert tmp_path in cache_of(kernel).parents
        assert list(cache_of(kernel).glob("*.nbc"))
    assert str(tmp_path) == numba.config.CACHE_DIR


def test_the_users_own_functions_keep_their_folder(monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    kernel = compiled()(twice)
    assert f"numba-{numba.__version__}" in cache_of(kernel).parts
    assert numba.config.CACHE_DIR == ""
    assert f"numba-{numba.__version__}" not in cache_of(numba.njit(cache=True)(twice)).parts


def test_options_reach_numba():
    assert compiled(nogil=True)(twice).targetoptions["nogil"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_all_kernels_are_compiled_so(source):
    if source.stem == "compiled":
        return
    names = {node.attr for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Attribute)}
    assert not names & {"njit", "jit", "vectorize", "guvectorize"}
