"""The website's benchmark says of each aim whether it is met."""

import sys

import pytest

from notebooks import ROOT

sys.path.insert(0, str(ROOT / "tools" / "bench"))
import website


@pytest.mark.parametrize(
    ("aim", "measured", "met"),
    [
        ("≤ 1.5", "1.20 (1.11 to 1.62)", "yes"),
        ("≤ 1.5", "1.51 (1.11 to 1.62)", "no"),
        ("≤ 2 / ≤ 5", "0.7 / 0.9", "yes"),
        ("≤ 2 / ≤ 5", "0.7 / 5.1", "no"),
        ("≤ 1e-6", "4e-16", "yes"),
        ("≤ 1e-6", "1e-5", "no"),
        ("0", "0 of 242", "yes"),
        ("0", "3 of 242", "no"),
        ("≤ 600", "596 (03_diffusion), mean 480", "yes"),
        ("≤ 40", "12 (FAILED)", "no"),
        ("", "1.08", ""),
    ],
)
def test_the_verdict(aim, measured, met):
    assert website.row("", aim, measured)["met"] == met
