"""The published models of MNIST: each is what its card says, as far as the hundred reference images can tell."""

import csv
import math
import shlex
from dataclasses import asdict

import pytest
import torch

from diffusion_edu import cli, data, evaluate, pretrained
from diffusion_edu.images import lenet, quality
from diffusion_edu.pretrained import images
from diffusion_edu.training import optimisers, runs

each_model = pytest.mark.parametrize("name", pretrained.IMAGES)
GREY = pretrained.GREY


@pytest.fixture(scope="module")
def models():
    return {name: pretrained.load(name) for name in pretrained.IMAGES}


@each_model
def test_the_weights_are_those_of_the_card(models, name):
    card = pretrained.card(name)
    assert images.probe(models[name], runs.Config(**card["config"])) == pytest.approx(card["probe"], rel=1e-3)
    assert card["parameters"] == sum(p.numel() for p in models[name].parameters())
    assert (lenet.HOME / f"{name}.safetensors").stat().st_size <= 3 * 2**20
    assert not models[name].training
    assert card["seconds"] > 60


@pytest.mark.parametrize("name", ["mnist-vae", "mnist-hvae"])
def test_the_bits_on_the_reference_images_are_the_cards(models, name):
    x, stated = data.MNIST.to_points(quality.reference().images), pretrained.card(name)["test"]
    elbo = evaluate.score_chain(x, models[name], torch.Generator().manual_seed(1)).elbo.double()
    mean, se = evaluate.mean_and_error(-elbo / (784 * math.log(2)))
    assert abs(mean - stated["bits_per_dim"]) < 4.5 * se
    assert stated["bits_per_dim"] == pytest.approx(stated["neg_elbo"] / 784 / math.log(2), abs=1e-4)


def test_the_ddpm_spends_the_bits_that_its_card_says(models):
    x, stated = data.MNIST.to_points(quality.reference().images), pretrained.card("mnist-ddpm")["test"]
    means, _ = evaluate.terms_by_t(x, models["mnist-ddpm"].chain(), 2, torch.Generator().manual_seed(1))
    assert data.MNIST.bits_per_dim(means.sum().item()) == pytest.approx(stated["bits_per_dim"], abs=0.15)
    parts = stated["reconstruction"] + stated["consistency"] + stated["prior"]
    assert -parts == pytest.approx(stated["neg_elbo"], abs=1e-3)
    assert abs(stated["prior"]) < 0.01, "nats: the schedule ends in noise"


def test_what_the_models_show():
    bits = {name: pretrained.card(name)["test"]["bits_per_dim"] for name in GREY}
    assert bits["mnist-ddpm"] < min(bits["mnist-vae"], bits["mnist-hvae"]) < 2
    ratios = {name: pretrained.card(name)["scores"]["frechet_ratio"] for name in GREY}
    assert ratios["mnist-ddpm"] < min(ratios["mnist-vae"], ratios["mnist-hvae"])
    steps = ("-mixing-longer", "-mixing-long", "-mixing", "")
    order = [*(f"mnist-ddpm-min-snr{step}" for step in steps), "mnist-ddpm"]
    assert [ratios[name] for name in order] == sorted(ratios[name] for name in order)
    assert min(bits, key=bits.get) == "mnist-ddpm-filters"
    by_step = {key: card["frechet_ratio"] for key, card in pretrained.card(order[0]).items() if "scores" in key}
    assert by_step["scores_2m"] < by_step["scores_2m_fine"] < 3 < by_step["scores_fine"] < by_step["scores_small"]
    for name in GREY:
        found = pretrained.card(name)["scores"]
        assert found["lenet"] == lenet.card()["sha256"][:12]
        assert found["n"] >= 10_000
    for name in set(pretrained.IMAGES) - set(GREY):
        test = pretrained.card(name)["test"]
        assert test["K"] >= 1000
        assert test["n"] == 10_000
        assert test["iw_nll"] < test["neg_elbo"]


@each_model
def test_the_command_is_the_command_line_and_remakes_the_configuration(monkeypatch, tmp_path, name):
    made = []
    monkeypatch.setattr(runs, "create", lambda out, config, start: made.append(config))
    monkeypatch.setattr(runs, "run", lambda *_, **__: None)
    program, *arguments = shlex.split(pretrained.card(name)["commands"][0])
    assert program == "diffusion-edu"
    arguments[arguments.index("--out") + 1] = str(tmp_path / "run")
    assert cli.main([*arguments, "--device", "cpu"]) == 0
    assert made == [runs.Config(**pretrained.card(name)["config"])]
    assert pretrained.card(name)["config"]["optimiser"] in optimisers.KNOWN  # stated, not left to a default


@pytest.mark.parametrize(
    ("name", "other", "field", "values"),
    [
        ("mnist-ddpm-min-snr", "mnist-ddpm-min-snr-mixing", "mixing", (0, 256)),
        ("mnist-ddpm-min-snr-mixing", "mnist-ddpm-min-snr-mixing-long", "steps", (5000, 14_000)),
        ("mnist-binary-hvae", "mnist-binary-hvae-mixing", "mixing", (0, 64)),
    ],
)
def test_one_setting_is_all_that_two_cards_differ_in(name, other, field, values):
    one, two = (pretrained.card(n)["config"] for n in (name, other))
    assert {key for key in one if one[key] != two[key]} == {field}
    assert (one[field], two[field]) == values


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("mnist-ddpm-filters", "mnist-ddpm"),
        ("mnist-ddpm-min-snr-mixing-longer", "mnist-ddpm-min-snr-mixing-long"),
        ("mnist-binary-hvae-mixing-long", "mnist-binary-hvae-mixing"),
    ],
)
def test_a_model_that_goes_on_is_the_one_it_starts_from_but_for_its_training(models, name, start):
    one, two = (asdict(runs.Config(**pretrained.card(n)["config"])) for n in (start, name))
    new = {"loss", "filters"} if name == "mnist-ddpm-filters" else set()
    assert {key for key in two if one[key] != two[key]} - {"start", "steps", "seed", "precision"} == new
    assert two["start"] == start
    before, after = (dict(models[n].named_parameters()) for n in (start, name))
    assert after.keys() - before.keys() == ({"eps_net.weights.weight", "eps_net.weights.bias"} if new else set())
    assert not any(torch.equal(p, after[key]) for key, p in before.items())


@each_model
def test_the_log_is_of_the_whole_training(name):
    log, card = pretrained.log(name), pretrained.card(name)
    assert log["step"][-1] == card["config"]["steps"]
    assert log["step"] == sorted(log["step"])
    assert log["loss"][-1] < log["loss"][0]


def test_the_log_beside_it_is_of_as_long_a_training_with_adam():
    muon, adam = pretrained.log("mnist-ddpm"), pretrained.log("mnist-ddpm-adam")
    assert muon["step"] == adam["step"]
    assert muon["loss"] != adam["loss"]


@pytest.mark.parametrize("name", GREY)
def test_neighbours_are_as_far_as_they_are_said_to_be(name):
    kept = pretrained.neighbours(name)
    apart = (kept["samples"].double() - kept["nearest"].double()).flatten(1).norm(dim=1) / 127.5
    assert kept["samples"].shape == (images.SHOWN, 28, 28)
    # samples are rounded to grey levels after the distance is taken
    torch.testing.assert_close(apart, kept["distance"], rtol=0, atol=28 / 127.5)
    assert apart.min() > 1, "no copy among them"


def test_samples_depend_on_the_seed_and_not_on_the_block(models):
    vae = models["mnist-vae"]
    x = images.draw(vae, 6, seed=1)
    assert torch.equal(x, images.draw(vae, 6, seed=1))
    assert not torch.equal(x, images.draw(vae, 6, seed=2))
    assert x.shape == (6, 784)
    assert x.abs().max() <= 1
    ddpm = images.draw(models["mnist-ddpm"], 3, seed=1, steps=5)
    assert torch.equal(ddpm, images.draw(models["mnist-ddpm"], 3, seed=1, steps=5))
    assert not torch.equal(ddpm, images.draw(models["mnist-ddpm"], 3, seed=1, steps=5, sampler="ancestral-small"))
    assert ddpm.abs().max() <= 1


def test_names_that_are_none_are_refused():
    for ask in (pretrained.load, pretrained.card):
        with pytest.raises(ValueError, match="unknown model 'mnist'; known: cosine"):
            ask("mnist")
    with pytest.raises(ValueError, match="unknown log 'cosine'; known: mnist-vae, "):
        pretrained.log("cosine")
    with pytest.raises(ValueError, match="no samples are kept of 'mnist-binary-vae'"):
        pretrained.neighbours("mnist-binary-vae")


def test_a_log_is_read_as_it_was_written():
    rows = list(csv.reader((lenet.HOME / "mnist-ddpm.csv").read_text(encoding="utf-8").splitlines()))
    assert pretrained.log("mnist-ddpm")["loss"] == [float(row[1]) for row in rows[1:]]
