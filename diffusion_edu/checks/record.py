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


def summary(items: Sequence) -> str:
    """What is done and what is next, of exercises in the order in which the notebooks teach."""
    done, trouble = read()
    lines = [trouble] if trouble else []
    for notebook in sorted({item.notebook for item in items}):
        here = [item for item in items if item.notebook == notebook]
        ready = [item for item in here if item.key in done]
        left = sum(item.minutes for item in here if item not in ready)
        names = ", ".join(f"{item.name} {'✓' if item in ready else '·'}" for item in here)
        lines.append(f"{notebook}  {len(ready)} of {len(here)}, {left:3} minutes left   {names}")
    following = next((item for item in items if item.key not in done), None)
    if following:
        lines.append(f"Next: {following.name} in notebook {following.notebook}, section {following.section} "
                     f"({following.minutes} minutes): {following.title}.")  # fmt: skip
    else:
        lines.append("All exercises are done.")
    if UNWRITTEN:
        lines.append("What was done since this kernel started is in no file, and lasts until it stops.")
    elif done:
        lines.append(f"Kept in {path()}; checks.forget() removes it.")
    return "\n".join(lines)
