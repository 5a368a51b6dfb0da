"""What several verbs are tried on."""

from __future__ import annotations

import pytest


@pytest.fixture
def root(recipe_file):
    """Labelled 0, 1, 2, unlabelled 3, 4 without masks, val 5; 48 x 40 pixels, classes road and car."""
    return recipe_file.parent / "data"
