"""Measures how far the website reaches: python tools/bench/website.py [--quick]      (after `make book`)

In headless Chromium, every host but this one unresolvable: requests, errors, accessibility and weight of each page,
how long a widget takes to be alive and to answer, and how long the site takes to build. Writes site.json and site.md
beside this file, and puts the table between the page's bench-site markers. --quick measures two pages, writes none.
"""

import argparse
import itertools
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from browsing import FLAGS, PageLog, find_browser
from build_book import HTML
from playwright.sync_api import Browser, Page, sync_playwright
from site_tools import (
    EMPTY_FORMULAS,
    NARROW,
    OPEN,
    THEME,
    WIDE,
    WIDGETS,
    loaded,
    resized,
    served,
    site_pages,
    violations,
    widgets_of,
)

from diffusion_edu import gaussian, schedules
from notebooks import ROOT

# The page's clock starts with the load; drawn.at is read on it.
FIRST_ALIVE = """() => {
  const look = () => {
    const drawn = document.querySelector(".dedu")?.drawn;
    if (drawn) window.firstAlive = drawn.at; else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""
SYNTHETIC = """([box, n]) => {
  const handle = box.querySelector(".noUi-handle"), root = box.querySelector(".dedu"), taken = [];
  for (let i = 0; i < n; i++) {
    const start = performance.now(), count = root.drawn.count, key = (i / 100) % 2 < 1 ? "ArrowRight" : "ArrowLeft";
    handle.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    if (root.drawn.count > count) taken.push(root.drawn.at - start);
  }
  return taken;
}"""
TRUSTED = """(box) => {
  const root = box.querySelector(".dedu");
  window.taken = [];
  addEventListener("keydown", (e) => {
    const count = root.drawn.count, heard = performance.now() - e.timeStamp;
    setTimeout(() => { if (root.drawn.count > count) window.taken.push([root.drawn.at - e.timeStamp, heard]); });
  }, true);
  box.querySelector(".noUi-handle").focus();
}"""
FRAMES = """() => {
  window.frames_seen = [];
  const look = (now) => { window.frames_seen.push(now); requestAnimationFrame(look); };
  requestAnimationFrame(look);
}"""
FILM = "[...document.querySelectorAll('.dedu-box')].find((b) => b.querySelector('.dedu')?.numbers.xt)"


def quantile(values: list[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def row(what: str, aim: str, measured: str) -> dict[str, str]:
    return {"what": what, "aim": aim, "measured": measured, "met": verdict(aim, measured)}


def verdict(aim: str, measured: str) -> str:
    """Whether what was measured keeps to its aim, "yes" or "no", "" where there is none: each of the aims between
    slashes is the most that the number may be which stands first in its place."""
    if not aim:
        return ""
    most = [float(part.removeprefix("≤ ")) for part in aim.split(" / ")]
    found = [float(re.match(r"[\d.]+(?:e-?\d+)?", part)[0]) for part in measured.split(" / ")]
    return "yes" if "FAILED" not in measured and all(a <= b for a, b in zip(found, most, strict=True)) else "no"


def bench_pages(browser: Browser, address: str, pages: list[str]) -> list[dict]:
    """Requests, errors and accessibility of every page, over HTTP, and from file:// the first two."""
    elsewhere, errors, broken = [], [], []
    for name in pages:
        context = browser.new_context(viewport=WIDE)
        log, page = PageLog(), context.new_page()
        log.listen(page)
        loaded(page, (HTML / name).as_uri(), widgets_of(name))
        loaded(page, address + name, widgets_of(name))
        page.evaluate(EMPTY_FORMULAS)
        broken += [f"{name}, folded: {line}" for line in violations(page)]
        page.evaluate(OPEN)
        for size in (WIDE, NARROW):
            resized(page, size)
            for theme in ("light", "dark"):
                page.evaluate(THEME, theme)
                broken += [f"{name}, {size['width']} px, {theme}: {line}" for line in violations(page)]
        elsewhere, errors = elsewhere + log.elsewhere, errors + log.errors
        context.close()
    for line in elsewhere + errors + broken:
        print(line)
    return [
        row(f"requests to other hosts, {len(pages)} pages, over HTTP and from the folder", "0", str(len(elsewhere))),
        row("page errors, console errors, HTTP ≥ 400, on the same", "0", str(len(errors))),
        row("axe-core, WCAG 2.2 A and AA, light and dark, 390 and 1200 px, folded and open", "0", str(len(broken))),
    ]


def bench_weight(browser: Browser, address: str, pages: list[str]) -> list[dict]:
    """What the first page and the notebooks' pages load with an empty cache when they are read to their end and no film
    is played: requests and KiB, as the server sends them, uncompressed."""
    loads = {}
    for name in (name for name in pages if name.startswith(("notebooks/", "intro"))):
        context = browser.new_context(viewport=WIDE)
        page, bodies = context.new_page(), {}
        page.on("response", lambda r, bodies=bodies: bodies.update({r.url: r}))
        loaded(page, address + name, widgets_of(name))
        page.evaluate("async () => { for (let y = 0; y < document.body.scrollHeight; y += 700) {"
                      " scrollTo(0, y); await new Promise((r) => setTimeout(r, 60)); } }")  # fmt: skip
        page.wait_for_load_state("networkidle")
        sizes = [(r.request.resource_type, len(r.body())) for url, r in bodies.items() if url.startswith("http")]
        own = sum(size for kind, size in sizes if kind in ("document", "image", "media"))
        loads[Path(name).stem] = (len(sizes), sum(size for _, size in sizes) / 1024, own / 1024)
        context.close()
    print(json.dumps(loads))
    first = loads.pop("intro")
    heaviest = max(loads, key=lambda stem: loads[stem][1])
    count, everything, _ = loads[heaviest]
    mean = statistics.mean(of_its_own for _, _, of_its_own in loads.values())
    most = max(loads, key=lambda stem: loads[stem][2])
    told = f"{loads[most][2]:.0f} ({most}), mean {mean:.0f}"
    return [
        row("first page, everything it loads, KiB (requests)", "≤ 700", f"{first[1]:.0f} ({first[0]})"),
        row(
            "heaviest notebook page, everything it loads, KiB (requests)", "", f"{everything:.0f} ({count}, {heaviest})"
        ),
        row("weight of the heaviest notebook page (HTML, images, media before play), KiB", "≤ 600", told),
    ]


def bench_alive(browser: Browser, url: str, repeats: int) -> list[dict]:
    """From the start of a page's load to its first drawn widget: with an empty cache, and once more with a full one."""
    cold, warm = [], []
    for _ in range(repeats):
        context = browser.new_context(viewport=WIDE)
        for taken in (cold, warm):
            page = context.new_page()
            page.add_init_script(f"({FIRST_ALIVE})()")
            page.goto(url)
            page.wait_for_function("window.firstAlive", timeout=60_000)
            taken.append(page.evaluate("window.firstAlive") / 1000)
            page.close()
        context.close()
    told = [f"{statistics.median(t):.2f} ({min(t):.2f} to {max(t):.2f})" for t in (cold, warm)]
    return [
        row(f"first widget alive after load, cold, s (median and range of {repeats})", "≤ 1.5", told[0]),
        row("the same, warm, s", "", told[1]),
    ]


def bench_redraw(page: Page, synthetic: int, trusted: int) -> list[dict]:
    """From a key to the canvas drawn, on the forward film; then on every widget of the page that has a slider."""
    film = page.evaluate_handle(FILM)
    points = page.evaluate("(b) => b.querySelector('.dedu').numbers.xt.length / 2", film)
    film.as_element().scroll_into_view_if_needed()
    keys = page.evaluate(SYNTHETIC, [film, synthetic])
    page.wait_for_timeout(2000)  # pictures that were drawn faster than they could be shown
    page.evaluate(TRUSTED, film)
    for i in range(trusted):
        page.keyboard.press("ArrowRight" if i % 100 < 50 else "ArrowLeft")
        page.wait_for_timeout(30)  # as a key that is held repeats
    real, heard = zip(*page.evaluate("window.taken"), strict=True)
    others = [page.evaluate(SYNTHETIC, [box, 100]) for box in page.query_selector_all(f"{WIDGETS}:has(.noUi-handle)")]
    slowest = max(statistics.median(taken) for taken in others if taken)
    told = [f"{statistics.median(t):.1f} / {quantile(list(t), 0.95):.1f}" for t in (keys, real, heard)]
    aim = "≤ 2 / ≤ 5"
    return [
        row(f"input to redraw, {points:,} points, {len(keys)} synthetic keys, ms (median / 95 %)", aim, told[0]),
        row(
            f"the same, {len(real)} keys through the browser, 30 a second, from their time stamps, ms",
            aim,
            told[1],
        ),
        row("of it, what the browser takes until the page hears of the key, ms (median / 95 %)", "", told[2]),
        row("the same, the slowest widget of the page, synthetic keys, ms (median)", "", f"{slowest:.1f}"),
    ]


def dropped(page: Page) -> tuple[int, int]:
    """(frames dropped, frames due) since FRAMES: a gap of k frames' length has dropped k − 1."""
    seen = page.evaluate("window.frames_seen.splice(0)")
    gaps = [b - a for a, b in itertools.pairwise(seen)]
    due = [max(1, round(gap / (1000 / 60))) for gap in gaps]
    return sum(due) - len(due), sum(due)


def bench_drag(page: Page, seconds: float) -> list[dict]:
    """Frames that fail to come while the forward film's slider is dragged to and fro, and while nothing happens."""
    handle = page.evaluate_handle(f"{FILM}.querySelector('.noUi-handle')").as_element()
    track = page.evaluate_handle(f"{FILM}.querySelector('.noUi-target')").as_element()
    track.scroll_into_view_if_needed()
    page.evaluate(FRAMES)
    page.wait_for_timeout(1000 * seconds)
    still = dropped(page)
    at, bar = handle.bounding_box(), track.bounding_box()
    y, start, step = at["y"] + at["height"] / 2, time.monotonic(), 0
    page.mouse.move(at["x"] + at["width"] / 2, y)
    page.mouse.down()
    while time.monotonic() - start < seconds:
        step += 1
        page.mouse.move(bar["x"] + bar["width"] * abs((step % 120) / 60 - 1), y)
        page.wait_for_timeout(8)
    page.mouse.up()
    lost, due = dropped(page)
    return [
        row("frames dropped while dragging, of those due", "0", f"{lost} of {due}"),
        row("the same while nothing happens", "", f"{still[0]} of {still[1]}"),
    ]


def bench_maths(page: Page) -> list[dict]:
    """Largest relative deviation of what the forward film shows, over all its t, from the library."""
    show = "([b, t]) => { const d = b.querySelector('.dedu'); d.model.set('t', t); return d.numbers; }"
    film, schedule = page.evaluate_handle(FILM), schedules.cosine(1000)
    square, worst = page.evaluate("(b) => b.querySelector('.dedu').model.get('square')", film), 0.0
    prior = gaussian.Gaussian(torch.zeros(2).double(), torch.ones(2).double())
    x0 = torch.full((2,), (square / 2) ** 0.5, dtype=torch.float64)  # as far from 0 as the data are on average
    for t in range(1, schedule.T + 1, 9):
        a, got = schedule.alpha_bar[t], page.evaluate(show, [film, t])
        nats = gaussian.kl(gaussian.Gaussian(a.sqrt() * x0, (1 - a).expand(2)), prior)
        for name, value in (("alpha_bar", a), ("snr", schedule.snr[t]), ("nats", nats)):
            worst = max(worst, abs(got[name] / float(value) - 1))
    what = "browser mathematics against the library's, forward film, largest relative deviation"
    return [row(what, "≤ 1e-6", f"{worst:.0e}")]


def bench_build() -> list[dict]:
    """Seconds to build the site from the committed outputs, in a copy."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "_build", "runs", "__pycache__"))
        start = time.perf_counter()
        build = [sys.executable, "tools/build_book.py", "--all"]
        status = subprocess.run(build, cwd=copy, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
        seconds = time.perf_counter() - start
    return [row("building the site from committed outputs, s", "≤ 40", f"{seconds:.0f}{' (FAILED)' * bool(status)}")]


def measure(quick: bool) -> tuple[list[dict], dict]:
    path, pages = find_browser(), site_pages()
    if path is None:
        sys.exit("no browser: install Chromium or Chrome, or set BROWSER_PATH")
    film = next(name for name in pages if name.startswith("notebooks/03"))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    rows = [] if quick else bench_build()
    with (
        sync_playwright() as p,
        served(HTML) as address,
        p.chromium.launch(executable_path=path, args=FLAGS) as browser,
    ):
        about = {"python": platform.python_version(), "Chromium": browser.version, "cores": os.cpu_count()}
        rows += bench_alive(browser, address + film, 2 if quick else 7)
        page = browser.new_page(viewport=WIDE)
        loaded(page, address + film, widgets_of(film))
        rows += bench_redraw(page, 400, 200) + bench_drag(page, 1 if quick else 4) + bench_maths(page)
        page.close()
        some = [film, "intro.html"] if quick else pages
        rows += bench_weight(browser, address, some) + bench_pages(browser, address, some)
    return rows, {**about, "other load at the start (processes)": round(load, 1)}


def table(rows: list[dict]) -> str:
    lines = ["| what | aim | measured | met |", "| --- | --- | --- | --- |"]
    return "\n".join(lines + [f"| {r['what']} | {r['aim']} | {r['measured']} | {r['met']} |" for r in rows])


def write(rows: list[dict], about: dict) -> None:
    """tools/bench/site.json, tools/bench/site.md and the table of docs/measured.md."""
    folder, page_of_tables = ROOT / "tools" / "bench", ROOT / "docs" / "measured.md"
    folder.mkdir(exist_ok=True)
    text = json.dumps({"machine": about, "rows": rows}, indent=2, ensure_ascii=False) + "\n"
    (folder / "site.json").write_text(text, encoding="utf-8")
    note = ", ".join(f"{name} {value}" for name, value in about.items())
    text = f"{table(rows)}\n\nMeasured on a shared machine: {note}.\n"
    (folder / "site.md").write_text(text, encoding="utf-8")
    block = f"<!-- bench-site -->\n{text}<!-- /bench-site -->"
    old = page_of_tables.read_text(encoding="utf-8")
    new = re.sub(r"<!-- bench-site -->.*<!-- /bench-site -->", lambda _: block, old, flags=re.S)
    page_of_tables.write_text(new, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    rows, about = measure(args.quick)
    print(table(rows), json.dumps(about, ensure_ascii=False), sep="\n\n")
    missed = [f"missed: {r['what']}: {r['measured']}, aim {r['aim']}" for r in rows if r["met"] == "no"]
    print("\n".join(missed) or "every aim is met")
    if not args.quick:
        write(rows, about)


if __name__ == "__main__":
    main()
