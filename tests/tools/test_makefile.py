"""What `make` sets for the notebooks: a cache of their own, and assertions that count."""

import os
import shutil
import subprocess

import pytest

from notebooks import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make here")


def said(target, recipe, **environment):
    """What a recipe prints as a prerequisite of the target, whose own commands are printed and not run."""
    command = ["make", "-n", "--assume-old=.venv/.ready", f"--eval={target}: probe", f"--eval=probe: ; +@{recipe}"]
    command.append(target)
    found = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True)
    return found.stdout


@pytest.mark.parametrize("target", ["nbval", "notebooks"])
def test_notebooks_have_a_font_cache_of_their_own(target):
    """HOME may not be writable, and matplotlib would say so in the output of the first cell."""
    assert f"cache={ROOT}/.venv/matplotlib\n" in said(target, "echo cache=$$MPLCONFIGDIR", HOME="/nowhere")


def test_assertions_are_never_switched_off():
    assert "optimise=.\n" in said("nbval", "echo optimise=$$PYTHONOPTIMIZE.", PYTHONOPTIMIZE="1")
