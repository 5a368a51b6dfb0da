from __future__ import annotations

from usrn_keras.inspection.data_findings import (
    ERRORS,
    LAYOUT,
    NOTES,
    SMALL_IMAGE,
    UNREADABLE_IMAGE,
    DataFinding,
    listing,
)


def test_a_kind_has_one_name_and_is_a_fault_or_a_note():
    names = [kind.name for kind in (*ERRORS, *NOTES)]
    assert len(set(names)) == len(names)
    assert DataFinding(LAYOUT, "").is_error and not DataFinding(SMALL_IMAGE, "").is_error


def test_equal_advice_stands_once_below_its_lines():
    found = [
        DataFinding(UNREADABLE_IMAGE, "a is empty", "Copy it."),
        DataFinding(UNREADABLE_IMAGE, "b is huge", "Cut it."),
        DataFinding(LAYOUT, "no list"),
        DataFinding(UNREADABLE_IMAGE, "c is empty", "Copy it."),
    ]
    assert listing(found, UNREADABLE_IMAGE) == [
        "images that cannot be read: 3",
        "  a is empty",
        "  c is empty",
        "  -> Copy it.",
        "  b is huge",
        "  -> Cut it.",
    ]
    assert listing(found, LAYOUT)[1:] == ["  no list"]


def test_the_first_of_many_are_shown_and_the_rest_counted():
    lines = listing([DataFinding(LAYOUT, f"line {i}") for i in range(23)], LAYOUT)
    assert lines[0].endswith(": 23")
    assert lines[20:] == ["  line 19", "  and 3 more; --json lists all"]
    assert len(listing([DataFinding(LAYOUT, "x")] * 20, LAYOUT)) == 21
