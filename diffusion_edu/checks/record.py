"""What is done and what is next, in one small file on the learner's own machine. Nothing is sent anywhere.

The file is written only when a check passes on a learner's answer. It lies in the user's data directory, or where the
environment variable DIFFUSION_EDU_PROGRESS says; set to nothing (""), it keeps no progress. Under pytest and in
continuous integration nothing is written unless that variable asks for it. What cannot be written, because there is
no such place, no right or no room, is remembered until the kernel stops.
"""

import contextlib
import errno
import json
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

VARIABLE = "DIFFUSION_EDU_PROGRESS"
UNWRITTEN: list[str] = []  # done, and in no file


def path() -> Path | None:
    """Where progress is kept; None if it is not kept. Raises OSError if there is no home for it."""
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE]) if os.environ[VARIABLE] else None
    if {"CI", "PYTEST_CURRENT_TEST", "PYTEST_VERSION"} & set(os.environ):
        return None
    import platformdirs

    try:
        folder = Path(platformdirs.user_data_dir("diffusion-edu", appauthor=False))
    except RuntimeError:  # neither HOME nor an entry among the system's users
        folder = Path()
    if not folder.is_absolute():
        raise OSError(errno.ENOENT, "there is no home folder")
    return folder / "progress.json"


def read() -> tuple[list[str], str]:
    """The keys of the exercises that are done, and a sentence if the file could not be read."""
    done, trouble = in_file()
    return [*done, *(key for key in UNWRITTEN if key not in done)], trouble


def in_file() -> tuple[list[str], str]:
    """What the file says, and a sentence if it could not be read."""
    file = None
    try:
        file = path()
        if file is None or not file.exists():
            return [], ""
        done = json.loads(file.read_text(encoding="utf-8"))["done"]
        if not isinstance(done, list) or not all(isinstance(key, str) for key in done):
            raise ValueError("it has no list of names")
        return done, ""
    except OSError as error:
        return [], f"Your progress{place(file)} cannot be read ({error.strerror})."
    except (ValueError, KeyError, TypeError, RecursionError):
        return [], f"Your progress{place(file)} is damaged. checks.forget() removes the file."


def remember(key: str) -> str:
    """Adds an exercise to those done; returns a sentence if the file could not be written. A damaged one is kept under
    another name."""
    file = part = None
    try:
        file = path()
        done, trouble = in_file()
        if file is None or key in done:
            return ""
        done = list(dict.fromkeys([*done, *UNWRITTEN, key]))
        part = file.with_name(f".{file.name}.{os.getpid()}.part")
        file.parent.mkdir(parents=True, exist_ok=True)
        if "damaged" in trouble:
            os.replace(file, file.with_name(f"{file.name}.damaged"))
        part.write_text(json.dumps({"version": 1, "done": done}, indent=1) + "\n", encoding="utf-8")
        os.replace(part, file)
        UNWRITTEN.clear()
    except OSError as error:
        with contextlib.suppress(OSError):
            if part:
                part.unlink(missing_ok=True)
        UNWRITTEN.append(key)
        return f"Your progress could not be kept{place(file)} ({error.strerror}). It lasts until this kernel stops."
    return ""


def place(file: Path | None) -> str:
    """Where the file is, if there is one."""
    return f" in {file}" if file else ""


def forget() -> None:
    """Removes the progress file, and says so."""
    UNWRITTEN.clear()
    file = None
    try:
        file = path()
        if file is None or not file.exists():
            print("No progress is kept.")
            return
        file.unlink()
        print(f"Removed {file}.")
    except OSError as error:
        print(f"{file or 'Your progress'} could not be removed ({error.strerror}).")


class Progress:
    """What is done and what is next, of exercises in the order in which the notebooks teach. JupyterLab shows it with
    links to `files`, by the notebooks' numbers, and the exercises' titles folded below each; elsewhere it is a text."""

    def __init__(self, items: Sequence, files: dict[str, str]):
        self.files = files
        self.done, self.trouble = read()
        self.notebooks = {n: [i for i in items if i.notebook == n] for n in sorted({i.notebook for i in items})}
        self.next = next((item for item in items if not self.is_done(item)), None)
        self.kept = ""
        if UNWRITTEN:
            self.kept = "What was done since this kernel started is in no file, and lasts until it stops."
        elif self.done:
            self.kept = f"Kept in {path()}; checks.forget() removes it."

    def is_done(self, item) -> bool:
        return item.key in self.done

    def count(self, items: Sequence) -> str:
        """How many are done, and how long the rest takes."""
        left = sum(item.minutes for item in items if not self.is_done(item))
        return f"{sum(map(self.is_done, items))} of {len(items)}, {left:3} minutes left"

    def following(self) -> str:
        if self.next is None:
            return "All exercises are done."
        return f"section {self.next.section} ({self.next.minutes} minutes): {self.next.title}."

    def __repr__(self) -> str:
        lines = [self.trouble] if self.trouble else []
        for notebook, items in self.notebooks.items():
            names = ", ".join(f"{item.name} {'✓' if self.is_done(item) else '·'}" for item in items)
            lines.append(f"{notebook}  {self.count(items)}   {names}")
        start = f"Next: {self.next.name} in notebook {self.next.notebook}, " if self.next else ""
        return "\n".join([*lines, start + self.following(), *[self.kept] * bool(self.kept)])

    def _repr_html_(self) -> str:
        mark = {
            True: '<b style="color: var(--jp-success-color1, #00704f)" title="done">✓</b>',
            False: '<span style="opacity: 0.75" title="open">○</span>',
        }
        lines = [f"<p><b>{escape(self.trouble)}</b></p>"] * bool(self.trouble)
        for notebook, items in self.notebooks.items():
            told = [f"{escape(i.title)} (section {escape(i.section)}, {i.minutes} minutes)" for i in items]
            rows = "".join(f"<div>{mark[self.is_done(i)]} {t}</div>" for i, t in zip(items, told, strict=True))
            marks = "".join(mark[self.is_done(i)] for i in items)
            title = f"{self.link(notebook)} {marks} {self.count(items)}"
            lines.append(f'<details><summary>{title}</summary><div style="margin-left: 2em">{rows}</div></details>')
        start = f"<b>Next:</b> {self.link(self.next.notebook)}, " if self.next else ""
        return "".join([*lines, f"<p>{start}{escape(self.following())}</p>", f"<p>{escape(self.kept)}</p>"])

    def link(self, notebook: str) -> str:
        return f'<a href="{self.files[notebook]}">{self.files[notebook].removesuffix(".ipynb")}</a>'
