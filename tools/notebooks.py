"""Executes the notebooks from their text, and checks that the stored ones are what the text says.

python tools/notebooks.py write [NN ...]   execute notebooks/NN_*.py (all without NN) into notebooks/NN_*.ipynb
python tools/notebooks.py check [NN ...]   say what is wrong with the stored notebooks
python tools/notebooks.py scripts [NN ...] give the stored widgets the library's scripts of today, executing nothing
python tools/notebooks.py prose [NN ...]   give the stored notebooks the Markdown of their texts, executing nothing
python tools/notebooks.py text NN [...]    give the texts the cells of notebooks that were edited in JupyterLab

Executed twice, a notebook comes out the same to the byte: ids are numbered and timings dropped. A cell that
fails leaves the stored notebook as it was, and so does anything typed into it after its text was written.
"""

import base64
import importlib
import io
import json
import os
import re
import sys
import time
import tokenize
from pathlib import Path

import jupytext
import nbformat
import numpy as np
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}
WIDTH = 80  # characters of a line of code
PYTHON = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
ANSI = re.compile(r"\x1b\[[0-9;]*m")
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|Users|private|mnt|opt)/|site-packages|\.venv|\b[A-Z]:\\")


def texts(names: list[str] | None = None) -> list[Path]:
    """The notebooks' text files, in order; with names, those whose file name starts with one of them."""
    return [p for p in sorted(FOLDER.glob("[0-9]*.py")) if not names or p.name.startswith(tuple(names))]


def execute(text: Path) -> nbformat.NotebookNode:
    """The notebook of a text file, executed in a fresh kernel of this interpreter, normalised."""
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    notebook = jupytext.read(text, fmt="py:percent")
    # No kernel folders to look in: "python3" is then the interpreter that runs this script.
    kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    client = NotebookClient(
        notebook, km=kernel, timeout=600, record_timing=False, coalesce_streams=True,
        resources={"metadata": {"path": str(text.parent)}}, extra_arguments=["--log-level=ERROR"],
    )  # fmt: skip
    client.execute()
    return normalised(notebook)


def normalised(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The same notebook with numbered cell and widget ids, no timings, no addresses, small PNGs and fixed metadata."""
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"c{number:03d}"
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            for kind in {"text/plain", "text/html"} & set(output.get("data", {})):
                output.data[kind] = re.sub(r"0x[0-9a-f]{6,16}", "0xADDR", output.data[kind])
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = small_png(output.data["image/png"])
    widgets = notebook.metadata.get("widgets", {})
    state = widgets.get(WIDGET_STATE, {}).get("state", {})
    ids = widget_ids(notebook, state)
    notebook.metadata = nbformat.from_dict(METADATA)
    if ids:
        widgets[WIDGET_STATE]["state"] = {i: state[i] for i in ids}  # what nothing shows goes
        notebook.metadata["widgets"] = widgets
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    source = json.dumps(notebook)
    for old, new in ids.items():
        source = source.replace(old, new)
    return nbformat.from_dict(json.loads(source))


def small_png(encoded: str) -> str:
    """A figure with the smallest palette that looks the same, a third of the bytes; one with a palette stays as it is.

    Averaged over blocks of 4 by 4 pixels, the channels of 99 % of the blocks stay within 2.5 of 255 levels: a sharp
    point or letter may lose a shade, a smooth area does not fall into bands.
    """
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    if image.mode == "P":
        return encoded
    image = image.convert("RGB")
    before = block_means(image)
    for colours in (32, 48, 64, 96, 128, 192, 256):
        palette = image.quantize(colours, method=Image.Quantize.MEDIANCUT, kmeans=1, dither=Image.Dither.NONE)
        if np.quantile(np.abs(block_means(palette.convert("RGB")) - before).max(-1), 0.99) <= 2.5:
            break
    stream = io.BytesIO()
    palette.save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def block_means(image: Image.Image, size: int = 4) -> np.ndarray:
    pixels = np.asarray(image, dtype=float)
    rows, columns = (max(1, n // size) for n in pixels.shape[:2])
    pixels = pixels[: rows * size, : columns * size]
    return pixels.reshape(rows, -1, columns, pixels.shape[1] // columns, 3).mean((1, 3))


def widget_ids(notebook: nbformat.NotebookNode, state: dict) -> dict[str, str]:
    """Random widget id → numbered id, for each widget that a shown one leads to and the links between these."""
    ids: dict[str, str] = {}

    def walk(i: str) -> None:
        if i in state and i not in ids:
            ids[i] = f"{len(ids) + 1:032x}"
            for j in references(i):
                walk(j)

    def references(i: str) -> list[str]:
        return re.findall(r"IPY_MODEL_([0-9a-f]+)", json.dumps(state[i], sort_keys=True))

    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            walk(output.get("data", {}).get(WIDGET_VIEW, {}).get("model_id", ""))
    links = {i: [ids.get(j, "") for j in references(i)] for i in state if "Link" in state[i]["model_name"]}
    for i in sorted(links, key=links.get):
        walk(i)
    return ids


def write(text: Path) -> None:
    """Executes a text file into the notebook beside it, which changes only if every cell succeeds. Raises ValueError
    if somebody wrote into the notebook."""
    keep_what_was_typed(text)
    store(execute(text), text.with_suffix(".ipynb"))


def keep_what_was_typed(text: Path) -> None:
    """Raises ValueError if the notebook beside a text is newer than it and has other cells."""
    path = text.with_suffix(".ipynb")
    if not path.exists() or path.stat().st_mtime <= text.stat().st_mtime:
        return
    if cells(nbformat.read(path, as_version=4)) != cells(jupytext.read(text, fmt="py:percent")):
        raise ValueError(
            f"{path.name} was edited after {text.name} and is left as it is. To take its cells into the text: "
            f"python tools/notebooks.py text {text.name[:2]}. To do without them, delete it first."
        )


def renew_text(path: Path) -> None:
    """Puts the cells of a stored notebook into its text, under the head that this has."""
    notebook, text = nbformat.read(path, as_version=4), path.with_suffix(".py")
    notebook.metadata = jupytext.read(text, fmt="py:percent").metadata
    text.write_text(jupytext.writes(notebook, fmt="py:percent"), encoding="utf-8", newline="\n")


def store(notebook: nbformat.NotebookNode, target: Path) -> None:
    """Writes a notebook whole or not at all."""
    part = target.with_name(f".{target.name}.part")
    try:
        part.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def problems(path: Path) -> list[str]:
    """What is wrong with a stored notebook: out of step with its text, not executed, or not normalised."""
    text, found = path.with_suffix(".py"), []
    if not text.exists():
        return [f"{path.name}: there is no {text.name}"]
    if not path.exists():
        return [f"{path.name}: not there; python tools/notebooks.py write {text.name[:2]}"]
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    if cells(notebook) != (other := cells(jupytext.read(text, fmt="py:percent"))):
        differ = [i for i, pair in enumerate(zip(cells(notebook), other, strict=False)) if pair[0] != pair[1]]
        found.append(f"out of step with {text.name} from cell {differ[0] if differ else 'count'} on")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        found.append("not executed from top to bottom")
    for number, cell in enumerate(code, start=1):
        found += [f"cell [{number}]: more than {WIDTH} characters: {long}" for long in long_lines(cell.source)]
        found += [f"cell [{number}] stored an error" for o in cell.outputs if o.output_type == "error"]
        if MACHINE_PATH.search(cell.source + json.dumps([o for o in cell.outputs if not is_image(o)])):
            found.append(f"cell [{number}] names a path of some machine")
        if any(small_png(png) != png for o in cell.outputs if (png := o.get("data", {}).get("image/png"))):
            found.append(f"cell [{number}] stored a PNG that `write` makes smaller")
    solutions = [part for cell in notebook.cells for part in PYTHON.findall(cell.source)]
    found += [f"a solution: more than {WIDTH} characters: {long}" for part in solutions for long in long_lines(part)]
    found += widget_problems(notebook)
    if {k: v for k, v in notebook.metadata.items() if k != "widgets"} != METADATA:
        found.append("metadata differ from what `write` stores")
    if [cell.id for cell in notebook.cells] != [f"c{i:03d}" for i in range(len(notebook.cells))]:
        found.append("cell ids are not c000, c001, …")
    if any("execution" in cell.metadata for cell in notebook.cells):
        found.append("execution times are stored")
    return [f"{path.name}: {problem}" for problem in found]


def statements(code: str) -> list[str]:
    """The first line of each statement, or of the head of a loop or a function, however many lines it takes."""
    found, start, lines = [], None, code.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(code + "\n").readline):
        if token.type == tokenize.NEWLINE:
            found.append(lines[start].strip())
            start = None
        elif start is None and token.type not in (tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT):
            start = token.start[0] - 1
    return found


def long_lines(code: str) -> list[str]:
    """The lines that a page or JupyterLab beside its table of contents cannot show whole."""
    return [line for line in code.split("\n") if len(line) > WIDTH]


def widget_problems(notebook: nbformat.NotebookNode) -> list[str]:
    """Why a widget of the notebook would not move on the website: parts of its state are not stored."""
    state, found = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {}), []
    parts = {i: re.findall(r"IPY_MODEL_([0-9a-f]+)", json.dumps(model)) for i, model in state.items()}
    linked = {i for model in state for i in parts[model] if "Link" in state[model]["model_name"]}
    for cell in notebook.cells:
        for data in [output.get("data", {}) for output in cell.get("outputs", [])]:
            if WIDGET_VIEW not in data and "(moves where widgets are shown" in str(data.get("text/plain")):
                found.append(f"{cell.id} shows a widget in words only")
            reach = [data[WIDGET_VIEW]["model_id"]] if WIDGET_VIEW in data else []
            for i in reach:
                reach += [j for j in parts.get(i, []) if j not in reach]
            if lost := [i for i in reach if i not in state]:
                found.append(f"{cell.id} shows a widget whose state is not stored ({len(lost)} of {len(reach)} models)")
            for i in set(reach) & set(state):
                name, values = state[i]["model_name"], state[i]["state"]
                if name == "AnyModel" and not values.get("_esm"):
                    found.append(f"{cell.id} shows a canvas without its script")
                elif name == "AnyModel" and any(values.get(k) != v for k, v in scripts_of(values).items()):
                    found.append(f"{cell.id} shows a canvas with an old script; python tools/notebooks.py scripts")
                if name.endswith(("SliderModel", "DropdownModel")) and i not in linked:
                    found.append(f"{cell.id} shows a control linked to nothing: {values.get('description', name)}")
    return found


def scripts_of(values: dict) -> dict[str, str]:
    """The script and the style that the library gives today to a stored canvas; empty if it is not the library's."""
    module, _, name = values.get("_anywidget_id", "").rpartition(".")
    if not module.startswith("diffusion_edu.widgets."):
        return {}
    widget = getattr(importlib.import_module(module), name)
    return {"_esm": str(widget._esm), "_css": str(widget._css)}


def renew_scripts(path: Path) -> None:
    """Puts the library's scripts of today into a stored notebook. What the widgets are told does not change."""
    notebook = nbformat.read(path, as_version=4)
    state = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    for model in state.values():
        model["state"].update(scripts_of(model["state"]))
    store(notebook, path)


def renew_prose(path: Path) -> None:
    """Puts the Markdown of a text into its stored notebook. Raises ValueError if its code is another one."""
    keep_what_was_typed(path.with_suffix(".py"))
    stored, notebook = nbformat.read(path, as_version=4), jupytext.read(path.with_suffix(".py"), fmt="py:percent")
    old, new = ([cell for cell in each.cells if cell.cell_type == "code"] for each in (stored, notebook))
    differ = [cell.source for cell, other in zip(new, old, strict=False) if cell.source.strip() != other.source.strip()]
    if differ or len(old) != len(new):
        raise ValueError(f"{path.name}: its code changed too, use write: {(differ or ['cells added or gone'])[0]}")
    for cell, other in zip(new, old, strict=True):
        cell.outputs, cell.execution_count = other.outputs, other.execution_count
    notebook.metadata["widgets"] = stored.metadata.get("widgets", {})
    store(normalised(notebook), path)


def cells(notebook: nbformat.NotebookNode) -> list[tuple]:
    """What the text and the notebook must agree on, cell by cell."""
    return [(c.cell_type, c.source.strip(), json.dumps(c.metadata, sort_keys=True)) for c in notebook.cells]


def is_image(output: nbformat.NotebookNode) -> bool:
    return any(kind.startswith("image/") for kind in output.get("data", {}))


def main(argv: list[str]) -> int:
    without = {"scripts": renew_scripts, "prose": renew_prose, "text": renew_text}  # executing nothing
    if not argv or argv[0] not in ("write", "check", *without) or argv == ["text"]:
        print(__doc__)
        return 2
    chosen, status = texts(argv[1:]), 0
    if argv[1:] and not chosen:
        print(f"no notebooks/{' or '.join(argv[1:])}*.py")
        return 2
    for text in chosen:
        try:
            if argv[0] in without:
                without[argv[0]](text.with_suffix(".ipynb"))
            if argv[0] == "write":
                start = time.monotonic()
                write(text)
                print(f"{text.stem}.ipynb written, {time.monotonic() - start:.0f} s")
        except CellExecutionError as error:
            print(f"{text.name}: a cell failed, {text.stem}.ipynb is left as it was\n{ANSI.sub('', str(error))}")
            status = 1
            continue
        except ValueError as error:
            print(error)
            status = 1
            continue
        for problem in problems(text.with_suffix(".ipynb")):
            print(problem)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
