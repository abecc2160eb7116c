"""What a learner types into a notebook is kept, whichever editor it was, whatever the files' times, and by `write`."""

import json
import os
import shutil

import jupytext
import nbformat
import pytest

from notebooks import FOLDER, cells, keep_what_was_typed, renew_prose, renew_text, texts, write

EACH = pytest.mark.parametrize("path", texts(), ids=lambda path: path.stem)
ANSWER = "def my_log_normal(x, mean, std):\n    return 42\n\n\nchecks.log_normal(my_log_normal)"
AN_HOUR = 3600


@pytest.fixture
def folder(tmp_path):
    """A copy of 00, with its text."""
    for name in ("00_start.ipynb", "00_start.py"):
        shutil.copy(FOLDER / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def lab(folder):
    """What JupyterLab reads and writes notebooks with, in that folder."""
    manager = jupytext.TextFileContentsManager()
    manager.root_dir = str(folder)
    return manager


def answer(path) -> None:
    """Answers an exercise as another editor would: the notebook's file alone changes."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    (cell,) = (c for c in notebook["cells"] if c["cell_type"] == "code" and "def my_log_normal" in "".join(c["source"]))
    cell["source"] = ANSWER
    path.write_text(json.dumps(notebook), encoding="utf-8")


def sources(notebook) -> list[str]:
    return [cell["source"] for cell in notebook["cells"]]


@EACH
def test_no_notebook_and_no_text_is_tied_to_the_other(path):
    """Jupytext would take the cells of whichever it believes newer, and drop the other's on the next save."""
    notebook = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    assert "jupytext" not in notebook.metadata
    assert "formats" not in jupytext.read(path, fmt="py:percent").metadata["jupytext"]
    assert not any((folder / "jupytext.toml").exists() for folder in (FOLDER, FOLDER.parent))


def test_an_untouched_notebook_opens_as_it_is_stored(lab, folder):
    opened = lab.get("00_start.ipynb", content=True)["content"]
    assert sources(opened) == sources(nbformat.read(folder / "00_start.ipynb", as_version=4))


@pytest.mark.parametrize("text_is_newer", [False, True])
def test_an_answer_from_another_editor_is_shown_and_outlives_a_save(lab, folder, text_is_newer):
    path, text = folder / "00_start.ipynb", folder / "00_start.py"
    answer(path)
    if text_is_newer:  # a copy laid over it with its old time, or a text that git has just written
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - AN_HOUR))
    before = text.read_bytes()
    opened = lab.get("00_start.ipynb", content=True)
    assert ANSWER in sources(opened["content"])
    lab.save({"type": "notebook", "format": "json", "content": opened["content"]}, "00_start.ipynb")
    assert ANSWER in sources(nbformat.read(path, as_version=4))
    assert text.read_bytes() == before


def test_saving_the_text_as_a_notebook_leaves_the_answers_alone(lab, folder):
    answer(folder / "00_start.ipynb")
    before, text = (folder / "00_start.ipynb").read_bytes(), (folder / "00_start.py").read_bytes()
    opened = lab.get("00_start.py", content=True, type="notebook")["content"]
    lab.save({"type": "notebook", "format": "json", "content": opened}, "00_start.py")
    assert (folder / "00_start.ipynb").read_bytes() == before
    assert (folder / "00_start.py").read_bytes() == text


@pytest.mark.parametrize("change", [write, lambda text: renew_prose(text.with_suffix(".ipynb"))])
def test_executing_anew_does_not_overwrite_what_was_typed(folder, change):
    path, text = folder / "00_start.ipynb", folder / "00_start.py"
    answer(path)
    os.utime(text, (path.stat().st_atime, path.stat().st_mtime - AN_HOUR))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="was edited after 00_start"):
        change(text)
    assert path.read_bytes() == before


def test_what_was_typed_can_be_taken_into_the_text(folder):
    path, text = folder / "00_start.ipynb", folder / "00_start.py"
    answer(path)
    renew_text(path)
    assert ANSWER in text.read_text(encoding="utf-8")
    assert cells(jupytext.read(text, fmt="py:percent")) == cells(nbformat.read(path, as_version=4))
    keep_what_was_typed(text)


@EACH
def test_taking_the_cells_of_an_untouched_notebook_changes_none(path, tmp_path):
    text = shutil.copy(path, tmp_path / path.name)
    nbformat.write(jupytext.read(text, fmt="py:percent"), text.with_suffix(".ipynb"))
    renew_text(text.with_suffix(".ipynb"))
    old, new = (jupytext.read(one, fmt="py:percent") for one in (path, text))
    assert cells(new) == cells(old)
    assert new.metadata == old.metadata
