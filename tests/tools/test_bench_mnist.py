"""The tables of MNIST that notebook 07 reads: whole, and a few images of them drawn again."""

import csv

import pytest
import torch

from bench import mnist_likelihood, mnist_samplers
from diffusion_edu import pretrained
from diffusion_edu.images import quality

ROWS = list(csv.DictReader(mnist_samplers.FILE.read_text(encoding="utf-8").splitlines()))


def test_the_table_has_every_sampler_and_number_of_calls():
    expected = [
        (name, grid, str(calls), str(seed))
        for seed in range(mnist_samplers.SEEDS)
        for calls in mnist_samplers.CALLS
        for name, grid in mnist_samplers.RUNS
    ]
    assert [(r["sampler"], r["grid"], r["calls"], r["seed"]) for r in ROWS] == expected


@pytest.mark.parametrize(("name", "grid"), [("ancestral-2m", "log SNR"), ("heun", "log SNR")])
def test_a_hundred_images_have_the_distance_of_the_two_thousand(name, grid):
    """With ten calls the two samplers are far apart. Of a hundred images the floor is most of the distance."""
    x = mnist_samplers.images(name, grid, 10, seed=0, n=100)
    found = quality.score_images(x)
    (row,) = (r for r in ROWS if (r["sampler"], r["grid"], r["calls"]) == (name, grid, "10"))
    excess = found.frechet - found.frechet_floor
    expected = (float(row["frechet"]) - 1) * quality.floor(2000, quality.reference().card["floors"])["frechet"]
    assert excess == pytest.approx(expected, rel=0.5)


def test_fifty_likelihoods_are_kept_three_ways():
    rows = pretrained.table("mnist-likelihood")
    nats = {name: torch.tensor([float(row[name]) for row in rows]) for name in ("chain", "flow", "uniform")}
    assert len(rows) == mnist_likelihood.N
    card = pretrained.card("mnist-ddpm")["test"]
    error = nats["chain"].std() / len(rows) ** 0.5
    assert abs(nats["chain"].mean() - card["neg_elbo"]) < 4 * error
