"""The table of samplers that notebook 07 reads: whole, and some of its rows computed again."""

import csv

import pytest

from bench import samplers as bench
from diffusion_edu import evaluate, sampling

ROWS = list(csv.DictReader(bench.FILE.read_text(encoding="utf-8").splitlines()))


def test_the_table_has_every_sampler_score_number_of_calls_and_set_of_noise():
    grids = [(name, "t") for name in bench.IN_T] + [(name, "log SNR") for name in bench.IN_LOG_SNR]
    expected = [
        (score, name, grid, str(calls), str(seed))
        for seed in range(bench.SEEDS)
        for score in ("cosine", "exact")
        for name, grid in grids
        for calls in bench.CALLS
    ]
    key = ("score", "sampler", "grid", "calls", "seed")
    assert [tuple(row[k] for k in key) for row in ROWS if row["score"] != "none"] == expected
    assert {name for name, _ in grids} == set(sampling.SAMPLERS)


@pytest.mark.parametrize(
    ("score", "name", "grid", "calls"),
    [("cosine", "ancestral-2m", "log SNR", 20), ("cosine", "ddim", "t", 8), ("exact", "heun", "log SNR", 8)],
)
def test_a_part_of_the_table_comes_out_again(score, name, grid, calls):
    """All ten thousand points; the energy distance, which takes longest, is left out."""
    x = bench.samples(score, name, grid, calls, seed=0)
    (row,) = (
        row
        for row in ROWS
        if (row["score"], row["sampler"], row["grid"], row["calls"], row["seed"])
        == (score, name, grid, str(calls), "0")
    )
    found = evaluate.mean_log_prob(x, bench.ROLL) + bench.ROLL.entropy()
    assert found == pytest.approx(float(row["log_p"]), abs=2e-3)
    assert evaluate.outlier_share(x, bench.ROLL) == pytest.approx(float(row["off"]), abs=5e-4)


def test_the_table_is_read_with_its_standard_errors():
    measured = sampling.measured()
    values = [float(r["log_p"]) for r in ROWS if (r["score"], r["sampler"], r["calls"]) == ("cosine", "rk4", "52")]
    mean = sum(values) / 3
    error = (sum((v - mean) ** 2 for v in values) / 2 / 3) ** 0.5
    assert measured["cosine", "rk4", "log SNR"][52][1] == pytest.approx((mean, error), rel=1e-4)
    assert len(measured["none", "truth", ""][0]) == 3
