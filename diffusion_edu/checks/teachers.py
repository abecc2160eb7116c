"""For teachers: student copies without solutions, and grading a folder of submitted notebooks.

**Grading runs the students' code, and this is no sandbox.** What is isolated: each notebook runs in a process of its
own, in a scratch folder that is removed, with a home folder and an environment of its own, under two time limits; its
processes are ended afterwards, and its output is thrown away. What is not: the code runs with your rights. It can read
and change your files, use the network, fill memory and disk, and start processes that detach themselves. It shares its
process with the checks, so it can also change them, or write results itself. What betrays that at a glance stands in
the column "look at"; someone who wants to can hide it. So grade in a container or on an account with nothing in it, and
read the notebooks whose results matter.
"""

import contextlib
import csv
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import cells as show
from . import record
from .core import CORRECT, ERROR, NOT_ATTEMPTED, WRONG, Item

FOLDED = re.compile(rf"\n*<details><summary>{show.SOLUTION}: [^<]*</summary>.*?</details>", re.S)
CALL = re.compile(r"^\s*checks\.(\w+)\(", re.M)
SUSPECT = re.compile(
    r"checks\.\w+(\.\w+)*\s*=[^=]|checks\.(core|record|runner|n0)|\b(setattr|delattr)\s*\(|DIFFUSION_EDU_|__dict__"
    r"|(from|import)\s+diffusion_edu\.checks|\.(judge|verdict|solution|mistakes)\b"
    r"|sys\.modules|importlib|os\._exit"
)
KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "SYSTEMROOT", "WINDIR",
        "COMSPEC", "PATHEXT", "NUMBER_OF_PROCESSORS", "OMP_NUM_THREADS", "DIFFUSION_EDU_DATA")  # fmt: skip


def read_notebook(path: Path) -> dict:
    """A notebook's JSON. ValueError if it is not one."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            source_of(cell), cell["cell_type"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path.name} is not a notebook") from error
    return notebook


def source_of(cell: dict) -> str:
    """A cell's text, which may be stored as a list of lines."""
    return "".join(cell["source"])


def student_copy(notebook: dict, items: tuple[Item, ...]) -> dict:
    """The notebook without solutions: their folded parts and the cells with the tag "solution" go, and each exercise's
    cell becomes the stub again, without output."""
    stubs, kept = {item.name: dict(show.cells(item))["code"] for item in items}, []
    for cell in notebook["cells"]:
        cell = dict(cell)
        source, called = source_of(cell), CALL.findall(source_of(cell))
        if "solution" in cell.get("metadata", {}).get("tags", []):
            continue
        if cell["cell_type"] == "markdown":
            cell["source"] = FOLDED.sub("", source)
            if source.strip() and not cell["source"].strip():
                continue
        elif cell["cell_type"] == "code" and called and called[-1] in stubs:
            cell |= {"source": stubs[called[-1]], "outputs": [], "execution_count": None}
        kept.append(cell)
    return {**notebook, "cells": kept}


def write_copies(notebooks: list[Path], out: Path, items: tuple[Item, ...]) -> None:
    """Student copies of the notebooks into the folder `out`. ValueError if one would land on its original."""
    for path in notebooks:
        if out.resolve() == path.parent.resolve():
            raise ValueError(f"--out must be another folder than that of {path.name}")
        if path.suffix != ".ipynb":
            raise ValueError(f"a notebook ends in .ipynb, got {path.name}")
    out.mkdir(parents=True, exist_ok=True)
    for path in notebooks:
        text = json.dumps(student_copy(read_notebook(path), items), indent=1, ensure_ascii=False)
        whole(out / path.name, text + "\n")


def whole(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@dataclass
class Grade:
    """What became of one submission: how its run ended, each exercise's result, and where to look."""

    file: str
    run: str
    seconds: float = 0.0
    errors: int = 0
    results: dict[str, str] = field(default_factory=dict)
    look_at: list[str] = field(default_factory=list)

    def row(self, keys: list[str]) -> list:
        """One line of the table."""
        given = [self.results.get(key, "") for key in keys]
        counts = [sum(value == CORRECT for value in self.results.values()), len(self.results)]
        return [
            inert(self.file),
            self.run,
            f"{self.seconds:.0f}",
            *counts,
            self.errors,
            inert("; ".join(self.look_at)),
            *given,
        ]


HEAD = ["file", "run", "seconds", "correct", "of", "cells with errors", "look at"]


def inert(text: str) -> str:
    """The text, so that no spreadsheet takes it for a formula."""
    text = " ".join(text.split())
    return "'" + text if text[:1] in ("=", "+", "-", "@") else text


def grade_folder(folder: Path, out: Path, items: tuple[Item, ...], limit: float = 900, cell_limit: float = 300,
                 say: Callable[[str], None] = print) -> list[Grade]:  # fmt: skip
    """Runs all notebooks below `folder` and writes the table `out` after each. ValueError if there are none."""
    paths = [p for p in sorted(folder.rglob("*.ipynb")) if ".ipynb_checkpoints" not in p.parts]
    if not paths:
        raise ValueError(f"there are no notebooks below {folder}")
    if importlib.util.find_spec("IPython") is None:
        raise ValueError("grading runs notebooks with IPython; install the course with its part lab: .[lab]")
    if limit <= 0 or cell_limit <= 0:
        raise ValueError(f"time limits must be positive, got {limit:g} and {cell_limit:g} seconds")
    grades: list[Grade] = []
    with tempfile.TemporaryDirectory(prefix="grading-", ignore_cleanup_errors=True) as shared:
        for path in paths:
            grade = grade_one(path, path.relative_to(folder).as_posix(), items, limit, cell_limit, Path(shared))
            grades.append(grade)
            write_table(out, grades, items)
            correct = sum(value == CORRECT for value in grade.results.values())
            say(f"{grade.file}: {grade.run}, {correct} of {len(grade.results)} correct")
    return grades


def write_table(out: Path, grades: list[Grade], items: tuple[Item, ...]) -> None:
    """The table as CSV, one row for each submission, one column for each exercise that occurs in any."""
    keys = [item.key for item in items if any(item.key in grade.results for grade in grades)]
    text = io.StringIO()
    csv.writer(text).writerows([HEAD + keys, *(grade.row(keys) for grade in grades)])
    whole(out, text.getvalue())


def grade_one(path: Path, name: str, items: tuple[Item, ...], limit: float, cell_limit: float, shared: Path) -> Grade:
    """Runs one notebook in a scratch folder and reads what its checks said from a file."""
    if path.is_symlink():
        return Grade(name, "a link, not followed")
    try:
        notebook = read_notebook(path)
    except (ValueError, OSError) as error:
        return Grade(name, "not a notebook" if isinstance(error, ValueError) else f"cannot be read ({error.strerror})")
    code = [source_of(cell) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    called = {called for source in code for called in CALL.findall(source)}
    grade = Grade(name, "", results={item.key: "not reached" for item in items if item.name in called})
    grade.look_at = [
        f"cell {i}: {hit[0].strip()}" for i, source in enumerate(code, 1) if (hit := SUSPECT.search(source))
    ]
    with tempfile.TemporaryDirectory(prefix="submission-", ignore_cleanup_errors=True) as scratch:
        results, copy = Path(scratch) / "results.jsonl", Path(scratch) / "notebook.ipynb"
        shutil.copyfile(path, copy)
        start = time.monotonic()
        ended = run_limited([copy.name, f"{cell_limit:g}"], Path(scratch), environment(scratch, shared, results), limit)
        grade.seconds = time.monotonic() - start
        finish(grade, results, ended, limit)
    return grade


def environment(scratch: str, shared: Path, results: Path) -> dict[str, str]:
    """The few variables that a submission's process gets; its home folder is the scratch folder."""
    home = {name: scratch for name in ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "IPYTHONDIR")}
    own = {"MPLBACKEND": "agg", "MPLCONFIGDIR": str(shared), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, **home, **own, record.VARIABLE: "", record.RESULTS: str(results)}


def run_limited(arguments: list[str], folder: Path, env: dict[str, str], limit: float) -> int | None:
    """The exit status of the runner, or None if the time was up. Its processes are ended in any case."""
    own_group = {"start_new_session": True} if os.name == "posix" else {}
    command = [sys.executable, "-m", f"{__package__}.runner", *arguments]
    nowhere = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=folder, env=env, **nowhere, **own_group)
    try:
        return process.wait(timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if own_group:
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
        process.wait()


def finish(grade: Grade, results: Path, ended: int | None, limit: float, most: int = 1_000_000) -> None:
    """Reads the results file, of which nothing is believed but known names and words."""
    try:
        with results.open("rb") as file:
            lines = file.read(most).decode("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    said, complete = [], False
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            said.append(json.loads(line))
    for entry in (entry for entry in said if isinstance(entry, dict)):
        key, status = entry.get("exercise"), entry.get("status")
        if key in grade.results and status in (CORRECT, WRONG, ERROR, NOT_ATTEMPTED) and grade.results[key] != CORRECT:
            grade.results[key] = status
        grade.errors += "cell" in entry
        if entry.get("cell") and entry.get("error") == "time":
            grade.look_at.append(f"cell {int(entry['cell'])}: stopped at its time limit")
        complete = complete or entry.get("end") is True
        if entry.get("intact") is False:
            grade.look_at.insert(0, "the checks were changed while it ran")
    grade.run = f"stopped after {limit:g} s" if ended is None else "finished" if complete and ended == 0 else "crashed"
