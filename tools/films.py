"""make films: the course's films anew, from its published weights, into book/_assets/films."""

from pathlib import Path

import torch

from diffusion_edu import films, pretrained, samplers
from diffusion_edu.data import SwissRoll

FOLDER = Path(__file__).resolve().parents[1] / "book" / "_assets" / "films"


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(folder: Path = FOLDER) -> None:
    """forward: one path of q. reverse: DDIM, so that a colour can be followed back into the noise. ancestral: the
    reverse process itself, with fresh noise in each step. reverse.gif: for the README."""
    folder.mkdir(exist_ok=True)
    model, roll = pretrained.load("cosine"), SwissRoll()
    colours = films.arc_colours(roll)
    many, few = films.draw_points(colours, radius=1.8), films.draw_points(colours, radius=2.2)
    for end in ("mp4", "webm"):
        settings = {"frames": 80, "fps": 16, "generator": seeded(1)}
        x0 = roll.sample(500, seed=5)
        films.forward(x0, model.schedule, few, folder / f"forward.{end}", **settings)
        x_T = torch.randn(500, 2, generator=seeded(0))
        settings["generator"] = seeded(2)
        films.reverse(model.x0_hat, model.schedule, x_T, few, folder / f"ancestral.{end}", **settings)
        x_T = torch.randn(1500, 2, generator=seeded(0))
        settings = {"step": samplers.first_order(samplers.ddim), "frames": 100, "fps": 20}
        films.reverse(model.x0_hat, model.schedule, x_T, many, folder / f"reverse.{end}", **settings)
    x_T, small = torch.randn(600, 2, generator=seeded(0)), films.draw_points(colours, size=240, radius=1.6)
    settings |= {"frames": 40, "fps": 10}
    films.reverse(model.x0_hat, model.schedule, x_T, small, folder / "reverse.gif", **settings)


if __name__ == "__main__":
    make()
