"""Figures in one style. Colour has meaning everywhere: data grey, q blue, models orange, exact truth black,
error red (Okabe & Ito's colours, safe for the colour-blind); time runs from light to dark.

Every function takes its data first and an optional `ax`, and returns the axes.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap
from torch import Tensor

from .images.sheet import sheet

DATA, Q, MODEL, TRUTH, ERROR = "#8c8c8c", "#0072B2", "#E69F00", "#000000", "#D55E00"
EXTRA = ("#009E73", "#CC79A7", "#56B4E9")
TIME = LinearSegmentedColormap.from_list("time", ["#cfe6f5", "#0072B2", "#00263d"])
DENSITY = LinearSegmentedColormap.from_list("density", ["#ffffff", "#b8b8b8", "#1a1a1a"])
LIMIT = 2.4  # the standardised swiss roll fits in [−LIMIT, LIMIT]²


def use_style() -> None:
    """Sets matplotlib up for the whole course; call it once per notebook."""
    plt.rcParams.update(
        {
            "figure.dpi": 96,
            "figure.figsize": (6.4, 3.6),
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "axes.axisbelow": True,
            "legend.frameon": False,
            "font.size": 10,
            "axes.titlesize": 10,
            "image.cmap": "viridis",
        }
    )


def _numpy(x) -> np.ndarray:
    return x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)


def axes_row(n: int, size: float = 2.3, rows: int = 1):
    """A row of n axes (or `rows` rows) for points in the plane; returns the axes as a flat array."""
    _, axes = plt.subplots(rows, n, figsize=(size * n, size * rows + 0.25), squeeze=False, layout="constrained")
    return axes.ravel()


def points(
    x, ax=None, color=DATA, title: str = "", limit: float | None = LIMIT, size: float = 2.0, plane: str = "x", **style
):
    """Points (n, 2) in the plane of x, or of z, equal aspect."""
    ax = plt.gca() if ax is None else ax
    x = _numpy(x)
    ax.scatter(x[:, 0], x[:, 1], s=size, c=color, linewidths=0, **{"alpha": 0.6, **style})
    return _plane(ax, title, limit, plane)


def _plane(ax, title: str, limit: float | None, plane: str):
    """In a row of planes the first one alone has marks on its left."""
    ticks = [-2, 0, 2] if limit is None or limit >= 2 else [-1, 0, 1]
    ax.set(title=title, aspect="equal", xticks=ticks, yticks=ticks)
    if limit is not None:
        ax.set(xlim=(-limit, limit), ylim=(-limit, limit))
    ax.set_xlabel(f"{plane}, 1st coordinate", fontsize=8)
    ax.set_ylabel("2nd coordinate", fontsize=8)
    ax.label_outer()
    ax.grid(False)
    return ax


def grid(limit: float = LIMIT, n: int = 160) -> Tensor:
    """The n × n points of a regular grid on [−limit, limit]², (n·n, 2), float64."""
    axis = torch.linspace(-limit, limit, n, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)


def density(log_p, ax=None, title: str = "", limit: float = LIMIT, plane: str = "x"):
    """A density in grey from its log at the points of `grid(limit, n)`, shape (n·n,)."""
    ax = plt.gca() if ax is None else ax
    p = np.exp(_numpy(log_p))
    n = round(len(p) ** 0.5)
    ax.imshow(p.reshape(n, n).T, extent=(-limit, limit, -limit, limit), origin="lower", cmap=DENSITY)
    return _plane(ax, title, limit, plane)


def field(x, vectors, ax=None, color=MODEL, title: str = "", limit: float = LIMIT, scale: float | None = None):
    """Arrows `vectors` (n, 2) at the points x (n, 2)."""
    ax = plt.gca() if ax is None else ax
    x, v = _numpy(x), _numpy(vectors)
    ax.quiver(x[:, 0], x[:, 1], v[:, 0], v[:, 1], color=color, angles="xy", width=0.006, scale=scale)
    return _plane(ax, title, limit, "x")


def curve(x, y, ax=None, color=Q, label: str | None = None, error=None, **style):
    """A line, with a band of two standard errors if `error` is given."""
    ax = plt.gca() if ax is None else ax
    x, y = _numpy(x), _numpy(y)
    ax.plot(x, y, color=color, label=label, **style)
    if error is not None:
        e = 2 * _numpy(error)
        ax.fill_between(x, y - e, y + e, color=color, alpha=0.25, linewidth=0)
    return ax


def truth(x, y, ax=None, label: str | None = "exact", **style):
    """Theory: a thin black line, drawn over the simulation."""
    return curve(x, y, ax, color=TRUTH, label=label, **{"linewidth": 1.2, "zorder": 5, **style})


def ruler(entries: dict[str, float], entropy: float, ax=None, errors: dict[str, float] | None = None):
    """The course's ruler: each model's −bound in nats, from the entropy H (perfection) to the unit Gaussian."""
    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 0.9 + 0.34 * len(entries)))
    names = list(entries)
    for row, name in enumerate(names):
        ax.plot([entropy, entries[name]], [row, row], color=MODEL, alpha=0.4, linewidth=3)
        error = 2 * (errors or {}).get(name, 0.0)
        ax.errorbar(entries[name], row, xerr=error, fmt="o", color=MODEL, markersize=6)
        ax.annotate(f"{entries[name] - entropy:+.3f}", (entries[name], row), (9, -3), textcoords="offset points")
    ax.axvline(entropy, color=TRUTH, linewidth=1.2)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="−bound, nats per data point (label: distance to H)", ylim=(len(names) - 0.5, -0.5))
    ax.margins(x=0.14)
    return ax


def image_grid(images, ax=None, columns: int = 8, title: str = ""):
    """Images (n, H, W) in [0, 1] as one picture."""
    ax = plt.gca() if ax is None else ax
    ax.imshow(sheet(_numpy(images), columns), cmap="gray", vmin=0, vmax=1)
    ax.set(title=title, xticks=[], yticks=[])
    ax.grid(False)
    return ax
