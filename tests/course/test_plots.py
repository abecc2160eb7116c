"""plots.py: what a band means."""

import matplotlib.pyplot as plt
import pytest
import torch

from diffusion_edu import plots


def test_a_band_is_two_standard_errors_on_either_side():
    x, y, error = torch.arange(3.0), torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.1, 0.1, 0.1])
    ax = plots.curve(x, y, plt.figure().gca(), error=error)
    extents = ax.collections[0].get_paths()[0].get_extents()
    assert (extents.ymin, extents.ymax) == pytest.approx((1 - 0.2, 3 + 0.2))
    plt.close("all")
