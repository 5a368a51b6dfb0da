from __future__ import annotations

from dataclasses import dataclass

from usrn_keras.doctor.findings import NOTE, Finding
from usrn_keras.doctor.report import Diagnosis
from usrn_keras.errors import BackendError, DataError


@dataclass
class Part:
    found: list
    title = "part"

    def lines(self):
        return ["a line"]

    def to_json(self):
        return {"value": 1}

    def findings(self):
        return self.found


def diagnosis(*found):
    return Diagnosis({"part": Part(list(found))}, ["usrn fit x"], "usrn doctor", 1.234)


CHANGED = Finding("slow", "it is slow", "make it faster\nor not", ("one", "two"))
NOTED = Finding("busy", "others are busy", level=NOTE)
BROKEN = Finding("backend", "it is broken", "mend it", error=BackendError)
ALSO = Finding("data", "no images", error=DataError)


def test_nothing_to_change_is_said():
    found = diagnosis()
    assert found.lines() == ["part", "  a line", "what to change: nothing", "next", "  usrn fit x"]
    assert found.error is None


def test_order_of_what_was_found():
    found = diagnosis(NOTED, CHANGED, ALSO, BROKEN)
    assert found.findings == (ALSO, BROKEN, CHANGED, NOTED)
    assert found.lines()[2:-2] == [
        "worth knowing",
        "  1. others are busy",
        "what to change",
        "  1. BROKEN: no images",
        "  2. BROKEN: it is broken",
        "     -> mend it",
        "  3. it is slow",
        "     - one",
        "     - two",
        "     -> make it faster",
        "        or not",
    ]


def test_what_training_would_stop_with():
    error = diagnosis(CHANGED, BROKEN, ALSO).error
    assert isinstance(error, BackendError)
    assert str(error).startswith("training cannot run here: it is broken\n  - no images\n")
    assert diagnosis(CHANGED, NOTED).error is None


def test_json():
    values = diagnosis(CHANGED, BROKEN).to_json()
    assert values == {
        "part": {"value": 1},
        "findings": [
            {
                "name": "backend",
                "level": "broken",
                "message": "it is broken",
                "advice": "mend it",
                "lines": [],
            },
            {
                "name": "slow",
                "level": "change",
                "message": "it is slow",
                "advice": "make it faster\nor not",
                "lines": ["one", "two"],
            },
        ],
        "trains": False,
        "exit_code": 7,
        "next": ["usrn doctor"],
        "seconds": 1.23,
    }


def test_long_lists_are_cut_for_people_alone():
    found = Finding("data", "faults", lines=tuple(map(str, range(30))))
    assert len(found.shown()) == 22 and found.shown()[-1] == "  - and 10 more; --json lists all"
    assert len(found.to_json()["lines"]) == 30
