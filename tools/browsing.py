"""A real browser for the tests: Chromium without a network, and a page around any widget."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import anywidget
import pytest
from ipywidgets.embed import embed_data
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
VENDOR = ROOT / "book" / "_assets" / "vendor"
ANYWIDGET = Path(anywidget.__file__).parent / "nbextension" / "index"  # RequireJS adds the .js
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
FLAGS = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]


def find_browser() -> str | None:
    """Chromium or a browser built on it: $BROWSER_PATH, from the path, or the one that playwright has installed."""
    if found := os.environ.get("BROWSER_PATH") or next(filter(None, map(shutil.which, NAMES)), None):
        return found
    with sync_playwright() as p:
        return path if Path(path := p.chromium.executable_path).exists() else None


def install_browser() -> None:
    """Installs one where there is none: by apt as root on Debian and systems built on it, else by playwright."""
    if find_browser() is None and shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        subprocess.run("apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium", shell=True)
    if find_browser() is None:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"])


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = find_browser()
    if path is None:
        message = "no browser: install Chromium or Chrome, or set BROWSER_PATH; the widgets and the site go untested"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as p:
        with p.chromium.launch(executable_path=path, args=FLAGS) as browser:
            yield browser


@pytest.fixture(scope="module")
def one_page(browser) -> Iterator[Page]:
    """The page for all widgets of a module, each loaded anew. To open one for each takes three times as long."""
    context = browser.new_context()
    page = context.new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    yield page
    context.close()


@pytest.fixture
def page(one_page) -> Iterator[Page]:
    """A page with nothing on it; the test fails if the page raises an error."""
    one_page.set_viewport_size({"width": 1000, "height": 900})
    one_page.mouse.move(0, 0)
    yield one_page
    one_page.goto("about:blank")
    errors, one_page.errors = one_page.errors, []
    assert not errors


@dataclass
class PageLog:
    """What a page has asked other hosts for, and every error since `listen` or the last `take`."""

    elsewhere: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def listen(self, page: Page) -> "PageLog":
        page.on("request", lambda request: self.asked(request.url))
        page.on("websocket", lambda socket: self.asked(socket.url))
        page.on("pageerror", lambda error: self.errors.append(f"page error: {error}"))
        page.on("console", self.said)
        page.on("response", lambda r: r.status >= 400 and self.errors.append(f"HTTP {r.status}: {r.url}"))
        page.on("requestfailed", lambda r: self.failed(r.url, r.failure))
        return self

    def asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("file", "data", "blob", "about") and parts.hostname != "127.0.0.1":
            self.elsewhere.append(url)

    def said(self, message) -> None:
        if message.type == "error":
            self.errors.append(f"console: {message.text} ({message.location.get('url', '')})")

    def failed(self, url: str, why: str) -> None:
        if why != "net::ERR_ABORTED":  # a page that was left, or a film that was not played to its end
            self.errors.append(f"{why}: {url}")

    def take(self) -> list[str]:
        """Everything since the last call."""
        found = [f"asked another host: {url}" for url in self.elsewhere] + self.errors
        self.elsewhere, self.errors = [], []
        return found


@pytest.fixture(scope="module")
def tabs(browser):
    """Where a module's pages open: one cache for all, so that scripts which they share are fetched once."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    yield context
    context.close()


@pytest.fixture
def tab(tabs) -> Iterator[Page]:
    """An empty page with its `PageLog`, `tab.log`."""
    page = tabs.new_page()
    page.log = PageLog().listen(page)
    yield page
    page.close()


HTML = """<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8"><title>A widget</title>
<style>html[data-theme=dark] {{ --pst-color-text-base: #eee; --pst-color-background: #111; background: #111 }}</style>
<script>window.require = {{ paths: {{ anywidget: "{anywidget}" }} }}</script><script src="{vendor}/require.js"></script>
<script src="{vendor}/embed-amd.js" data-jupyter-widgets-cdn="/no-cdn/"></script>
<script type="application/vnd.jupyter.widget-state+json">{state}</script>
<main><script type="application/vnd.jupyter.widget-view+json">{view}</script></main>"""


@pytest.fixture
def show(page, tmp_path):
    """show(widget) puts it alone on a page, with no kernel, and returns the page once it is drawn."""

    def show(widget) -> Page:
        data = embed_data([widget], drop_defaults=False)
        safe = lambda x: json.dumps(x).replace("</", "<\\/")  # noqa: E731
        paths = {"vendor": VENDOR.as_uri(), "anywidget": ANYWIDGET.as_uri()}
        html = HTML.format(**paths, state=safe(data["manager_state"]), view=safe(data["view_specs"][0]))
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        page.goto(path.as_uri())
        page.wait_for_function("() => document.querySelector('.dedu')?.drawn")
        return page

    return show


def numbers(page: Page) -> dict:
    """What the widget on the page computed last, in full precision."""
    return page.evaluate("document.querySelector('.dedu').numbers")


def drawn(page: Page) -> tuple[str, ...]:
    """The widget's pictures, to tell whether they changed."""
    return tuple(page.evaluate("[...document.querySelectorAll('.dedu canvas')].map((c) => c.toDataURL())"))


def set_traits(page: Page, **traits) -> None:
    """Sets the canvas's traits as a control would, and waits until it has been drawn."""
    page.evaluate("(t) => { const m = document.querySelector('.dedu').model; m.set(t); m.save_changes(); }", traits)


if __name__ == "__main__":
    install_browser()
