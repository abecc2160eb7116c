"""The figures of a built page: which are line drawings, and the wide ones once more in two halves, for a phone.

On a phone a row of panels would be as wide as the screen and its letters too small to read. So it is cut in two beside
a panel, and the halves stand one below the other. A notebook stores only the picture, so the panels are found in it.
"""

import re
from pathlib import Path

import numpy as np
from PIL import Image

PLOT = re.compile(r'<img ((?:(?!class=)[^>])*)class="([^"]*\bplot\b[^"]*)"([^>]*?)/?>')
SIDES = ("left half", "right half", "legend", "legend, continued")
MARGIN = 12  # pixels right of a panel, in which no more than its last number ends


def runs(marked: np.ndarray) -> list[tuple[int, int]]:
    """From where to where a row of marks is marked."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marked.astype(int), [0]]))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def place_to_cut(ink: np.ndarray) -> tuple[int, int]:
    """The column at which a picture, true where it isn't blank, is cut, and the row down to which: the column is blank
    and right of a panel, the one that ends nearest the middle. What stands below the row, if anything, is a legend that
    lies across. (0, 0) if there is no such place."""
    high, wide = ink.shape
    blank_rows = [start for start, _ in runs(~ink.any(1)) if start > high / 2]
    panels = ink[: blank_rows[0] if blank_rows else high].any(0)  # below them stand numbers, a name, a legend
    ends = [end for start, end in runs(panels) if end - start > 0.12 * wide and 0.3 * wide < end < 0.7 * wide]
    for low in [high, *blank_rows[:0:-1]]:
        for end in sorted(ends, key=lambda end: abs(end - wide / 2)):
            for start, stop in runs(~ink[:low, end : end + MARGIN].any(0)):
                if stop - start > 3:  # not the space between two letters of a legend
                    return end + (start + stop) // 2, low
    return 0, 0


def halves(path: Path) -> dict[str, int]:
    """The two halves of a picture that is much wider than high, and two more for a legend across both, made if they are
    not there: the width of each file by its name. Empty for any other picture."""
    with Image.open(path) as image:
        wide, high = image.size
        if wide < 2.4 * high or wide < 500:
            return {}
        ink = np.asarray(image.convert("L")) < 250
        at, low = place_to_cut(ink)
        if not at:
            return {}
        boxes = [(0, 0, at, low), (at, 0, wide, low)]
        if low < high:
            gap = max(runs(~ink[low:, wide // 4 : -wide // 4].any(0)), key=lambda run: run[1] - run[0])
            between = wide // 4 + sum(gap) // 2
            inked = np.flatnonzero(ink[low:].any(0))
            boxes += [(inked[0] - 4, low, between, high), (between, low, inked[-1] + 4, high)]
        names = [f"{path.stem}-{part}.png" for part in "abcd"[: len(boxes)]]
        for name, box in zip(names, boxes, strict=True):
            if not path.with_name(name).exists():
                image.crop(box).save(path.with_name(name))
        return {name: box[2] - box[0] for name, box in zip(names, boxes, strict=True)}


def is_line_drawing(path: Path) -> bool:
    """Whether most of a picture is blank paper, so that its light may be turned round where the page is dark."""
    with Image.open(path) as image:
        counts = image.convert("L").histogram()
    return sum(counts[246:]) > 0.4 * sum(counts)


def dress_pictures(page: str, folder: Path) -> str:
    """Marks the line drawings, and gives the wide ones two halves for a phone."""

    def dress(match: re.Match) -> str:
        tag = match[0]
        src = re.search(r'src="([^"]*)"', tag)[1]
        if not src.endswith(".png"):
            return tag
        path = folder / src
        if is_line_drawing(path):
            tag = tag.replace('class="', 'class="line-drawing ', 1)
        if parts := halves(path):
            base = src.rpartition("/")[0]
            alt = re.search(r'alt="([^"]*)"', tag)[1]
            cut = [
                re.sub(r'src="[^"]*"', f'src="{base}/{name}"', re.sub(r' (?:width|height)="\d+"', "", tag))
                .replace(alt, f"{alt}: {side}")
                .replace('class="', f'style="width: {100 * width / max(parts.values()):.0f}%" class="half ', 1)
                for (name, width), side in zip(parts.items(), SIDES, strict=False)
            ]
            tag = tag.replace('class="', 'class="whole ', 1) + "".join(cut)
        return tag

    return PLOT.sub(dress, page)
