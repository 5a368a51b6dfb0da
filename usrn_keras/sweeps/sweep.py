"""Make a table: check the data, estimate the time, train missing runs, write the table."""

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
from usrn_keras.sweeps.side_by_side import side_by_side_png
from usrn_keras.sweeps.table_page import as_html


def make_table(plan: Plan, folder: Path | str, *, jobs: int = 1, progress: Progress = SILENT) -> TableResult:
    """Train the missing runs of a table, and write the table to `FOLDER/tables/NAME`.

    After an interruption, the next call resumes the started runs. A failed run leaves a gap, and is tried
    again by the next call.

    Args:
        plan: Plan of the table; see `make_plan`.
        folder: Folder of the runs, shared by all tables of a recipe.
        jobs: Number of parallel runs, at least 1; each runs in its own process, and on its own NVIDIA GPU as
            far as there are as many.
        progress: Progress display of the runs and the table.

    Raises:
        RunError: If another process uses the folder, its runs use another data set, or `jobs` is not
            positive.
        DataError: If a data set cannot be used, or has no images of the evaluated split.
        KeyboardInterrupt: If interrupted; the started runs have written their checkpoints.
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
            progress.log(f"{len(plan.runs)} runs, {len(missing)} of them missing; {outline.duration}")
            failures = run_all(missing, family, jobs=jobs, progress=progress)
        result = collect(plan, family, failures)
        write_table(result, table_folder(plan, folder), side_by_side_png(plan, family))
    return result


def table_folder(plan: Plan, folder: Path | str) -> Path:
    """Return the output folder of a table."""
    return Path(folder) / "tables" / plan.spec.name


def write_table(result: TableResult, folder: Path, comparison: bytes | None = None) -> None:
    """Write `table.json`, `table.md`, `table.csv`, `index.html` and `comparison.png` to a folder.

    Args:
        result: Results of the table.
        folder: Output folder.
        comparison: Content of `comparison.png`; None to write none, and to remove that of earlier runs.
    """
    write_json(folder / "table.json", as_json(result))
    texts = {
        "table.md": as_markdown(result) + "\n",
        "table.csv": as_csv(result),
        "index.html": as_html(result),
    }
    for name, text in texts.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    if comparison is None:
        (folder / "comparison.png").unlink(missing_ok=True)
    else:
        with atomic_path(folder / "comparison.png") as temporary:
            temporary.write_bytes(comparison)
