"""Files that are replaced whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file beside `path` to write into, which takes its place at the end. If anything goes wrong before, or the
    program is interrupted, the new file is removed, and `path` stays as it was."""
    new = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield new
        with open(new, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError as e:
        if e.errno is None:  # NumPy's, which only says how many bytes were written of how many
            raise OSError(f"{path} could not be written: {e}") from e
        e.filename = e.filename or str(path)  # a full disk does not say which file it is
        raise
    finally:
        new.unlink(missing_ok=True)
