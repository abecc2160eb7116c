"""The one record of a run, and the command that repeats it."""

import pytest

from diffusion_edu import config
from diffusion_edu.config import Config


@pytest.mark.parametrize(("model", "data"), config.DEFAULTS)
def test_the_command_of_a_run_states_every_option_whatever_its_default(model, data):
    made = Config(model, data)
    words = made.command("x").split()
    for f in config.options():
        value, name = getattr(made, f.name), config.flag(f.name)
        if value is None or value is False:
            assert name not in words
        else:
            assert words[words.index(name) + 1] == str(value)
