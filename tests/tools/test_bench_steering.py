"""The tables of guidance and inpainting that notebook 09 reads: whole, and some of their rows computed again."""

import csv
import math

import pytest
import torch

from bench import steering as bench
from diffusion_edu import evaluate, guidance, likelihood, pretrained, sde

ROWS = {
    name: list(csv.DictReader((bench.FOLDER / f"{name}.csv").read_text(encoding="utf-8").splitlines()))
    for name in bench.TABLES
}


def test_the_tables_are_whole():
    key = ("label", "sampler", "weight", "seed")
    expected = {
        (label, sampler, str(w), str(seed))
        for label in bench.LABELS
        for sampler in ("truth", "flow", "ancestral", "particles", "particles-1")
        for w in bench.WEIGHTS
        for seed in range(bench.SEEDS)
    }
    assert {tuple(row[k] for k in key) for row in ROWS["guidance"]} == expected
    assert len(ROWS["guidance"]) == len(expected)
    methods = [(m, s, str(seed)) for m, s in bench.METHODS for seed in range(bench.SEEDS)]
    assert [(row["method"], row["setting"], row["seed"]) for row in ROWS["inpainting"]] == methods


@pytest.mark.parametrize(("label", "weight"), [("middle", 1.0), ("soft", 4.0)])
def test_nats_of_the_table_by_another_road(label, weight):
    """KL(guided ‖ tilted) of points that are followed *back* to noise, by an adaptive solver and with the divergence
    from automatic derivatives: within a tenth and the errors of both."""
    law = bench.Steered(label, weight)
    x, _ = law.flow(60, seed=8)
    plain, given = sde.exact_score(bench.ROLL), sde.exact_score(law.given)
    score = lambda log_snr, x: plain(log_snr, x) + weight * (given(log_snr, x) - plain(log_snr, x))  # noqa: E731
    back = likelihood.with_divergence(sde.probability_flow(score))
    log_p = likelihood.log_prob_ode(back, x, clean=11.0, noise=-8.0, rtol=1e-4).log_p
    kl, se = evaluate.mean_and_error(log_p - law.log_tilted(x))
    found = pretrained.measured("guidance", "label", "weight", "sampler")[label, str(weight), "flow"]["kl"][0]
    assert abs(kl - found) < 0.1 * found + 4 * se + 0.002


def pushed(law: bench.Steered, x: torch.Tensor, steps: int = 80) -> torch.Tensor:
    """The end of the guided path from x at λ = −8.7, by the denoisers and the 3/8 rule."""
    grid = torch.linspace(-8.7, 11.6, steps + 1, dtype=torch.float64).tolist()
    h = grid[1] - grid[0]

    def velocity(log_snr: float, x: torch.Tensor) -> torch.Tensor:
        bar = sde.sigmoid(log_snr)
        plain, given = (data.at_noise(bar).x0_mean(x, bar) for data in (bench.ROLL, law.given))
        return 0.5 * (bar**0.5 * (plain + law.weight * (given - plain)) - bar * x)

    for log_snr in grid[:-1]:
        a = velocity(log_snr, x)
        b = velocity(log_snr + h / 3, x + h / 3 * a)
        c = velocity(log_snr + 2 * h / 3, x + h * (b - a / 3))
        x = x + h / 8 * (a + 3 * b + 3 * c + velocity(log_snr + h, x + h * (a - b + c)))
    return x / sde.sigmoid(grid[-1]) ** 0.5


@pytest.mark.parametrize("weight", [2.0, 4.0])
def test_nats_of_the_table_without_a_divergence_and_without_sampling(weight):
    """log p(x(z)) = log N(z) − log |det dx/dz|: the determinant by differences between neighbours, the mean over z by a
    grid. A finer grid of z, or twice the steps, changes neither number by 0.001."""
    law, h = bench.Steered("middle", weight), 1e-4
    axis = torch.linspace(-4.6, 4.6, 24, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    log_n = -0.5 * z.square().sum(-1) - math.log(2 * math.pi)
    step = h * torch.eye(2, dtype=torch.float64)
    x, *ends = pushed(law, torch.cat([z, z + step[0], z - step[0], z + step[1], z - step[1]])).chunk(5)
    jacobian = torch.stack([ends[0] - ends[1], ends[2] - ends[3]], dim=-1) / (2 * h)
    kl = (log_n.softmax(0) * (log_n - jacobian.det().abs().log() - law.log_tilted(x))).sum()
    found, error = pretrained.measured("guidance", "label", "weight", "sampler")["middle", str(weight), "flow"]["kl"]
    assert abs(kl - found) < 0.02 * found + 2 * error


def test_a_part_of_the_guidance_table_comes_out_again():
    law = bench.Steered("middle", 2.0)
    x = law.ancestral(bench.POINTS, seed=0)
    (row,) = (
        r
        for r in ROWS["guidance"]
        if (r["label"], r["sampler"], r["weight"], r["seed"]) == ("middle", "ancestral", "2.0", "0")
    )
    assert evaluate.outlier_share(x, bench.ROLL) == pytest.approx(float(row["off"]), abs=1e-3)
    truth = law.log_tilted(law.truth(50_000, 99)).mean().item()
    assert law.log_tilted(x).mean().item() - truth == pytest.approx(float(row["log_p"]), abs=2e-3)


@pytest.mark.parametrize("key", [("truth", ""), ("replacement", "50"), ("particles", "N = 2")])
def test_a_part_of_the_inpainting_table_comes_out_again(key):
    (row,) = (r for r in ROWS["inpainting"] if (r["method"], r["setting"], r["seed"]) == (*key, "0"))
    scored = bench.scored(bench.METHODS[key][1](0))
    assert float(scored["wasserstein"]) == pytest.approx(float(row["wasserstein"]), abs=2e-3)
    assert float(scored["stray"]) == pytest.approx(float(row["stray"]), abs=1e-3)


def test_the_tilted_law_has_the_mass_one():
    """Z at w = 1 is the label's share; the soft label's is a half."""
    for label, z in (("middle", 1 / 3), ("soft", 1 / 2)):
        assert bench.Steered(label, 1.0).log_z.exp().item() == pytest.approx(z, abs=1e-6)


def test_the_table_is_read_with_its_standard_errors():
    values = [
        float(r["kl"]) for r in ROWS["guidance"] if (r["label"], r["sampler"], r["weight"]) == ("soft", "flow", "2.0")
    ]
    found = pretrained.measured("guidance", "label", "sampler", "weight")["soft", "flow", "2.0"]
    mean, error = evaluate.mean_and_error(torch.tensor(values, dtype=torch.float64))
    assert found["kl"] == pytest.approx((mean, error))
    assert "kl" not in pretrained.measured("guidance", "sampler")[("truth",)]
    assert guidance.guided_model(pretrained.load("roll-labels"), 1).dim == 2
