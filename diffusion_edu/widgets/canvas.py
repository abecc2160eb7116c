"""What the course's widgets have in common: ipywidgets controls, linked in the browser to one canvas.

Nothing here needs a running kernel: the links are JavaScript's own (`jslink`), the canvas computes and draws by
itself (canvas.js, maths.js), so a widget moves on the built website as it does in JupyterLab.
"""

from collections.abc import Mapping
from pathlib import Path

import anywidget
import ipywidgets
import numpy as np
import torch
from torch import Tensor, nn

FOLDER = Path(__file__).parent


def script(name: str) -> str:
    """The JavaScript of one widget: the shared files and its own, as one module. Every widget of a page carries all
    of it, so what only a reader of the files needs is left out: indents and lines of comment."""
    text = "\n".join((FOLDER / part).read_text(encoding="utf-8") for part in ("maths.js", "canvas.js", name))
    return "\n".join(line for line in map(str.strip, text.splitlines()) if line and not line.startswith("//"))


class Canvas(anywidget.AnyWidget):
    """The drawn half of a widget. A subclass sets `_esm = script("its.js")` and declares the traits that it reads."""

    _css = (FOLDER / "canvas.css").read_text(encoding="utf-8")


class Linked(ipywidgets.VBox):
    """Controls above a canvas. `controls` maps a trait of the canvas to the control that sets it, whose value (or,
    for a choice, whose index) is linked to the trait both ways, in the browser. `what` describes it in plain text,
    for readers and viewers that show no widgets."""

    def __init__(self, canvas: Canvas, controls: Mapping[str, ipywidgets.Widget], what: str):
        self.canvas, self.controls, self.what = canvas, controls, what
        self.links = [
            ipywidgets.jslink((control, _handle(control)), (canvas, name)) for name, control in controls.items()
        ]
        row = ipywidgets.HBox(list(controls.values()), layout={"flex_flow": "row wrap"})
        super().__init__([row, canvas] if controls else [canvas])
        self.add_class("dedu-box")

    def __repr__(self) -> str:
        return f"{self.what} (moves where widgets are shown: run the cell)"


def _handle(control: ipywidgets.Widget) -> str:
    return "index" if isinstance(control, ipywidgets.Dropdown) else "value"


def slider(name: str, value: float, low: float, high: float, step: float = 1, log: bool = False, digits: int = 2):
    """A slider called `name`: of integers if all its numbers are, of powers of ten if `log` (value, low and high are
    then still plain numbers; with no digits the canvas says the number), else of decimals."""
    style = {"description": name, "style": {"description_width": "initial"}, "layout": {"width": "300px"}}
    if log:
        ends = {"min": float(np.log10(low)), "max": float(np.log10(high))}
        style |= {"readout": digits > 0, "readout_format": f".{max(digits, 1)}g"}
        return ipywidgets.FloatLogSlider(value=value, **ends, step=step, **style)
    if all(isinstance(number, int) for number in (value, low, high, step)):
        return ipywidgets.IntSlider(value=value, min=low, max=high, step=step, **style)
    return ipywidgets.FloatSlider(value=value, min=low, max=high, step=step, readout_format=f".{digits}f", **style)


def choice(name: str, options: list[str], index: int = 0) -> ipywidgets.Dropdown:
    """A drop-down list called `name`; the canvas is told the index of the option."""
    style = {"style": {"description_width": "initial"}, "layout": {"width": "300px"}}
    return ipywidgets.Dropdown(options=options, index=index, description=name, **style)


def numbers(name: str, values, shape: tuple[int | None, ...]) -> np.ndarray:
    """`values` as a float64 array. ValueError naming the argument unless it has the `shape` (None: any positive
    size) and every number is finite."""
    array = values.detach().cpu().double().numpy() if isinstance(values, Tensor) else np.asarray(values, dtype=float)
    wanted = "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
    fits = array.ndim == len(shape) and all(
        got == size or (size is None and got > 0) for got, size in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} must have the shape {wanted}, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {int((~np.isfinite(array)).sum())} values that are not")
    return array


def rising(name: str, values) -> np.ndarray:
    """`values` as a float64 array (n,), ValueError unless they strictly increase."""
    array = numbers(name, values, (None,))
    if not (np.diff(array) > 0).all():
        raise ValueError(f"{name} must strictly increase, got {array.tolist()[:8]}")
    return array


def float32(array: np.ndarray) -> bytes:
    """Packed for the browser, which reads it with `floats(model, name)`."""
    return np.ascontiguousarray(array, dtype="<f4").tobytes()


def float64(array: np.ndarray) -> bytes:
    """Packed for the browser, which reads it with `doubles(model, name)`."""
    return np.ascontiguousarray(array, dtype="<f8").tobytes()


def float16(array: np.ndarray) -> bytes:
    """Rounded to 11 significant bits and packed for the browser, which reads it with `halves(model, name)`. ValueError
    if a number is too large for that, 65,504."""
    if not (np.abs(array) <= 65504).all():
        raise ValueError(f"half precision ends at 65,504, got {np.abs(array).max():g}")
    return np.ascontiguousarray(array, dtype="<f2").tobytes()


def noise(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Standard normal numbers, float64, a function of the seed alone."""
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).numpy()


def layers(net: nn.Module) -> tuple[list[int], np.ndarray]:
    """The sizes of the `nets.mlp` in a network and its weights in one row, float64: layer by layer the matrix (out, in)
    row by row, then the bias, as `mlp` of maths.js reads them."""
    linear = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    flat = [part.detach().cpu().double().flatten() for layer in linear for part in (layer.weight, layer.bias)]
    sizes = [linear[0].in_features] + [layer.out_features for layer in linear]
    return sizes, numbers("the weights", torch.cat(flat), (None,))
