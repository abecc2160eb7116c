"""The first page: the coloured reverse film to drag, out of the runs that notebook 04 stores, and minutes."""

import base64
import json
import re
from pathlib import Path

import numpy as np
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

STATE = "application/vnd.jupyter.widget-state+json"
SIDES = ("learned", "exact")


def recorded(notebook: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """The traits of the reverse film that a notebook stores, and its packed arrays by name. ValueError without one."""
    models = json.loads(notebook.read_text(encoding="utf-8"))["metadata"].get("widgets", {}).get(STATE, {})
    for model in models.get("state", {}).values():
        if model["state"].get("_anywidget_id", "").endswith("reverse_film.ReverseCanvas"):
            types = {"states": "<i1", "states_scales": "<f4", "mixture": "<f8"}
            buffers = {b["path"][0]: base64.b64decode(b["data"]) for b in model["buffers"]}
            return model["state"], {name: np.frombuffer(buffers[name], kind) for name, kind in types.items()}
    raise ValueError(f"{notebook.name} must store a reverse film, got none")


def film_of(notebook: Path) -> dict:
    """Of each schedule the run with the most steps: its times, its states on both sides as whole numbers, and for each
    point of either side the place along the roll, 0 … 255, where it ends."""
    traits, arrays = recorded(notebook)
    states = arrays["states"].reshape(len(arrays["states_scales"]), -1)
    curve = arrays["mixture"].reshape(-1, 4)[:, 1:3]
    runs = []
    for name, films in zip(traits["about"]["names"], traits["films"], strict=True):
        film = films[-1]
        run = {"name": name, "t": film["t"], "T": film["T"], "steps": film["steps"]}
        for side in SIDES:
            points = states[film[side]].astype(float) * arrays["states_scales"][film[side]][:, None]
            small = np.round(points / 4 * 127).clip(-127, 127).astype("<i1")
            end = points[-1].reshape(-1, 1, 2)
            nearest = ((end - curve) ** 2).sum(-1).argmin(1) / (len(curve) - 1)
            places = np.round(255 * nearest).astype(np.uint8)
            off = film["outlier_share"][side]
            run[side] = {"x": text(small), "u": text(places), "off": off, "log_p": film["mean_log_p"][side]}
        runs.append(run)
    return {"points": states.shape[1] // 2, "entropy": traits["about"]["entropy"], "runs": runs}


def text(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


class LandingFilm(SphinxDirective):
    """The film with its controls. Its content describes it in words."""

    has_content = True

    def run(self):
        box = nodes.container(classes=["landing-film"])
        html = (
            '<canvas role="img" aria-label="Points in the plane, coloured by the place on a spiral where they end.">'
            "</canvas>"
            '<div class="landing-controls">'
            '<label class="time"><span>noise <output>t = 1000</output></span>'
            '<input type="range" min="0" max="1" step="0.002" value="0" aria-label="From noise to data"></label>'
            '<button type="button" class="play">Play</button>'
            '<div role="group" aria-label="Who removes the noise" class="who">'
            '<button type="button" value="learned" aria-pressed="true">learned</button>'
            '<button type="button" value="exact" aria-pressed="false">exact</button></div>'
            "<label>schedule <select></select></label></div>"
            '<p class="said" role="status"></p>'
        )
        box += nodes.raw("", html, format="html")
        self.state.nested_parse(self.content, self.content_offset, box)
        return [box]


def add_minutes(app, tree: nodes.document, docname: str) -> None:
    """In the first page's table, behind each notebook, how long it takes to read."""
    if docname != "intro":
        return
    minutes = {notebook.number: notebook.minutes() for notebook in app.course_linker.notebooks}
    for table in tree.findall(nodes.table):
        group = table[0]
        group["cols"] += 1
        group.insert(group.index(next(group.findall(nodes.thead))), nodes.colspec(colwidth=10))
        for row in group.findall(nodes.row):
            number = re.match(r"(\d\d) ", row.astext())
            said = f"{minutes[number[1]]}\u00a0min" if number and number[1] in minutes else "to read"
            row += nodes.entry("", nodes.paragraph("", said))


def write_film(app, error) -> None:
    if error or app.builder.format != "html":
        return
    source = Path(app.srcdir).parent / "notebooks" / "04_ddpm.ipynb"
    film = json.dumps(film_of(source), separators=(",", ":"))
    (Path(app.outdir) / "_static" / "landing-film.js").write_text(f"window.FILM = {film};\n", encoding="utf-8")
