"""JupyterLab in a real browser: `make site`. A trusted notebook's widgets are alive without running anything, answer
keyboard and mouse, and, once a cell is run, take the kernel along."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import TimeoutError as TookTooLong
from site_tools import LOOK, WIDGETS, Operator, nothing, widget_cells

from notebooks import FOLDER, METADATA

SHOWING = [path.name for path in sorted(FOLDER.glob("[0-9]*.ipynb")) if widget_cells(path)]
# What `--expose-app-in-browser` gives: the open notebook, its model and its kernel.
PANEL = "jupyterapp.shell.currentWidget"
OPENED = """() => {
  const panel = window.jupyterapp?.shell.currentWidget;
  return panel?.context?.isReady && panel.sessionContext.isReady && panel.content.widgets.length > 1;
}"""
SCROLL = f"(i) => {PANEL}.content.scrollToItem(i, 'start').then(() => 0)"  # Lab keeps far cells out of the page
RUN = """(i) => {
  jupyterapp.shell.currentWidget.content.activeCellIndex = i;
  jupyterapp.commands.execute("notebook:run-cell");
}"""
LIVE = """
import torch
from diffusion_edu import schedules, widgets
film = widgets.forward_film(torch.randn(50, 2), schedules.cosine(100), t=30)
film
"""
ASK = "print(f'kernel says {film.canvas.t} and {film.controls[\"t\"].value}')"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(address: str, server: subprocess.Popen, seconds: float = 120) -> None:
    """Until the server answers; fails with what it wrote if it ends or stays silent."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=2)
            return
        time.sleep(0.3)
    pytest.fail("JupyterLab did not start")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A server of its own over a copy of the notebooks, trusted; nothing of this user's settings is read or written.
    Returns a function: the address of a notebook. It knows the folder of the notebooks."""
    home = tmp_path_factory.mktemp("lab")
    notebooks = shutil.copytree(FOLDER, home / "notebooks", ignore=shutil.ignore_patterns(".*"))
    cells = [nbformat.v4.new_code_cell(LIVE.strip(), id="c000"), nbformat.v4.new_code_cell(ASK, id="c001")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=METADATA), notebooks / "live.ipynb")
    for kind in (".ipynb", ".py"):
        shutil.copy(FOLDER / f"00_start{kind}", notebooks / f"answered{kind}")
    folders = {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    token, port, run = secrets.token_hex(16), free_port(), [sys.executable, "-m"]
    environment = {**os.environ, **folders, "JUPYTER_TOKEN": token, "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    trust = [*run, "jupyter", "trust", *map(str, sorted(notebooks.glob("*.ipynb")))]
    subprocess.run(trust, env=environment, check=True, stdout=subprocess.DEVNULL)
    options = ["--no-browser", "--allow-root", "--expose-app-in-browser", "--ip=127.0.0.1", f"--port={port}"]
    with open(home / "log", "w") as log:
        server = subprocess.Popen([*run, "jupyterlab", *options], cwd=home, env=environment, stdout=log, stderr=log)
        try:
            wait_for(f"http://127.0.0.1:{port}/api", server)
            address = lambda name: f"http://127.0.0.1:{port}/lab/tree/notebooks/{name}?reset&token={token}"  # noqa: E731
            address.notebooks = notebooks
            yield address
        finally:
            server.terminate()
            server.wait(30)


def opened(tab, address: str) -> None:
    tab.goto(address, timeout=120_000)
    tab.wait_for_function(OPENED, timeout=120_000)
    assert tab.locator(".jp-Dialog").count() == 0, tab.locator(".jp-Dialog").first.inner_text()


def shown(tab, cell: int) -> list:
    """The widgets of a cell, drawn, once it has been scrolled to: again and again, because JupyterLab fills in the
    cells above meanwhile, and what was in view moves out of it."""
    for _ in range(40):
        tab.evaluate(SCROLL, cell)
        node = tab.evaluate_handle(f"(i) => {PANEL}.content.widgets[i].node", cell)
        with contextlib.suppress(TookTooLong):
            tab.wait_for_function("(n) => n.querySelector('.dedu')?.drawn", arg=node, timeout=3000)
            break
    else:
        pytest.fail(f"the widget of cell {cell} was not drawn in two minutes")
    return node.as_element().query_selector_all(WIDGETS)


@pytest.mark.parametrize("name", SHOWING)
def test_widgets_are_alive_without_running_anything(tab, lab, name):
    opened(tab, lab(name))
    found = []
    for cell, count in widget_cells(FOLDER / name).items():
        boxes = shown(tab, cell)
        assert len(boxes) == count
        for box in boxes:
            found += [f"cell {cell}: {line}" for line in Operator(tab, box).operate()]
    nothing(found + tab.log.take())


def test_a_running_kernel_hears_what_the_reader_does(tab, lab):
    opened(tab, lab("live.ipynb"))
    said = tab.locator(".jp-OutputArea-output", has_text="kernel says")
    tab.evaluate(RUN, 0)
    (box,) = shown(tab, 0)
    before = box.evaluate(LOOK)
    box.query_selector(".noUi-handle").focus()
    tab.keyboard.press("ArrowRight")
    assert box.evaluate(LOOK) != before
    tab.evaluate(RUN, 1)
    said.filter(has_text="31 and 31").wait_for(timeout=60_000)
    nothing(tab.log.take())


def test_an_answer_that_another_editor_wrote_is_shown_and_outlives_a_save(tab, lab):
    """The text beside the notebook knows nothing of the answer, and must not take its place."""
    path = lab.notebooks / "answered.ipynb"
    notebook = nbformat.read(path, as_version=4)
    (cell,) = (i for i, c in enumerate(notebook.cells) if c.cell_type == "code" and "def my_log_normal" in c.source)
    notebook.cells[cell].source = "my_log_normal = 'an answer'"
    nbformat.write(notebook, path)
    os.utime(path.with_suffix(".py"))  # the text is newer
    opened(tab, lab("answered.ipynb"))
    source = f"(i) => {PANEL}.content.model.cells.get(i).sharedModel.getSource()"
    assert tab.evaluate(source, cell) == "my_log_normal = 'an answer'"
    tab.evaluate(f"(i) => {PANEL}.content.model.cells.get(i).sharedModel.setSource('my_log_normal = 1')", cell)
    tab.evaluate(f"() => {PANEL}.context.save()")
    assert tab.locator(".jp-Dialog").count() == 0
    assert nbformat.read(path, as_version=4).cells[cell].source == "my_log_normal = 1"
    assert path.with_suffix(".py").read_bytes() == (FOLDER / "00_start.py").read_bytes()
