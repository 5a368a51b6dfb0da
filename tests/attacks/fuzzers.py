"""Damaged and hostile files: every command ends with a result or with an error of the package."""

from __future__ import annotations

import json
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
from click.testing import CliRunner

from tests.attacks.fit_attacks import Target
from tests.attacks.processes import run_usrn
from tests.attacks.summary import Summary
from usrn_cli.main import main
from usrn_keras.errors import OutOfMemoryError, USRNError, WeightsError
from usrn_keras.networks import load_segmenter
from usrn_keras.recipe import load_recipe

DAMAGES: dict[str, Callable[[bytes, random.Random], bytes | None]] = {
    "deleted": lambda old, rng: None,
    "emptied": lambda old, rng: b"",
    "cut": lambda old, rng: old[: rng.randrange(len(old) + 1)],
    "a bit flipped": lambda old, rng: _flipped(old, rng),
    "zeros": lambda old, rng: bytes(len(old)),
    "noise": lambda old, rng: rng.randbytes(min(len(old), 4096)),
    "text": lambda old, rng: b'{"a": [1, null, "\\u0000"]}',
    "doubled": lambda old, rng: old + old,
}
"""Damages by name: a function from the content of a file to another content, or None for no file."""

VALUES = ["-1", "1e400", "nan", "inf", "true", "[]", "{}", '""', "'''x", "2026-01-01", "0x" + "f" * 20,
          "9" * 4400, "[" * 50 + "]" * 50, '"\\u0007"', "[1, 'a']", "1_0", "'../../etc'"]  # fmt: skip


def fuzz_recipes(text: str, folder: Path, count: int, table: Summary) -> None:
    """Change words of a recipe; loading it gives a recipe or an error of the package."""
    file = folder / "fuzzed.toml"
    for number, rng in _todo("recipe", count, "-", table):
        file.write_bytes(_changed_recipe(text, rng))
        try:
            load_recipe(str(file))
            problem = ""
        except USRNError as error:
            problem = "" if len(str(error)) < 100_000 else "the message is longer than 100,000 characters"
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"[:200]
        if problem:
            shutil.copy(file, folder / f"lost-{number}.toml")
        table.add("recipe", "-", f"mutation {number} of seed {table.seed}", problem, unit=f"recipe {number}")


def _todo(kind: str, count: int, backend: str, table: Summary) -> Iterator[tuple[int, random.Random]]:
    """Numbers of the attacks that are not done yet, each with its random choices."""
    for number in range(count):
        if not table.is_done(f"{kind} {number}", backend):
            yield number, random.Random(f"{kind} {number} {table.seed}")


def _changed_recipe(text: str, rng: random.Random) -> bytes:
    content = text.encode()
    for _ in range(rng.randint(1, 4)):
        lines = content.split(b"\n")
        place = rng.randrange(len(lines))
        change = rng.randrange(6)
        if change == 0 and b"=" in lines[place]:
            lines[place] = lines[place].split(b"=")[0] + b"= " + rng.choice(VALUES).encode()
        elif change == 1:
            lines.pop(place)
        elif change == 2:
            lines.insert(place, rng.choice(lines))
        elif change == 3:
            lines[place] = _flipped(lines[place], rng)
        elif change == 4:
            lines.insert(place, b"[" + rng.choice([b"a", b"training", b"usrn", b"data.x", b"[a]"]) + b"]")
        else:
            lines[place] = rng.randbytes(rng.randint(0, 20))
        content = b"\n".join(lines)
    return content


def _flipped(old: bytes, rng: random.Random) -> bytes:
    if not old:
        return b"\x80"
    place = rng.randrange(len(old))
    return old[:place] + bytes([old[place] ^ (1 << rng.randrange(8))]) + old[place + 1 :]


def fuzz_run_folders(
    whole: Path, recipe: Path, image: Path, count: int, target: Target, table: Summary
) -> None:
    """Damage a file of a complete run and run a command; no command ends with an internal error."""
    files = sorted(file.relative_to(whole) for file in whole.rglob("*") if file.is_file())
    predictions = whole.with_name("predictions")
    verbs = {
        "fit": lambda run: ["fit", recipe, "--run", run, "--quiet"],
        "report": lambda run: ["report", run, "--quiet"],
        "predict": lambda run: ["predict", run, image, "--out", predictions, "--quiet"],
        "evaluate": lambda run: ["evaluate", run, "--quiet"],
        "runs check": lambda run: ["runs", "check", run],
    }
    for number, rng in _todo("damaged run", count, target.backend, table):
        verb, name, damage = list(verbs)[number % len(verbs)], rng.choice(files), rng.choice(list(DAMAGES))
        run = whole.with_name(f"damaged-{number}")
        shutil.copytree(whole, run)
        _damage(run / name, damage, rng)
        done = run_usrn(verbs[verb](run), run, forks=target.forks)
        known = done.code == 0 or 2 < done.code < 13
        problem = "" if known else f"exit code {done.code}: {done.text[-300:]}"
        if known and done.code and str(name.name) not in done.text:
            problem = f"the message does not name the file: {done.text[-200:]}"
        unit, case = f"damaged run {number}", f"{name} {damage}"
        table.add(f"damaged run, {verb}", target.backend, case, problem, unit=unit)
        shutil.rmtree(run)
        shutil.rmtree(predictions, ignore_errors=True)


def _damage(file: Path, damage: str, rng: random.Random) -> None:
    new = DAMAGES[damage](file.read_bytes(), rng)
    file.unlink()
    if new is not None:
        file.write_bytes(new)


def fuzz_data(data: Path, recipe: Path, folder: Path, count: int, table: Summary) -> None:
    """Damage images, masks, lists and class names; `usrn data check` reports, and never fails inside."""
    files = sorted(file.relative_to(data) for file in data.rglob("*") if file.is_file())
    for number, rng in _todo("data", count, "-", table):
        copy = folder / f"data-{number}"
        shutil.copytree(data, copy)
        name, damage = files[number % len(files)], rng.choice(list(DAMAGES))
        _damage(copy / name, damage, rng)
        result = CliRunner().invoke(main, ["data", "check", str(recipe), "--set", f"data.root={copy}"])
        failed = result.exit_code not in (0, 3, 4)
        problem = f"exit code {result.exit_code}: {result.output[-200:]}" if failed else ""
        table.add("image, mask or list", "-", f"{name} {damage}", problem, unit=f"data {number}")
        shutil.rmtree(copy)


def hostile_models(model: Path, folder: Path, count: int, backend: str, table: Summary) -> None:
    """Load changed `.keras` files: each loads or is a `WeightsError`, and none of them writes a file."""
    evil = folder / "evil"
    with zipfile.ZipFile(model) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for number, rng in _todo("hostile model", count, backend, table):
        file = folder / f"hostile-{number}.keras"
        case = _write_hostile(file, model, members, number, evil, rng)
        problem = ""
        try:
            load_segmenter(file)
        except (WeightsError, OutOfMemoryError):
            pass
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"[:200]
        if evil.exists():
            problem = "the file ran code"
            evil.unlink()
        unit = f"hostile model {number}"
        table.add("hostile model", backend, f"{number}: {case}", problem, unit=unit)
        file.unlink()


def _write_hostile(
    file: Path, model: Path, members: dict[str, bytes], number: int, evil: Path, rng: random.Random
) -> str:
    """Write a changed model; returns what was changed."""
    config, code = json.loads(members["config.json"]), f"open({str(evil)!r}, 'w')"
    calls = [
        {"class_name": "Lambda", "module": "keras.layers", "config": {"name": "x", "function": code}},
        {"class_name": "exec", "module": "builtins", "config": {"args": [code]}},
        {"class_name": "system", "module": "os", "config": {"command": f"touch {evil}"}},
        {"class_name": "function", "config": code, "registered_name": "function"},
        {"class_name": "TorchModuleWrapper", "module": "keras.layers", "config": {"module": code}},
    ]
    kind = number % 6
    changed = dict(members)
    if kind == 0:
        call = rng.choice(calls)
        layers = config["config"]["layers"]
        layers[rng.randrange(len(layers))] |= call
        changed["config.json"] = json.dumps(config).encode()
        case = f"a layer calls {call['class_name']}"
    elif kind == 1:
        name = rng.choice(["../evil", "/tmp/evil", "assets/evil.py", "a" * 300])
        changed[name] = code.encode()
        case = f"a member {name[:20]}"
    elif kind == 2:
        name = rng.choice(list(changed))
        changed[name] = _flipped(changed[name], rng)
        case = f"a bit of {name}"
    elif kind == 3:
        name, damage = rng.choice(list(changed)), rng.choice(list(DAMAGES))
        new = DAMAGES[damage](changed.pop(name), rng)
        changed |= {} if new is None else {name: new}
        case = f"{name} {damage}"
    elif kind == 4:
        weights = file.with_suffix(".h5")
        with h5py.File(weights, "w") as content:
            if rng.random() < 0.5:
                content["layers"] = h5py.ExternalLink(str(model), "/")
            else:
                content.create_dataset("layers/a", (2**20, 2**10), "f4", chunks=(2**8, 2**8))
        changed["model.weights.h5"] = weights.read_bytes()
        weights.unlink()
        case = "weights in another file, or far larger than the file"
    else:
        changed["config.json"] = rng.choice(
            [b"[" * 100_000, b"9" * 5000, b"null", b'{"config": {}}', b"\xff"]
        )
        case = "no config"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in changed.items():
            archive.writestr(name, content)
    if kind == 3 and rng.random() < 0.3:
        file.write_bytes(DAMAGES["cut"](file.read_bytes(), rng) or b"")
    return case


def random_arrays(folder: Path, count: int, table: Summary) -> None:
    """Files that `np.load` reads for us: checkpoints and centres of random bytes and shapes."""
    from usrn_keras.training.checkpoint import read_header

    file = folder / "checkpoint.npz"
    np.savez(file, header=np.array(json.dumps({"step": 1, "seconds": 0.0})), a=np.zeros((3, 4)))
    whole = file.read_bytes()
    for number, rng in _todo("checkpoint", count, "-", table):
        damage = rng.choice([name for name in DAMAGES if name != "deleted"])
        file.write_bytes(DAMAGES[damage](whole, rng) or b"")
        problem = ""
        try:
            read_header(file)
        except WeightsError:
            pass
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"[:200]
        table.add("checkpoint", "-", f"{number}: {damage}", problem, unit=f"checkpoint {number}")
