"""Under `torch.set_default_dtype(torch.float64)` stored models stay as they are: float32, with the same answers."""

import pytest
import torch
from shared import generator

from diffusion_edu import bound, pretrained
from diffusion_edu.images import lenet


@pytest.fixture
def double():
    """Switches the default; the test's own end puts it back."""
    yield lambda: torch.set_default_dtype(torch.float64)
    torch.set_default_dtype(torch.float32)


def points(name: str) -> torch.Tensor:
    """Grey levels, binary pixels or points of the plane."""
    if name in pretrained.NAMES:
        return torch.randn(2, 2, generator=generator(1), dtype=torch.float32)
    levels = torch.randint(0, 256, (2, 784), generator=generator(1)).float()
    return (levels > 127).float() if name in pretrained.BINARY else levels / 127.5 - 1


def answer(model, x: torch.Tensor) -> torch.Tensor:
    """x̂₀ of a DDPM; one draw of the bound of the others."""
    return model.x0_hat(x, 5) if hasattr(model, "x0_hat") else bound.bound(x, model, generator(2)).elbo


@pytest.mark.parametrize("name", [*pretrained.NAMES, *pretrained.IMAGES])
def test_a_published_model_does_not_depend_on_the_default(name, double):
    x = points(name)
    right = answer(pretrained.load(name), x)
    double()
    model = pretrained.load(name)
    assert torch.get_default_dtype() == torch.float64
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert torch.equal(answer(model, x), right)
    if hasattr(model, "x0_hat"):  # what one makes under this default is float64, and so is the answer
        assert answer(model, x.double()).dtype == torch.float64
        torch.testing.assert_close(answer(model, x.double()).float(), right, rtol=1e-4, atol=1e-5)


def test_a_reverse_run_starts_from_noise_of_the_default(double):
    double()
    assert bool(pretrained.replay(pretrained.load("short"), steps=5).isfinite().all())


def test_the_lenet_does_not_depend_on_the_default(double):
    x = points("mnist-vae")
    right = lenet.load()(x)
    double()
    net = lenet.load()
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    assert torch.equal(net(x), right)
    torch.testing.assert_close(net(x.double()), right)
