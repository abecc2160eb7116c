"""python tools/bench/levels.py [FILE]: other ways to train the chains of notebook 02, on the swiss roll.

Two levels with q from the top down, q(z₂|x) q(z₁|z₂, x), beside the Markov chain from the bottom up; and what warm-up
and free bits do for a plain chain of three levels, whose upper levels collapse. Each row is written as soon as it is
known; notebook 02 reads diffusion_edu/pretrained/levels.csv. About ten minutes of one core.
"""

import csv
import sys
from pathlib import Path

import torch
from torch import Tensor

from diffusion_edu import bound, evaluate, pretrained
from diffusion_edu.data import SwissRoll
from diffusion_edu.gaussian import Gaussian
from diffusion_edu.hvae import HVAE
from diffusion_edu.nets import GaussianNet
from diffusion_edu.oracles import Mixture
from diffusion_edu.training import Trainer, elbo_loss

ROLL, SEEDS = SwissRoll(), {"top-down": (0, 1), "top-down, own network": (0,)}  # three of each of the short ones
LONG = {"steps": 12_000, "batch": 512}  # as tools/roll_chains.py trains
SHORT = {"steps": 1000, "batch": 256}
WARM_UP, FREE = 500, 0.5  # steps in which the KL weight rises to 1; nats that a level may cost for nothing
FILE = Path(pretrained.__file__).parent / "levels.csv"
COLUMNS: tuple[str, ...] = ("chain", "seed", "distance", "distance_se", "iwae", "iwae_se", "off", "information")


class TopDown(HVAE):
    """Two levels with q(z₂|x) q(z₁|z₂, x). The networks are those of the Markov chain: z₂ is told from the mean of
    q(z₁|x), without a draw, and z₁ is then seen from both sides, by what its encoder says from x and by p(z₁|z₂):
    precisions add (Sønderby et al. 2016)."""

    def __init__(self):
        super().__init__(levels=2)

    def q_both(self, x: Tensor, z2: Tensor) -> Gaussian:
        """q(z₁|z₂, x)."""
        below, above = self.q(1, x), self.p(1, z2)
        precision = 1 / below.var + 1 / above.var
        return Gaussian((below.mean / below.var + above.mean / above.var) / precision, 1 / precision)

    def log_ratio(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """One draw of log p(x, z₁, z₂) − log q(z₁, z₂|x) for each point of x (..., 2), nats."""
        q2 = self.q(2, self.q(1, x).mean)
        z2 = q2.sample(generator)
        q1 = self.q_both(x, z2)
        z1 = q1.sample(generator)
        log_p = self.prior().log_prob(z2) + self.p(1, z2).log_prob(z1) + self.p(0, z1).log_prob(x)
        return log_p - q2.log_prob(z2) - q1.log_prob(z1)


class TopDownNet(TopDown):
    """The same with a network of its own for q(z₁|z₂, x), which sees both and adds a step to x."""

    def __init__(self):
        super().__init__()
        self.both = GaussianNet(4, 2, log_var=-4.0)

    def q_both(self, x: Tensor, z2: Tensor) -> Gaussian:
        step = self.both(torch.cat([x, z2], dim=-1))
        return Gaussian(x + step.mean, step.var)


def top_down_loss(model: TopDown, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    return {"loss": -model.log_ratio(x, generator).mean()}


def plain_chain() -> HVAE:
    """Three levels whose networks return the mean itself, not a step from their input."""
    model = HVAE(levels=3)
    model.encoders = torch.nn.ModuleList(GaussianNet(2, 2, log_var=v) for v in (-4.0, -2.0, -2.0))
    model.decoders = torch.nn.ModuleList(GaussianNet(2, 2, log_var=-2.0) for _ in range(3))
    return model


def warm_up_loss(steps: int = WARM_UP):
    """−ELBO with a KL weight that rises from 0 to 1 in so many steps (Sønderby et al. 2016)."""
    step = iter(range(10**9))
    return lambda model, x, generator: elbo_loss(min(1.0, next(step) / steps))(model, x, generator)


def free_bits_loss(free: float = FREE):
    """−ELBO in which the mean cost of each level counts only above `free` nats (Kingma et al. 2016)."""

    def loss(model: HVAE, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        b = bound.bound(x, model, generator)
        costs = [*(-b.consistency).mean(1), -b.prior.mean()]
        return {"loss": -b.reconstruction.mean() + sum(cost.clamp(min=free) for cost in costs)}

    return loss


RUNS = {  # name: (model, loss, training)
    "plain": (plain_chain, elbo_loss, SHORT),
    "plain, warm-up": (plain_chain, warm_up_loss, SHORT),
    "plain, free bits": (plain_chain, free_bits_loss, SHORT),
    "near the identity": (lambda: HVAE(levels=3), elbo_loss, SHORT),
    "top-down": (TopDown, lambda: top_down_loss, LONG),
    "top-down, own network": (TopDownNet, lambda: top_down_loss, LONG),
}


def train(name: str, seed: int) -> HVAE:
    make, loss, training = RUNS[name]
    torch.manual_seed(seed)
    trainer = Trainer(make(), loss(), ROLL.sample(100_000, seed=1).float(), seed=seed, **training)
    for _ in trainer.run(progress=False):
        pass
    return trainer.model.requires_grad_(False)


def information(model: HVAE) -> list[float]:
    """I(z_{t−1}; z_t) of each level of a Markov chain, nats, (2.16)."""
    g, found = torch.Generator().manual_seed(41), []
    z, z_mix = ROLL.sample(2000, seed=2).float(), ROLL.sample(10_000, seed=40).float()
    for t in range(1, model.levels + 1):
        q, q_mix = model.q(t, z), model.q(t, z_mix)
        aggregate = Mixture(torch.ones(len(z_mix)), q_mix.mean, q_mix.var)
        z, z_mix = q.sample(g), q_mix.sample(g)
        found.append((q.log_prob(z) - aggregate.log_prob(z)).mean().item())
    return found


def score(name: str, model: HVAE) -> dict[str, float | str]:
    """A row but for its first two columns: distance to H of the bound over 10,000 fresh points, and of the importance-
    weighted one of 100 draws over 1,000 of them, nats; the share of 10,000 samples off the roll."""
    x, g = ROLL.sample(10_000, seed=2), torch.Generator().manual_seed(30)
    log_p = ROLL.log_prob(x)
    if isinstance(model, TopDown):
        elbo = model.log_ratio(x.float(), g)
        log_w = model.log_ratio(x[:1000].float().expand(100, 1000, 2), g)
    else:
        elbo = evaluate.score_chain(x.float(), model, g).elbo
        log_w = bound.log_weights(x[:1000].float(), model, 100, g)
    distance, iwae = (evaluate.mean_and_error(log_p[: len(b)] - b) for b in (elbo, bound.importance_weighted(log_w)))
    off = evaluate.outlier_share(bound.generate(model, 10_000, torch.Generator().manual_seed(51)), ROLL)
    known = "" if isinstance(model, TopDown) else " ".join(f"{nats:.3f}" for nats in information(model))
    values = (f"{value:.4f}" for value in (*distance, *iwae, off))
    return dict(zip(COLUMNS[2:], (*values, known), strict=True))


def main() -> None:
    with Path(sys.argv[1] if len(sys.argv) > 1 else FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for name in RUNS:
            for seed in SEEDS.get(name, (0, 1, 2)):
                writer.writerow({"chain": name, "seed": seed} | score(name, train(name, seed)))
                file.flush()


if __name__ == "__main__":
    main()
