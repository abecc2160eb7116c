"""A notebook that stores a widget in part only, which would stand still on the website, is found out."""

import copy

import ipywidgets
import nbformat
import pytest
import torch

from diffusion_edu import schedules, widgets
from notebooks import WIDGET_STATE, WIDGET_VIEW, normalised, widget_problems


@pytest.fixture(scope="module")
def whole():
    """A notebook with one widget, as executing and normalising it leaves it."""
    ipywidgets.Widget.close_all()
    film = widgets.forward_film(torch.zeros(5, 2), schedules.cosine(10))
    data = {"text/plain": repr(film), WIDGET_VIEW: {"model_id": film.model_id, "version_major": 2, "version_minor": 0}}
    cell = nbformat.v4.new_code_cell("film", outputs=[nbformat.v4.new_output("display_data", data=data)])
    state = ipywidgets.Widget.get_manager_state(drop_defaults=False)
    return normalised(nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {WIDGET_STATE: state}}))


@pytest.fixture
def notebook(whole):
    return copy.deepcopy(whole)


def state(notebook):
    return notebook.metadata["widgets"][WIDGET_STATE]["state"]


def drop(notebook, name: str) -> None:
    """Takes one model of the class `name` out of the state."""
    del state(notebook)[next(i for i, model in state(notebook).items() if model["model_name"] == name)]


def test_a_whole_widget_has_no_problems(notebook):
    assert widget_problems(notebook) == []


def test_no_state_at_all(notebook):
    del notebook.metadata["widgets"]
    assert widget_problems(notebook) == ["c000 shows a widget whose state is not stored (1 of 1 models)"]


@pytest.mark.parametrize("name", ["AnyModel", "IntSliderModel", "LayoutModel"])
def test_one_model_missing(notebook, name):
    drop(notebook, name)
    assert any("whose state is not stored (1 of " in problem for problem in widget_problems(notebook))


def test_the_link_missing(notebook):
    drop(notebook, "LinkModel")
    assert widget_problems(notebook) == ["c000 shows a control linked to nothing: t"]


def test_the_script_missing(notebook):
    next(model for model in state(notebook).values() if model["model_name"] == "AnyModel")["state"]["_esm"] = ""
    assert widget_problems(notebook) == ["c000 shows a canvas without its script"]


def test_only_words_stored(notebook):
    del notebook.cells[0].outputs[0].data[WIDGET_VIEW]
    assert widget_problems(notebook) == ["c000 shows a widget in words only"]
