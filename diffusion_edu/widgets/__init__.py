"""Widgets that move without a kernel, one line each in a notebook. They need the `lab` extra."""

from .bound_explorer import bound_explorer
from .density_film import density_film
from .flow_steps import flow_steps
from .forward_film import forward_film
from .guidance_dial import guidance_dial
from .hvae_ladder import hvae_ladder
from .inpainting_line import inpainting_line
from .knot_explorer import knot_explorer
from .langevin_walk import langevin_walk
from .latent_explorer import latent_explorer
from .leaving_time import leaving_time
from .posterior_explorer import posterior_explorer
from .reverse_film import reverse_film
from .reverse_paths import reverse_paths
from .schedule_explorer import schedule_explorer

__all__ = [
    "bound_explorer",
    "density_film",
    "flow_steps",
    "forward_film",
    "guidance_dial",
    "hvae_ladder",
    "inpainting_line",
    "knot_explorer",
    "langevin_walk",
    "latent_explorer",
    "leaving_time",
    "posterior_explorer",
    "reverse_film",
    "reverse_paths",
    "schedule_explorer",
]
