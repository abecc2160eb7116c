"""The built website as a folder of files, without any server, in a real browser: `make site`.

Every page is opened from file://; every widget is operated by keyboard and by mouse, every film played, and the search
used. Requests to other hosts and errors fail here as they do over HTTP (site_pages.py).
"""

import re
from pathlib import Path

import pytest
from build_book import HTML
from site_tools import WIDGETS, Operator, loaded, nothing, site_pages, widgets_of

from notebooks import FOLDER


@pytest.mark.parametrize("name", site_pages())
def test_widgets_are_alive_and_films_play(tab, name):
    expected, found = widgets_of(name), []
    loaded(tab, (HTML / name).as_uri(), expected)
    boxes = tab.query_selector_all(WIDGETS)
    assert len(boxes) == expected
    for number, box in enumerate(boxes, start=1):
        found += [f"widget {number}: {line}" for line in Operator(tab, box).operate()]
    for film in tab.query_selector_all("video"):
        assert film.evaluate("(v) => v.preload === 'none' && !v.autoplay && !!v.poster"), "it loads before it is asked"
        film.evaluate("(v) => { v.muted = true; return v.play().then(() => v.pause()); }")
    nothing(found + tab.log.take())


def test_a_notebook_is_saved_and_a_film_is_opened(tab):
    loaded(tab, (HTML / "notebooks" / "00_start.html").as_uri())
    with tab.expect_download() as saved:
        tab.locator(".downloads a[download]").first.click()
    assert Path(saved.value.path()).read_bytes() == (FOLDER / "00_start.ipynb").read_bytes()
    loaded(tab, (HTML / "teachers.html").as_uri())
    tab.locator("a[download][href$='forward.mp4']").click()  # a browser shows what a folder holds and it can show
    tab.wait_for_url("**/forward.mp4")
    nothing(tab.log.take())


def test_search_leads_to_a_page_with_the_word(tab):
    loaded(tab, (HTML / "notation.html").as_uri())
    tab.locator(".search-button-field:visible, .search-button:visible").first.click()
    tab.locator("input[name=q]:visible").first.fill("posterior")
    tab.keyboard.press("Enter")
    results = tab.locator("#search-results li a")
    results.first.wait_for(timeout=20_000)
    tab.wait_for_timeout(1000)  # what it still fetches
    assert results.count() >= 3
    results.first.click()
    tab.wait_for_url(re.compile(r"(?<!search)\.html"))
    assert "posterior" in tab.locator("article").inner_text().lower()
    nothing(tab.log.take())
