"""Diffusion models, derived: the library that the course imports."""

__version__ = "0.1.0"

# The modules in reading order: each imports only from those before it. The library's page has the same parts.
PARTS = {
    "The bound": ("gaussian", "observations", "bound"),
    "Noise and networks": ("schedules", "nets"),
    "Autoencoders": ("vae", "hvae"),
    "Diffusion": ("oracles", "diffusion", "ddpm", "samplers"),
    "Score": ("score", "langevin", "fokker_planck"),
    "Differential equations": ("sde", "likelihood"),
    "Steering": ("guidance", "conditioning"),
    "Flow matching": ("flow",),
    "Images": ("files", "weights", "images"),
    "The ruler": ("data", "exact", "evaluate", "sampling"),
    "Learned noise": ("learned_noise",),
    "Latent and scales": ("latent", "scales"),
    "Training": ("config", "training", "pretrained"),
    "Figures, films and widgets": ("plots", "films", "widgets"),
    "Exercises": ("checks",),
    "The command line": ("cli", "__main__"),
}
