from __future__ import annotations

import json
from dataclasses import replace

from usrn_keras.metrics import Provenance

VAL = Provenance("camvid", "val", 1101, "4d51ba8f", "slide 64, overlap 0.33, flip", "best")


def test_line_names_all_of_it():
    assert VAL.line() == (
        "camvid val, 1,101 images, lists 4d51ba8f, mode slide 64, overlap 0.33, flip, checkpoint best"
    )


def test_masks_from_files_have_no_checkpoint():
    line = replace(VAL, images=1, mode="masks", checkpoint="").line()
    assert line == "camvid val, 1 image, lists 4d51ba8f, mode masks"


def test_json_and_back():
    assert Provenance.from_json(json.loads(json.dumps(VAL.to_json()))) == VAL
