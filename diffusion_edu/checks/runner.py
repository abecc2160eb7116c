"""Runs the cells of one notebook in this process, for teachers.py: python -m diffusion_edu.checks.runner FILE SECONDS.

A cell that fails or takes longer than SECONDS does not stop the next one. What happened goes to the file that
DIFFUSION_EDU_RESULTS names, beside the lines of the checks. This is no sandbox; teachers.py says what that means.
"""

import _thread
import json
import os
import signal
import sys
import threading
import types
from pathlib import Path

from . import EXERCISES, core, record
from .teachers import read_notebook, source_of


def fingerprint() -> list:
    """What would differ if someone put other functions in the place of the checks'."""
    spaces = [
        vars(core),
        vars(record),
        *(vars(kind) for kind in (core.Item, core.Exercise, core.Ordering, core.Attempt)),
    ]
    functions = [
        (name, f.__code__) for space in spaces for name, f in sorted(space.items()) if isinstance(f, types.FunctionType)
    ]
    package = sys.modules[__package__]
    own = [(item.name, id(getattr(package, item.name)), list(map(id, vars(item).values()))) for item in EXERCISES]
    return [functions, own]


def tell(**entry) -> None:
    """One line for the grader."""
    with open(os.environ[record.RESULTS], "a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def main(path: str, seconds: str) -> None:
    """Runs the code cells from top to bottom."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    code = [source_of(cell) for cell in read_notebook(Path(path))["cells"] if cell["cell_type"] == "code"]
    before = fingerprint()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are born deaf to it
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    for number, source in enumerate(code, start=1):
        alarm = threading.Timer(float(seconds), _thread.interrupt_main)
        alarm.daemon = True
        alarm.start()
        try:
            result = shell.run_cell(source)
            error = result.error_before_exec or result.error_in_exec
        except KeyboardInterrupt as late:
            error = late
        finally:
            alarm.cancel()
        if error is not None:
            tell(cell=number, error="time" if isinstance(error, KeyboardInterrupt) else type(error).__name__)
    tell(intact=fingerprint() == before)
    tell(end=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
