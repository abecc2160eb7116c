"""The closing page: every number is one that was measured, and none is typed."""

import re
import sys

import build_book
import pytest

from diffusion_edu import pretrained

sys.path.insert(0, str(build_book.BOOK / "_ext"))
import course_closing

PAGE = (build_book.BOOK / "closing.md").read_text(encoding="utf-8")


def test_no_number_of_the_page_is_typed():
    text = re.sub(r"\{worth\}`[^`]*`|\{cite\}`[^`]*`|\([^)]*\)|\$[^$]*\$|\[[^\]]*\]", "", PAGE)
    assert re.findall(r"\d+\.\d+", text) == []


def test_the_page_uses_each_number_and_only_those_that_there_are():
    used = re.findall(r"\{worth\}`([^`]*)`", PAGE)
    assert set(used) == set(course_closing.worth())


def test_each_model_stands_once_and_names_a_notebook():
    rows = course_closing.roll() + course_closing.images()
    assert len({row.name for row in rows}) == len(rows) > 20
    assert {row.notebook for row in rows} <= {path.stem for path in build_book.NOTEBOOKS.glob("[0-9]*.py")}
    assert {row.notebook[:2] for row in rows} >= {"00", "01", "02", "03", "04", "05", "08", "10", "11"}


def test_the_order_of_the_page_is_what_its_text_says():
    at = {row.name: row.value for row in course_closing.roll()}
    assert at["VAE"] > at["HVAE, three levels"] > at["DDPM, T = 1000, best σ²"] > at["The exact denoiser, T = 1000"]
    assert at["DDPM, T = 1000, σ² = β"] > at["DDPM, T = 1000, best σ²"]
    assert abs(at["VAE and a diffusion, first a chessboard"] - at["VAE and a mixture"]) < 0.01
    assert at["VAE and a diffusion, fresh network"] > 2 * at["VAE and a mixture"]
    assert at["Fixed noise in q, and a mixture"] < at["Fixed noise in q, and a diffusion"] < 0.1
    values = list(map(float, re.sub("−", "-", " ".join(course_closing.worth().values())).split()))
    assert max(abs(v) for v in values if v < 2) > 100 * 0.01 > 0


def test_a_mean_over_seeds_is_the_tables():
    mine = [float(r["gap"]) for r in pretrained.table("flow-nets") if r["net"] == "flow"]
    value, spread, source = course_closing._seeds("flow-nets", net="flow")
    assert value == pytest.approx(sum(mine) / 3)
    assert spread == pytest.approx((max(mine) - min(mine)) / 2)
    assert source == "`flow-nets.csv`, 3 seeds"


def test_the_ruler_is_logarithmic_and_has_the_longest_first():
    assert course_closing.place(course_closing.LOWEST) == 0
    assert course_closing.place(course_closing.HIGHEST) == pytest.approx(1)
    assert course_closing.place(0.1) == pytest.approx((course_closing.place(0.01) + course_closing.place(1)) / 2)
    rows = course_closing.roll()
    assert all(0 < course_closing.place(row.value) < 1 for row in rows)
    widths = [float(w) for w in re.findall(r"width:([\d.]+)%", course_closing.drawing(rows))]
    assert widths == sorted(widths, reverse=True)
    assert len(widths) == len(rows)
