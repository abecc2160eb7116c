"""The closing page: all models of the roll on one ruler, and images in bits. No number is typed: each is read from a
card, a table in diffusion_edu/pretrained, or the benchmark's results, when the page is built."""

import json
import math
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective, SphinxRole

from diffusion_edu import exact, pretrained, schedules
from diffusion_edu.data import SwissRoll

RESULTS = Path(__file__).resolve().parents[2] / "tools" / "bench" / "results.json"
LOWEST, HIGHEST = 0.005, 2.0  # the ends of the ruler, nats above H


class Row(NamedTuple):
    """A model, its notebook, its distance to H or bits, what the ± covers, and where the numbers are from."""

    name: str
    notebook: str
    value: float
    spread: float
    source: str


def _bench(what: str) -> tuple[float, float, str]:
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["parts"]["models"]
    (row,) = (row for row in rows if row["what"] == what)
    return row["value"], row["error"], "`make bench`"


def _seeds(table: str, column: str = "gap", **wanted: str) -> tuple[float, float, str]:
    """The mean over the seeds of a table and half their range."""
    rows = [r for r in pretrained.table(table) if all(r[key] == value for key, value in wanted.items())]
    values = [float(row[column]) for row in rows]
    return sum(values) / len(values), (max(values) - min(values)) / 2, f"`{table}.csv`, {len(values)} seeds"


def roll() -> list[Row]:
    """The models of the roll, −bound or −log p in nats above H."""
    nothing = 1 + math.log(2 * math.pi) - pretrained.card("cosine")["entropy"]
    no_network = exact.price(SwissRoll(), schedules.cosine(1000))
    found = {
        ("A unit Gaussian, nothing learned", "00_start"): (nothing, 0.0, "exact"),
        ("VAE", "01_vae"): _bench("VAE, latent 2: −ELBO − H after 16,000 steps, nats"),
        ("HVAE, three levels", "02_hvae"): _bench("HVAE, 3 levels: −ELBO − H after 5,500 steps, nats"),
        ("The exact denoiser, T = 1000", "03_diffusion"): (no_network, 0.0, "exact"),
        ("DDPM, T = 1000, σ² = β", "04_ddpm"): _bench("DDPM, T = 1000, σ² = β: −ELBO − H after 16,000 steps, nats"),
        ("DDPM, T = 1000, best σ²", "04_ddpm"): _bench("DDPM, T = 1000, optimal σ: −ELBO − H after 16,000 steps, nats"),
        ("DDPM, T = 50, cosine", "08_learned_noise"): _schedule("cosine"),
        ("DDPM, T = 50, learned schedule", "08_learned_noise"): _schedule("learned"),
        ("DDPM, by its ODE", "10_flow"): _seeds("flow-nets", net="ddpm"),
        ("Flow, by its ODE", "10_flow"): _seeds("flow-nets", net="flow"),
        ("Flow, rectified, by its ODE", "10_flow"): _seeds("flow-nets", net="rectified, own"),
        ("VAE and a mixture", "11_latent"): _seeds("latent_start", prior="mixture"),
        ("VAE and a diffusion, fresh network", "11_latent"): _seeds("latent_start", prior="fresh network"),
        ("VAE and a diffusion, first a chessboard", "11_latent"): _seeds("latent_start", prior="first a chessboard"),
        ("Fixed noise in q, and a diffusion", "11_latent"): _latent("diffusion"),
        ("Fixed noise in q, and a mixture", "11_latent"): _latent("mixture"),
    }
    return [Row(name, notebook, *rest) for (name, notebook), rest in found.items()]


def _schedule(kind: str) -> tuple[float, float, str]:
    return _seeds("learned_schedules", "value", data="swiss-roll", schedule=kind, T="50")


def _latent(prior: str) -> tuple[float, float, str]:
    return _seeds("latent_roll", encoder="fixed std", prior=prior)


def images() -> list[Row]:
    """Bits per dimension of test images."""
    digits = {row["quantity"]: row for row in pretrained.table("latent_digits")}
    rows = []
    for name, said in (("VAE", "VAE"), ("VAE and diffusion", "VAE and a diffusion"), ("DDPM", "DDPM, 23 s")):
        row = digits[f"bits, {name}"]
        at = (float(row["value"]), float(row["se"]), "`latent_digits.csv`")
        rows.append(Row(f"Digits, 8 × 8: {said}", "11_latent", *at))
    for name, said in (("mnist-vae", "VAE"), ("mnist-hvae", "HVAE"), ("mnist-ddpm", "DDPM")):
        test = pretrained.card(name)["test"]
        error = test["bits_per_dim"] * test["neg_elbo_se"] / test["neg_elbo"]
        rows.append(Row(f"MNIST: {said}", "05_mnist", test["bits_per_dim"], error, f"card of `{name}`"))
    short = {
        "small DDPM": ("ddpm", ""),
        "small VAE": ("vae, weight 1", "N(0, I)"),
        "the same VAE and a diffusion": ("vae, weight 1", "diffusion"),
    }
    for said, (model, prior) in short.items():
        found = _seeds("latent_mnist", "bits", model=model, prior=prior)
        rows.append(Row(f"MNIST, two minutes of a core: {said}", "11_latent", *found))
    return rows


def worth() -> dict[str, str]:
    """The numbers of the page's text by name, in nats, as they are printed."""
    at = {row.name: row.value for row in roll()}
    digits = {row["quantity"]: float(row["value"]) for row in pretrained.table("latent_digits")}
    (leave,) = (float(r["cost"]) for r in pretrained.table("leaving") if r["t_star"] == "800")
    guided = pretrained.measured("guidance", "label", "weight", "sampler")["middle", "2.0", "flow"]["kl"][0]
    vae, ddpm = at["VAE"], at["DDPM, T = 1000, best σ²"]
    numbers = {
        "H": pretrained.card("cosine")["entropy"],
        "bound": at["A unit Gaussian, nothing learned"] - vae,
        "levels": vae - at["HVAE, three levels"],
        "noise": at["HVAE, three levels"] - ddpm,
        "steps": at["The exact denoiser, T = 1000"],
        "sigma": at["DDPM, T = 1000, σ² = β"] - ddpm,
        "schedule": at["DDPM, T = 50, cosine"] - at["DDPM, T = 50, learned schedule"],
        "guidance": guided,
        "flow": abs(at["DDPM, by its ODE"] - at["Flow, by its ODE"]),
        "rectified": at["Flow, rectified, by its ODE"] - at["Flow, by its ODE"],
        "hole": _seeds("latent_start", prior="N(0, I)")[0] - at["VAE and a mixture"],
        "blind": _seeds("latent_start", prior="N(0, I)")[0] - at["VAE and a diffusion, fresh network"],
        "two stages": at["Fixed noise in q, and a diffusion"],
        "memory": digits["aggregate, training codes"],
        "no memory": digits["aggregate, test codes"],
        "leaving": leave,
        "on MNIST": _seeds("latent_mnist", "gain", model="vae, weight 1", prior="diffusion")[0],
    }
    return {name: f"{value:.{3 if abs(value) < 2 else 2}f}".replace("-", "−") for name, value in numbers.items()}


def place(value: float) -> float:
    """Where a distance lies on the ruler, from 0 at LOWEST to 1 at HIGHEST, in logarithms."""
    return math.log(value / LOWEST) / math.log(HIGHEST / LOWEST)


def drawing(rows: list[Row]) -> str:
    """The ruler in HTML: a line and a point for each model, the best below."""
    marks = "".join(f'<i style="left:{100 * place(v):.2f}%"><b>{v:g}</b></i>' for v in (0.01, 0.1, 1.0))
    rows = sorted(rows, key=lambda row: -row.value)
    lines = "".join(
        f'<div>{row.name}</div><div class="bar"><span style="width:{100 * place(row.value):.2f}%"></span></div>'
        f"<div>{row.value:.3f}</div>"
        for row in rows
    )
    label = "Nats above H on a logarithmic ruler. " + "; ".join(f"{row.name} {row.value:.3f}" for row in rows)
    axis = f'<div></div><div class="marks">{marks}</div>'
    return f'<div class="closing-ruler" role="img" aria-label="{label}">{lines}{axis}</div>'


class Ruler(SphinxDirective):
    def run(self):
        return [nodes.raw("", drawing(roll()), format="html")]


class Table(SphinxDirective):
    """{closing-table}`roll` or `images`."""

    required_arguments = 1

    def run(self):
        rows, unit = {"roll": (roll(), "nats above H"), "images": (images(), "bits per dimension")}[self.arguments[0]]
        text = [f"| model | notebook | {unit} | from |", "| --- | --- | --- | --- |"]
        for row in rows:
            number = f"{row.value:.3f}" + (f"\u00a0±\u00a0{row.spread:.3f}" if row.spread else "")
            link = f"[{row.notebook[:2]}](notebooks/{row.notebook}.ipynb)"
            text.append(f"| {row.name} | {link} | {number} | {row.source} |")
        box = nodes.container()
        self.state.nested_parse(StringList(text, source=self.env.docname), self.content_offset, box)
        return box.children


class Worth(SphinxRole):
    """{worth}`levels`: a number of `worth()`."""

    def run(self):
        found = worth()
        if self.text not in found:
            return [], [self.inliner.reporter.error(f"no number {self.text!r}; known: {', '.join(found)}")]
        return [nodes.strong("", found[self.text])], []
