"""The tables of flows that notebook 10 reads: whole, and the rows of the exact denoiser computed again."""

import csv

import pytest

from bench import flows as bench
from diffusion_edu import evaluate

ROWS, NETS = (
    list(csv.DictReader((bench.FOLDER / name).read_text(encoding="utf-8").splitlines()))
    for name in ("flows.csv", "flow-nets.csv")
)
NAMES = ["ddpm", "flow", "ot 64", "ot 512", "rectified, exact", "rectified, own"]


def test_the_tables_have_every_network_sampler_number_of_calls_and_seed():
    assert [(row["net"], int(row["seed"])) for row in NETS] == [(n, s) for s in range(bench.SEEDS) for n in NAMES]
    expected = [
        (net, way, str(calls), str(seed))
        for seed in range(bench.SEEDS)
        for net in ["exact", *NAMES]
        for calls in bench.CALLS
        for way in ["euler", *["heun"] * (calls > 1), *(bench.IN_T if net in ("exact", "ddpm") else ())]
    ]
    assert [(r["net"], r["sampler"], r["calls"], r["seed"]) for r in ROWS] == expected


@pytest.mark.parametrize(("way", "calls"), [("euler", 8), ("heun", 4), ("ancestral-2m", 8)])
def test_rows_of_the_exact_denoiser_come_out_again(way, calls):
    ways = bench.samplers(None, calls, seed=0)
    for name in ("ancestral", "ancestral-2m"):  # one generator for all, in the order of the table
        x = ways[name]() if way.startswith("ancestral") else None
        if name == way:
            break
    x = ways[way]() if x is None else x
    (row,) = (r for r in ROWS if (r["net"], r["sampler"], r["calls"], r["seed"]) == ("exact", way, str(calls), "0"))
    assert evaluate.mean_log_prob(x, bench.ROLL) + bench.ROLL.entropy() == pytest.approx(float(row["log_p"]), abs=2e-3)
    assert evaluate.outlier_share(x, bench.ROLL) == pytest.approx(float(row["off"]), abs=1e-3)
