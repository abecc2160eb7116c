"""Executing a notebook: twice the same to the byte, and untouched if a cell fails."""

import json

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from notebooks import WIDGET_STATE, renew_prose, renew_scripts, widget_problems, write

HEADER = "# ---\n# jupyter:\n#   kernelspec:\n#     name: python3\n#     display_name: Python 3\n# ---\n"
MOVING = """
# %%
import torch
import matplotlib.pyplot as plt
from diffusion_edu import schedules, widgets

# %%
widgets.forward_film(torch.zeros(5, 2), schedules.cosine(10))

# %%
_ = plt.plot([1, 2])
"""


def written(folder, source):
    text = folder / "99_try.py"
    text.write_text(HEADER + source, encoding="utf-8")
    write(text)
    return text.with_suffix(".ipynb").read_bytes()


def test_executed_twice_it_is_the_same_to_the_byte(tmp_path):
    once = written(tmp_path, MOVING)
    assert written(tmp_path, MOVING) == once
    notebook = json.loads(once)
    state = notebook["metadata"]["widgets"][WIDGET_STATE]["state"]
    names = [widget["model_name"] for widget in state.values()]
    assert {"LinkModel", "IntSliderModel", "AnyModel"} <= set(names), "the page needs all of these to move"
    assert list(state) == [f"{i + 1:032x}" for i in range(len(state))]


def test_an_old_script_is_a_problem_and_is_renewed_without_executing(tmp_path):
    once, path = written(tmp_path, MOVING), tmp_path / "99_try.ipynb"
    path.write_bytes(once.replace(b"function betas(", b"function old_betas("))
    assert any("old script" in problem for problem in widget_problems(nbformat.read(path, as_version=4)))
    renew_scripts(path)
    assert path.read_bytes() == once
    assert not widget_problems(nbformat.read(path, as_version=4))


def test_prose_is_renewed_without_executing_and_code_is_not(tmp_path):
    prose, path = "\n# %% [markdown]\n# Some words.\n", tmp_path / "99_try.ipynb"
    once = written(tmp_path, MOVING)
    path.with_suffix(".py").write_text(HEADER + prose + MOVING, encoding="utf-8")
    renew_prose(path)
    without_executing = path.read_bytes()
    assert without_executing != once
    assert written(tmp_path, prose + MOVING) == without_executing
    path.with_suffix(".py").write_text(HEADER + prose + MOVING.replace("cosine(10)", "cosine(9)"), encoding="utf-8")
    with pytest.raises(ValueError, match="cosine\\(9\\)"):
        renew_prose(path)
    assert path.read_bytes() == without_executing


def test_a_cell_that_fails_leaves_the_notebook_as_it_was(tmp_path):
    once = written(tmp_path, "\n# %%\nprint(1)\n")
    with pytest.raises(CellExecutionError):
        written(tmp_path, "\n# %%\nprint(2)\n\n# %%\n1 / 0\n")
    assert (tmp_path / "99_try.ipynb").read_bytes() == once
    assert {p.name for p in tmp_path.iterdir()} == {"99_try.py", "99_try.ipynb"}
