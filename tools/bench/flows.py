"""python tools/bench/flows.py: six networks of the roll, trained for equal seconds, by number of calls.

A DDPM and five flows, three seeds each, thirty seconds of one core each. Two files for notebook 10 in
diffusion_edu/pretrained: flows.csv, samples by number of calls, and flow-nets.csv, straightness, transport and
likelihood. About half an hour of one quiet core.
"""

import csv
import time
from collections.abc import Callable
from pathlib import Path

import torch

from diffusion_edu import evaluate, flow, pretrained, training
from diffusion_edu.data import SwissRoll
from diffusion_edu.ddpm import DDPM
from diffusion_edu.likelihood import log_prob_ode, with_divergence
from diffusion_edu.nets import EpsNet
from diffusion_edu.oracles import exact_denoiser
from diffusion_edu.samplers import sample
from diffusion_edu.sampling import SAMPLERS
from diffusion_edu.schedules import cosine
from diffusion_edu.sde import exact_x0_hat, heun, learned_score, probability_flow
from diffusion_edu.training.losses import flow_loss

ROLL, SECONDS, SEEDS, N, PAIRS, CALLS = SwissRoll(), 30, 3, 3_000, 20_000, (1, 2, 4, 8, 16, 32, 64)
FOLDER = Path(pretrained.__file__).parent
BY_CALLS = ("net", "sampler", "calls", "seed", "energy", "log_p", "off")
NETS = ("net", "seed", "steps", "straightness", "transport", "gap", "gap_se")
IN_T = ("ancestral", "ancestral-2m", "ddim", "ddim-2m")


def trained(loss, schedule, data: torch.Tensor, seed: int) -> DDPM:
    """A network trained for as many steps as fit into the seconds, judged by a hundred of them."""

    def begin(steps: int) -> training.Trainer:
        torch.manual_seed(seed)
        return training.Trainer(DDPM(EpsNet(2, schedule), schedule, 2), loss, data, steps, seed=seed)

    trial, start = begin(100), time.process_time()
    for _ in trial.run(progress=False):
        pass
    trainer = begin(int(100 * SECONDS / (time.process_time() - start)))
    for _ in trainer.run(progress=False):
        pass
    trainer.ema.steps = trainer.steps
    return trainer.ema.eval().requires_grad_(False)


def pairs(u, seed: int) -> torch.Tensor:
    """(x₀, ε), (PAIRS, 4): noise and where the flow takes it, in 60 steps of Heun."""
    eps = torch.randn(PAIRS, 2, generator=torch.Generator().manual_seed(900 + seed))
    return torch.cat([flow.arrive(u, eps, 60, heun).float(), eps], dim=1)


def networks(seed: int) -> dict[str, DDPM]:
    """All of one seed."""
    tau, points = flow.even_tau(1000), ROLL.train_points(200_000, seed)
    nets = {"ddpm": trained(training.eps_loss(), cosine(), points, seed)}
    nets["flow"] = trained(flow_loss(), tau, points, seed)
    nets["ot 64"] = trained(flow_loss(flow.ot_pairs), tau, points, seed)
    nets["ot 512"] = trained(flow_loss(lambda x0, eps: flow.ot_pairs(x0, eps, 512)), tau, points, seed)
    exact = flow.velocity(exact_x0_hat(ROLL))
    nets["rectified, exact"] = trained(flow_loss(), tau, pairs(lambda t, x: exact(t, x.double()), seed), seed)
    nets["rectified, own"] = trained(flow_loss(), tau, pairs(flow.velocity_of(nets["flow"]), seed), seed)
    return nets


def judged(x: torch.Tensor, seed: int) -> dict[str, str]:
    """Energy distance from a true set over its floor, E log p + H, and the share off the roll."""
    truth, floor = ROLL.sample(N, 40_000 + seed), evaluate.noise_floor(evaluate.energy_distance, ROLL, N)
    return {
        "energy": f"{evaluate.energy_distance(x, truth) / floor:.3f}",
        "log_p": f"{evaluate.mean_log_prob(x, ROLL) + ROLL.entropy():.4f}",
        "off": f"{evaluate.outlier_share(x, ROLL):.4f}",
    }


def samplers(model: DDPM | None, calls: int, seed: int) -> dict[str, Callable[[], torch.Tensor]]:
    """How a network, or the exact denoiser, is sampled with that many calls."""
    generator = torch.Generator().manual_seed(700 + seed)
    x_T = torch.randn(N, 2, generator=generator).to(torch.float64 if model is None else torch.float32)
    u = flow.velocity(exact_x0_hat(ROLL)) if model is None else flow.velocity_of(model)
    ways = {"euler": lambda: flow.arrive(u, x_T, calls)}
    if calls > 1:
        ways["heun"] = lambda: flow.arrive(u, x_T, calls // 2 + 1, heun)  # two calls a step, one for the last
    if model is None or model.schedule.log_snr[-1] < -15:  # the cosine schedule
        denoiser = exact_denoiser(ROLL, cosine().alpha_bar) if model is None else model.x0_hat
        for name in IN_T:
            settings = {"step": SAMPLERS[name].step, "steps": calls, "generator": generator}
            ways[name] = lambda settings=settings: sample(denoiser, cosine(), x_T, **settings)
    return ways


def of_net(model: DDPM, seed: int) -> dict[str, str]:
    """Straightness, E|ε − x₀|² and −log p − H of 1,000 points by the network's flow."""
    u, x = flow.velocity_of(model), ROLL.sample(1000, 5_000_000 + seed)
    eps = torch.randn(N, 2, generator=torch.Generator().manual_seed(800 + seed))
    ends = (1 - 1e-6) * model.schedule.log_snr[1].item(), max(-8.0, (1 - 1e-6) * model.schedule.log_snr[-1].item())
    ode = log_prob_ode(with_divergence(probability_flow(learned_score(model))), x, *ends, rtol=1e-5)
    gap, se = evaluate.mean_and_error(ROLL.log_prob(x) - ode.log_p)
    transport = (eps - flow.arrive(u, eps, 100, heun)).square().sum(-1).mean()
    straight = flow.straightness(u, eps, 100, heun)
    return {
        "straightness": f"{straight:.4f}",
        "transport": f"{transport:.4f}",
        "gap": f"{gap:.4f}",
        "gap_se": f"{se:.4f}",
    }


@torch.no_grad()
def main() -> None:
    """Both files, a row as soon as it is known."""
    with (
        open(FOLDER / "flows.csv", "w", newline="", encoding="utf-8") as a,
        open(FOLDER / "flow-nets.csv", "w", newline="", encoding="utf-8") as b,
    ):
        rows, nets = (csv.DictWriter(f, names, lineterminator="\n") for f, names in ((a, BY_CALLS), (b, NETS)))
        rows.writeheader()
        nets.writeheader()
        for seed in range(SEEDS):
            with torch.enable_grad():
                found: dict[str, DDPM | None] = {"exact": None, **networks(seed)}
            for name, model in found.items():
                for calls in CALLS:
                    for sampler, draw in samplers(model, calls, seed).items():
                        row = {"net": name, "sampler": sampler, "calls": calls, "seed": seed}
                        rows.writerow(row | judged(draw(), seed))
                        a.flush()
                if model is not None:
                    nets.writerow({"net": name, "seed": seed, "steps": model.steps} | of_net(model, seed))
                    b.flush()


if __name__ == "__main__":
    main()
