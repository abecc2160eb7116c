"""The two tables that notebook 08 reads: whole, and a part of them trained again."""

import pytest

from bench import learned_noise, learned_schedules
from diffusion_edu import pretrained

DENSITIES, SCHEDULES = pretrained.table("learned_noise"), pretrained.table("learned_schedules")


def test_the_table_of_densities_is_whole():
    runs = [(*map(str, run), str(seed)) for seed in range(learned_noise.SEEDS) for run in learned_noise.RUNS]
    assert [(r["weight"], r["density"], r["numbers"], r["peak_lr"], r["seed"]) for r in DENSITIES] == runs


def test_the_table_of_schedules_is_whole():
    found = [(r["seed"], r["data"], int(r["T"]), r["schedule"]) for r in SCHEDULES]
    assert found == [
        (str(seed), data, T, schedule)
        for seed in range(learned_schedules.SEEDS)
        for data in learned_schedules.DATA
        for T in learned_schedules.LENGTHS
        for schedule in learned_schedules.SCHEDULES
    ]


def test_a_network_trained_again_adds_as_many_nats():
    """Other machines round otherwise: within the scatter of the seeds."""
    (row,) = (
        r
        for r in DENSITIES
        if (r["weight"], r["density"], r["numbers"], r["seed"]) == ("bound", "learned", "free", "0")
    )
    added, se = learned_noise.nats_added(learned_noise.train("bound", "learned", "free", 5e-3, seed=0))
    assert added == pytest.approx(float(row["added"]), abs=0.015)
    assert se == pytest.approx(float(row["added_se"]), rel=0.5)


def test_a_network_that_has_learned_nothing_adds_what_separates_the_roll_from_noise():
    """v̂ = 0 is the guess of one who takes the data for N(0, I)."""
    model = learned_noise.Noise("uniform")
    for p in model.parameters():
        p.data.zero_()
    added, se = learned_noise.nats_added(model)
    assert abs(added - 1.487) < 4 * se + 0.005


def test_a_schedule_learned_again_costs_as_many_nats():
    model, points, _ = learned_schedules.trained("swiss-roll", "learned", 50, seed=0)
    for T in learned_schedules.LENGTHS:
        (row,) = (
            r
            for r in SCHEDULES
            if (r["data"], r["schedule"], r["T"], r["seed"]) == ("swiss-roll", "learned", str(T), "0")
        )
        value, _ = learned_schedules.score(learned_schedules.with_steps(model, "swiss-roll", T), "swiss-roll", points)
        assert value == pytest.approx(float(row["value"]), abs=0.015)
