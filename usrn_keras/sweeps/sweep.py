"""`usrn table` from top to bottom: check the data, say how long, run what is missing, write the table."""

from __future__ import annotations

from pathlib import Path

from usrn_keras.errors import RunError
from usrn_keras.files import atomic_path, write_json
from usrn_keras.progress import SILENT, Progress
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.outline import make_outline
from usrn_keras.sweeps.plan import Plan
from usrn_keras.sweeps.render import as_csv, as_json, as_markdown
from usrn_keras.sweeps.result import TableResult, collect
from usrn_keras.sweeps.run_all import run_all
from usrn_keras.sweeps.table_page import as_html


def make_table(plan: Plan, folder: Path | str, *, jobs: int = 1, progress: Progress = SILENT) -> TableResult:
    """Do the runs of a table that are not done, and write it into `FOLDER/tables/NAME`.

    Interrupted at any moment and called again, it resumes the runs that were under way. A run that fails
    leaves a gap, and is tried again by the next call.

    Args:
        plan: The plan of the table; see `make_plan`.
        folder: The folder of its runs; several tables of one recipe share runs there.
        jobs: Number of runs at a time, at least 1; each is a process of its own.
        progress: Shows how far each run and the table is.

    Raises:
        RunError: Another process works in the folder, its runs are of another data set, or `jobs` is not
            positive.
        DataError: A data set cannot be used, or has no images of the split that is measured.
        KeyboardInterrupt: It was interrupted; the runs under way have written their checkpoints.
    """
    if jobs < 1:
        raise RunError(f"jobs must be at least 1, received {jobs}")
    outline = make_outline(plan, folder, jobs=jobs)
    for note in outline.notes:
        progress.log(note)
    plan, family = outline.plan, Family(Path(folder))
    with family.locked():
        missing = [planned for planned in plan.runs if not family.is_done(planned)]
        failures = {}
        if missing:
            progress.log(f"{len(plan.runs)} runs, {len(missing)} of them to do; {outline.duration}")
            failures = run_all(missing, family, jobs=jobs, progress=progress)
        result = collect(plan, family, failures)
        write_table(result, table_folder(plan, folder))
    return result


def table_folder(plan: Plan, folder: Path | str) -> Path:
    """The folder of the files of a table."""
    return Path(folder) / "tables" / plan.spec.name


def write_table(result: TableResult, folder: Path) -> None:
    """Write `table.json`, `table.md`, `table.csv` and `index.html` into a folder."""
    write_json(folder / "table.json", as_json(result))
    texts = {
        "table.md": as_markdown(result) + "\n",
        "table.csv": as_csv(result),
        "index.html": as_html(result),
    }
    for name, text in texts.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
