"""What a run depends on: one record, and one table of defaults for each model on each data set.

A new option is a field of `Config` with its help, an entry in the defaults of those that have it, and the line that
uses it. The command line and the cards of published models are made from here. Nothing is imported that needs torch,
so that `diffusion-edu --help` answers at once.
"""

import math
from dataclasses import dataclass, field, fields
from typing import Any

EVERY = {"seed": 0, "shards": 1, "precision": "float32", "start": None}
DIFFUSION = {"schedule": "cosine", "T": 1000, "beta_1": None, "beta_T": None, "loss": "simple", "labels": False}
DIFFUSIONS = {"ddpm": DIFFUSION, "flow": {"T": 1000}}
BOUND = {"kl_weight": 1.0}
OPTIONS = DIFFUSIONS | {"vae": BOUND, "hvae": BOUND, "latent": {"T": 1000, "kl_weight": 0.25}}
DEFAULTS = {
    ("vae", "swiss-roll"): {"steps": 16_000, "width": 128, "batch": 512},
    ("hvae", "swiss-roll"): {"steps": 5_500, "width": 128, "batch": 512},
    ("ddpm", "swiss-roll"): {"steps": 16_000, "width": 128, "batch": 512},
    ("flow", "swiss-roll"): {"steps": 16_000, "width": 128, "batch": 512},
    ("latent", "swiss-roll"): {"steps": 6_000, "vae_steps": 4_000, "width": 128, "batch": 512},
    # There are 1,437 digits: more steps only overfit.
    ("vae", "digits"): {"steps": 1_500, "width": 256, "batch": 512},
    ("hvae", "digits"): {"steps": 1_000, "width": 256, "batch": 512},
    ("ddpm", "digits"): {"steps": 4_000, "width": 512, "batch": 512},
    ("flow", "digits"): {"steps": 4_000, "width": 512, "batch": 512},
    ("latent", "digits"): {"steps": 1_500, "vae_steps": 1_500, "width": 256, "batch": 512},
    # An hour of one CPU core. With a GPU take a width of 64 or 96 and batches of 512.
    ("vae", "mnist"): {"steps": 12_000, "width": 24, "batch": 128},
    ("hvae", "mnist"): {"steps": 12_000, "width": 24, "batch": 128, "mixing": 64},
    ("ddpm", "mnist"): {"steps": 14_000, "width": 32, "batch": 128, "mixing": 256},
    ("flow", "mnist"): {"steps": 14_000, "width": 32, "batch": 128, "mixing": 256},
    ("latent", "mnist"): {"steps": 30_000, "vae_steps": 12_000, "width": 24, "batch": 128},
    ("vae", "mnist-binary"): {"steps": 12_000, "width": 24, "batch": 128},
    ("hvae", "mnist-binary"): {"steps": 12_000, "width": 24, "batch": 128, "mixing": 64},
}
MOST = 10**12  # of any number of things: no memory holds more
MODELS, DATA = (tuple(dict.fromkeys(names)) for names in zip(*DEFAULTS, strict=True))


def option(help: str = "", kind: type = int, least: int | None = None, one_of: tuple[str, ...] = ()) -> Any:
    """A field of Config. None: the default of this model on this data. Without help it is no option of the command
    line."""
    return field(default=None, metadata={"help": help, "kind": kind, "least": least, "one_of": one_of})


@dataclass(frozen=True)
class Config:
    """Everything a run depends on. What this model on this data does not have is None.

    Raises ValueError, naming the option, for a value that is not allowed and for an option that the model does not
    have.
    """

    model: str
    data: str
    seed: int = option("default 0", least=0)
    steps: int = option("gradient steps; default depends on the model", least=1)
    schedule: str | None = option("ddpm: cosine (default), linear, sigmoid, constant or learned", str)
    T: int | None = option("ddpm, flow, latent: number of noise levels; default 1000")
    beta_1: float | None = option("linear, sigmoid: the first β", float)
    beta_T: float | None = option("linear, sigmoid: the last β", float)
    loss: str | None = option(
        "ddpm: simple (default), bound, for bits, or min-snr, for pictures", str, one_of=("simple", "bound", "min-snr")
    )
    labels: bool | None = option(
        "ddpm: learn p(x|label) beside p(x); the labels are dropped in a tenth of a batch", bool
    )
    vae_steps: int | None = option("latent: gradient steps of the first stage, the VAE", least=1)
    kl_weight: float = option(
        "vae, hvae, latent: of the KL in the loss; default 1, the bound; latent 0.25", float, least=0
    )
    width: int = option("of the networks, a multiple of 8; default depends on the model", least=8)
    mixing: int | None = option(least=0)  # features of the layers that see the whole picture; 0: no such layers
    batch: int = option("data points per step; default depends on the model", least=1)
    shards: int = option("parts of the batch, one after the other; default 1, or one per process", least=1)
    precision: str = option(
        "of the networks' insides: bfloat16 (default on cuda) or float32", str, one_of=("float32", "bfloat16")
    )
    start: str | None = option("go on from a model: the directory of a run, or a published name", str)

    def __post_init__(self):
        for name, value, known in (("model", self.model, MODELS), ("data set", self.data, DATA)):
            if value not in known:
                raise ValueError(f"unknown {name} {value!r}; known: {', '.join(known)}")
        default = defaults(self.model, self.data)
        for f in fields(self)[2:]:
            value = getattr(self, f.name)
            if value is None:
                object.__setattr__(self, f.name, default.get(f.name))
            elif f.name not in default:
                own = ", ".join(default)
                raise ValueError(f"{f.name} is not for a {self.model} on {self.data}, which has {own}")
            else:
                _check(f.name, value, **f.metadata)
        if self.width % 8:
            raise ValueError(f"width must be a multiple of 8, got {self.width}")
        if self.seed >= 2**32 - 1:  # what scikit-learn takes
            raise ValueError(f"seed must be at most {2**32 - 2}, got {self.seed}")
        if self.batch % self.shards:
            raise ValueError(f"a batch of {self.batch} cannot be made of {self.shards} equal shards")
        if self.T is not None:
            self.noise_schedule()

    def noise_schedule(self):
        """The schedule of a ddpm, a flow or a latent diffusion; of a learned one the grid from which it starts.
        ValueError if there is none."""
        from .schedules import before_learning, cosine, make_schedule

        if self.model == "latent" and self.T is not None:
            return cosine(self.T)
        if self.model == "flow" and self.T is not None:
            from .flow import even_tau

            return even_tau(self.T)
        if self.schedule is None or self.T is None:
            raise ValueError(f"a {self.model} has no noise schedule")
        settings = {n: v for n in ("beta_1", "beta_T") if (v := getattr(self, n)) is not None}
        if settings and self.schedule not in ("linear", "sigmoid"):
            raise ValueError(f"{', '.join(settings)}: for the schedules linear and sigmoid, not {self.schedule}")
        if self.schedule == "learned":
            if self.labels:
                raise ValueError("labels are not for the schedule learned, whose loss knows none")
            if self.loss == "min-snr":
                raise ValueError("loss min-snr is not for the schedule learned, which has simple and bound")
            return before_learning(self.T)
        return make_schedule(self.schedule, self.T, **settings)

    def first_stage(self) -> "Config":
        """The run that trains the VAE of a latent diffusion. ValueError if the model is another."""
        if self.vae_steps is None:
            raise ValueError(f"a {self.model} has one stage, only a latent diffusion has two")
        shared = {name: getattr(self, name) for name in ("seed", "kl_weight", "width", "batch", "shards", "precision")}
        return Config("vae", self.data, steps=self.vae_steps, **shared)

    def command(self, out: str) -> str:
        """The command that trains this run into `out`, every option stated, whatever the defaults become."""
        given = {f.name: v for f in options() if (v := getattr(self, f.name)) is not None}
        words = [flag(n) if v is True else f"{flag(n)} {v}" for n, v in given.items() if v is not False]
        return " ".join([f"diffusion-edu train {self.model} --data {self.data}", *words, f"--out {out}"])


def defaults(model: str, data: str) -> dict:
    """The options that a model on a data set has, with their defaults. ValueError if there is no such pair."""
    if (model, data) not in DEFAULTS:
        known = ", ".join(m for m, d in DEFAULTS if d == data)
        raise ValueError(f"{data} has {known}, not {model}: its pixels are binary")
    return EVERY | OPTIONS.get(model, {}) | DEFAULTS[model, data]


def options() -> list:
    """The fields that are options of the command line."""
    return [f for f in fields(Config) if f.metadata.get("help")]


def flag(name: str) -> str:
    """The name of an option on the command line."""
    return "--" + name.replace("_", "-")


def _check(name: str, value, help: str, kind: type, least: int | None, one_of: tuple[str, ...]) -> None:
    if one_of and value not in one_of:
        raise ValueError(f"unknown {name} {value!r}; known: {', '.join(one_of)}")
    if type(value) is not kind and not (kind is float and type(value) is int):
        what = {int: "an integer", float: "a number", str: "a name", bool: "true or false"}[kind]
        raise ValueError(f"{name} must be {what}, got {value!r}")
    if kind is int and value > MOST:
        raise ValueError(f"{name} must be at most {MOST:,}, got {value}")
    if least is not None and not value >= least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    if kind is float and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
