"""Run by path in a process of its own, `imports.py MODULE ...`: why each cannot be imported, as JSON."""

from __future__ import annotations

import importlib
import json
import os
import sys


def main() -> None:
    """Import them all; those that can be imported are left out of the report."""
    told = os.dup(1)
    os.dup2(2, 1)
    errors = {}
    for module in sys.argv[1:]:
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken package raises anything
            last = str(error).strip().splitlines()[-1:]
            errors[module] = ": ".join([type(error).__name__, *last])
    os.write(told, json.dumps(errors).encode())


if __name__ == "__main__":
    main()
