"""The tables of tools/bench/latent.py: whole, what they say, and a part of them trained again."""

import math

import pytest

from bench import latent
from diffusion_edu import pretrained
from diffusion_edu.scales import haar

ROLL, START, DIGITS, LEAVING, MNIST = (
    pretrained.table(name) for name in ("latent_roll", "latent_start", "latent_digits", "leaving", "latent_mnist")
)
PRIORS = ("N(0, I)", "mixture", "diffusion, rate too high", "diffusion")


def gap(seed: int, encoder: str, prior: str) -> float:
    (row,) = (r for r in ROLL if (r["seed"], r["encoder"], r["prior"]) == (str(seed), encoder, prior))
    return float(row["gap"])


def test_the_table_of_the_roll_is_whole():
    found = [(int(r["seed"]), r["encoder"], r["prior"]) for r in ROLL]
    assert found == [(s, e, p) for s in range(latent.SEEDS) for e in latent.ENCODERS for p in PRIORS]


@pytest.mark.parametrize("seed", range(3))
def test_what_the_table_says_holds_for_every_seed(seed):
    """With weight 1 a mixture mends the hole and a diffusion learns nothing; with a given small std both reach 0.1."""
    weight = {prior: gap(seed, "weight 1", prior) for prior in PRIORS}
    assert weight["mixture"] < 0.7 * weight["N(0, I)"]
    assert abs(weight["diffusion"] - weight["N(0, I)"]) < 0.01
    assert gap(seed, "fixed std", "diffusion") < 0.1 < 1.3 < gap(seed, "fixed std", "N(0, I)")
    assert gap(seed, "fixed std", "mixture") < gap(seed, "fixed std", "diffusion")


STARTS = ("fresh network", "fresh, four times as long", "first two blobs", "first a chessboard", "network of 04")


@pytest.mark.parametrize("seed", range(3))
def test_a_fresh_network_finds_nothing_and_one_that_knows_a_fine_picture_what_the_mixture_finds(seed):
    mine = {row["prior"]: float(row["gap"]) for row in START if row["seed"] == str(seed)}
    assert tuple(mine) == ("N(0, I)", "mixture", *STARTS)
    for smooth in ("fresh network", "first two blobs"):
        assert abs(mine[smooth] - mine["N(0, I)"]) < 0.01
    for fine in ("first a chessboard", "network of 04"):
        assert abs(mine[fine] - mine["mixture"]) < 0.01
    assert mine["mixture"] < mine["N(0, I)"] - 0.1


def test_the_pictures_that_come_first_have_mean_zero_and_variance_one():
    for picture in (latent.blobs, latent.chessboard):
        x = picture(40_000, 0)
        assert x.mean(0).abs().max() < 1e-3
        assert (x.std(0) - 1).abs().max() < 1e-3
    black = latent.chessboard(40_000, 0)
    squares = ((black - black.amin(0)) / (black.amax(0) - black.amin(0)) * 4).floor().clamp(max=3)
    assert ((squares.sum(1) % 2 == 0).double().mean() - 1).abs() < 1e-3  # the extremes are the board's to within 1e-4


def test_the_rows_without_training_come_out_again():
    vae, points = pretrained.roll_chain(1, 0), latent.SwissRoll().sample(20_000, seed=1).float()
    law, _ = latent.mixture(latent.encoded(vae, points, latent.seeded(3)), 0)
    mine = {row["prior"]: float(row["gap"]) for row in START if row["seed"] == "0"}
    assert latent.judge(vae)["gap"] == pytest.approx(mine["N(0, I)"], abs=2e-3)
    assert latent.judge(latent.Stacked(vae, latent.Prior(law)))["gap"] == pytest.approx(mine["mixture"], abs=0.02)


def test_a_vae_and_a_mixture_again_are_as_far_from_the_entropy():
    """Other machines round otherwise: within the scatter of the seeds."""
    points = latent.SwissRoll().sample(latent.POINTS, seed=1).float()
    vae, _ = latent.train_vae("fixed std", 0)
    chain = latent.standardised(vae, points[:20_000], latent.seeded(2))
    law, _ = latent.mixture(latent.encoded(chain, points, latent.seeded(3))[:20_000], 0)
    again = latent.judge(latent.Stacked(chain, latent.Prior(law)))
    assert again["gap"] == pytest.approx(gap(0, "fixed std", "mixture"), abs=0.03)
    assert latent.judge(chain)["gap"] == pytest.approx(gap(0, "fixed std", "N(0, I)"), abs=0.1)


def test_the_digits_have_bits_samples_and_the_memory_of_the_aggregate():
    value = {r["quantity"]: float(r["value"]) for r in DIGITS}
    assert value["aggregate, test codes"] < 0 < value["aggregate, training codes"]
    assert value["samples, VAE and diffusion"] < value["samples, aggregate"] < value["samples, VAE"]
    assert value["nats gained by diffusion, test"] < value["nats gained by diffusion, training"]


def test_the_cost_of_leaving_is_the_sum_of_its_parts_and_falls_until_it_is_nothing():
    """Near T it is a little below zero: there the network's own terms are worse than N(0, I)."""
    for r in LEAVING:
        parts = float(r["leave"]) - float(r["terms_above"]) + float(r["coarse_more"])
        assert parts == pytest.approx(float(r["cost"]), abs=2e-4)
    costs = [float(r["cost"]) for r in LEAVING]
    paid = [c for c in costs if c > 0]
    assert costs[: len(paid)] == paid == sorted(paid, reverse=True)
    assert min(costs) > -0.05
    assert [int(r["t_star"]) for r in LEAVING] == list(range(100, 1000, 20))


def test_the_divergence_at_which_the_details_leave_is_that_of_the_test_images():
    y = latent.test_images() @ haar(8)[0].float().T
    bar, square = latent.cosine(latent.T).alpha_bar[700], y[:, 16:].double().square().sum(1).mean()
    (row,) = (r for r in LEAVING if r["t_star"] == "700")
    expected = 0.5 * (bar * square - 48 * bar - 48 * (1 - bar).log())
    assert float(row["leave"]) == pytest.approx(expected.item(), abs=2e-4)


def of_mnist(column: str, seed: int) -> dict[tuple[str, str], float]:
    return {(r["model"], r["prior"]): float(r[column]) for r in MNIST if r["seed"] == str(seed) and r[column]}


def test_the_table_of_mnist_is_whole():
    priors, expected = ("N(0, I)", "mixture", "diffusion", "training codes"), []
    for seed in range(latent.MNIST_SEEDS):
        stages = ((seed, f"vae, weight {w:g}", prior) for w in latent.WEIGHTS for prior in priors)
        expected += [(seed, "ddpm", ""), *stages]
    assert [(int(r["seed"]), r["model"], r["prior"]) for r in MNIST] == expected


@pytest.mark.parametrize("seed", range(latent.MNIST_SEEDS))
@pytest.mark.parametrize("weight", latent.WEIGHTS)
def test_on_mnist_a_diffusion_gains_nats_and_pictures_over_its_vae(seed, weight):
    """Two stages and the DDPM of the pixels had the same seconds, to within 15 %."""
    columns = ("bits", "gain", "gain_se", "frechet", "decoder", "seconds")
    bits, gain, error, frechet, decoder, seconds = (of_mnist(name, seed) for name in columns)
    plain, mixture, diffusion, codes = (
        (f"vae, weight {weight:g}", prior) for prior in ("N(0, I)", "mixture", "diffusion", "training codes")
    )
    assert seconds[diffusion] == pytest.approx(seconds["ddpm", ""], rel=0.15)
    assert gain[diffusion] > gain[mixture] + 4 * error[diffusion] > 8 * error[diffusion]
    gained = (bits[plain] - bits[diffusion]) * 784 * math.log(2)
    assert gained == pytest.approx(gain[diffusion], abs=0.1), "bits and nats say the same"
    assert frechet[codes] < frechet[diffusion] < frechet[mixture] < frechet[plain]
    assert decoder[plain] == pytest.approx(decoder[diffusion], abs=1e-3)
    assert decoder[diffusion] < bits[diffusion]
