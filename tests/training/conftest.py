"""Runs of a few steps need few points."""

import pytest

from diffusion_edu.training import build


@pytest.fixture(scope="session", autouse=True)
def few_points():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "TRAIN_POINTS", 2000)
        yield
