"""The latent explorer in a real browser: decoder and densities are the library's, and every control moves it."""

import math

import pytest
import torch
from browsing import drawn, numbers, set_traits

from diffusion_edu import widgets
from diffusion_edu.data import Digits, SwissRoll
from diffusion_edu.evaluate import off_threshold
from diffusion_edu.gaussian import Gaussian
from diffusion_edu.nets import mlp
from diffusion_edu.oracles import Mixture
from diffusion_edu.vae import VAE

ROLL = SwissRoll()
X = ROLL.sample(200, seed=3)
UNIT = Gaussian(torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64))


def a_vae(dim=2, **sizes):
    """A network with weights large enough that each layer matters."""
    torch.manual_seed(4)
    model = VAE(dim, width=24, **sizes).requires_grad_(False)
    for part in model.parameters():
        part.mul_(2.5)
    return model


VAE_2D = a_vae()


@pytest.fixture
def explorer(show):
    return show(widgets.latent_explorer(VAE_2D, X, ROLL, z=(0.5, -0.25)))


def in_float64(model):
    copy = VAE(model.encoder.net[0].in_features, width=24).double().requires_grad_(False)
    copy.load_state_dict(model.state_dict())
    return copy


@pytest.mark.parametrize("z", [(0.0, 0.0), (0.5, -0.25), (-2.0, 1.3), (3.2, -3.2)])
def test_numbers_are_the_librarys(explorer, z):
    set_traits(explorer, z1=z[0], z2=z[1])
    got, at = numbers(explorer), torch.tensor(z, dtype=torch.float64)
    decoder, q = in_float64(VAE_2D).p(0, at), VAE_2D.q(1, X.float())
    assert got["mean"] == pytest.approx(decoder.mean.tolist(), rel=1e-6)
    assert got["std"] == pytest.approx(decoder.var.sqrt().tolist(), rel=1e-6)
    assert got["log_prior"] == pytest.approx(UNIT.log_prob(at).item(), rel=1e-6)
    aggregate = Mixture(torch.ones(len(X)), q.mean, q.var)
    assert got["log_aggregate"] == pytest.approx(aggregate.log_prob(at).item(), rel=1e-6)
    assert got["log_p"] == pytest.approx(ROLL.log_prob(decoder.mean).item(), rel=1e-6)
    on = "On the data" in explorer.locator(".dedu-words").inner_text()
    assert on == (got["log_p"] >= off_threshold(ROLL))
    codes = q.at(torch.randn(X.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).float())
    assert got["near"] == ((codes - at).norm(dim=1) < 0.25).nonzero().flatten().tolist()
    assert got["expected"] == pytest.approx(200 * math.pi * 0.25**2 * UNIT.log_prob(at).exp().item(), rel=1e-6)


@pytest.mark.parametrize(("log_var", "std"), [(-30.0, math.exp(-6)), (20.0, math.exp(2))])
def test_log_variance_is_clamped_as_in_the_library(show, log_var, std):
    model = a_vae()
    model.decoder.net[-1].bias[2:] = log_var
    got = numbers(show(widgets.latent_explorer(model, X)))
    assert got["std"] == pytest.approx([std, std], rel=1e-6)
    assert got["log_p"] is None


def test_pictures_are_decoded_too(show):
    model, x = a_vae(dim=64), Digits().sample(50)
    page = show(widgets.latent_explorer(model, x, z=(1.0, 0.5)))
    got, p = numbers(page), in_float64(model).p(0, torch.tensor([1.0, 0.5], dtype=torch.float64))
    assert got["mean"] == pytest.approx(p.mean.tolist(), rel=1e-6)
    assert "picture" in page.locator(".dedu-words").inner_text()
    before = drawn(page)
    set_traits(page, z1=-1.0)
    assert drawn(page)[1] != before[1]


def test_sliders_and_grip_are_one(explorer):
    explorer.locator(".noUi-handle").first.focus()
    before = drawn(explorer)
    explorer.keyboard.press("ArrowRight")
    assert numbers(explorer)["z"] == pytest.approx([0.55, -0.25])
    assert all(old != new for old, new in zip(before, drawn(explorer), strict=True))
    grip = explorer.locator(".dedu-grip")
    grip.focus()
    explorer.keyboard.press("ArrowUp")
    explorer.keyboard.press("Shift+ArrowLeft")
    assert numbers(explorer)["z"] == pytest.approx([0.3, -0.2])
    assert grip.get_attribute("aria-label") == "z at (0.3, −0.2); arrow keys move it"


def test_mouse_drags_and_clicks(explorer):
    box, grip = explorer.locator("canvas").first.bounding_box(), explorer.locator(".dedu-grip").bounding_box()
    scale = box["width"] / 6.4
    explorer.mouse.move(grip["x"] + 16, grip["y"] + 16)
    explorer.mouse.down()
    explorer.mouse.move(box["x"] + (3.2 - 1.5) * scale, box["y"] + (3.2 - 1.0) * scale, steps=5)
    explorer.mouse.up()
    assert numbers(explorer)["z"] == pytest.approx([-1.5, 1.0], abs=0.02)
    explorer.mouse.move(0, 0)
    assert numbers(explorer)["z"] == pytest.approx([-1.5, 1.0], abs=0.02)
    explorer.mouse.click(box["x"] + (3.2 + 2.0) * scale, box["y"] + (3.2 + 1.2) * scale)
    assert numbers(explorer)["z"] == pytest.approx([2.0, -1.2], abs=0.02)
    value = explorer.locator(".noUi-handle").first.get_attribute("aria-valuenow")
    assert float(value) == pytest.approx(2.0, abs=0.05)


def test_buttons_go_where_they_say(explorer):
    q = VAE_2D.q(1, X.float())
    explorer.get_by_role("button", name="To the code of a data point").click()
    assert numbers(explorer)["z"] == pytest.approx(q.mean[0].clamp(-3.2, 3.2).tolist(), rel=1e-6)
    explorer.get_by_role("button", name="Into a hole").click()
    got, z = numbers(explorer), torch.randn(2000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    z = z[z.norm(dim=1) < 1.5]
    log_ratio = Mixture(torch.ones(len(X)), q.mean, q.var).log_prob(z) - UNIT.log_prob(z)
    assert got["z"] == pytest.approx(z[log_ratio.argmin()].tolist(), rel=1e-6)
    assert got["log_aggregate"] < got["log_prior"] - 2
    assert "a hole" in explorer.locator(".dedu-words").inner_text()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"model must have a latent of size 2.*got 3"):
        widgets.latent_explorer(a_vae(latent=3), X)
    with pytest.raises(ValueError, match="square pictures, got D = 5"):
        widgets.latent_explorer(a_vae(dim=5), torch.zeros(3, 5))
    with pytest.raises(ValueError, match="x and model must agree: 3 means and 3 variances, but the decoder returns 4"):
        widgets.latent_explorer(VAE_2D, torch.zeros(5, 3))
    bernoulli = a_vae()
    bernoulli.decoder.net = mlp([2, 8, 2])
    with pytest.raises(ValueError, match="2 means and 2 variances, but the decoder returns 2"):
        widgets.latent_explorer(bernoulli, X)
    with pytest.raises(ValueError, match="x must have the shape"):
        widgets.latent_explorer(VAE_2D, torch.zeros(2))
    with pytest.raises(ValueError, match="x must be finite"):
        widgets.latent_explorer(VAE_2D, torch.full((5, 2), torch.nan))
    with pytest.raises(ValueError, match="data must have the dimension of x, 64, got 2"):
        widgets.latent_explorer(a_vae(dim=64), Digits().sample(5), ROLL)
    with pytest.raises(ValueError, match="z must lie in"):
        widgets.latent_explorer(VAE_2D, X, z=(0.0, 4.0))
