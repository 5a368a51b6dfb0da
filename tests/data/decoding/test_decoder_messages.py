from __future__ import annotations

import os
import warnings

from usrn_keras.data.decoding.decoder_messages import captured_messages, collected_notes, note_messages


def test_lines_of_decoders_are_kept_and_those_of_others_are_passed_on(capfd):
    with captured_messages() as lines:
        os.write(2, b"ZIPDecode: Decoding error at scanline 0\nstep 12 of 40\nZIPDecode: Decoding error at ")
        os.write(2, b"scanline 0\n")
        warnings.warn("Truncated File Read", stacklevel=1)
    assert lines == ["ZIPDecode: Decoding error at scanline 0", "Truncated File Read"]
    assert capfd.readouterr().err == "step 12 of 40\n"
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_stderr_is_restored_after_an_error(capfd):
    try:
        with captured_messages():
            raise ValueError
    except ValueError:
        os.write(2, b"still there\n")
    assert capfd.readouterr().err == "still there\n"


def test_notes_are_collected_where_someone_asks():
    note_messages(["lost"])
    with collected_notes() as notes:
        note_messages(["Unknown tag 700"])
    assert notes == ["its decoder says: Unknown tag 700"]
