"""A film inside a page or a notebook."""

import base64
import html
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from .encode import checked_out, poster_of


def video_html(sources: Iterable[str], text: str, poster: str, size: tuple[int, int] = (384, 384)) -> str:
    """The HTML of a film for a notebook or a page: it starts when asked to, without sound, and loads nothing before.

    sources: relative addresses of the same film, .webm or .mp4, the browser takes the first it can play; text:
    what the film shows, for those who cannot see it; poster: the still picture's relative address; size: width and
    height in pixels. Raises ValueError for no source, another suffix, an address that is not relative, or no text.
    """
    sources = list(sources)
    if not sources or not text.strip():
        raise ValueError(f"a film needs a source and a text that says what it shows, got {sources} and {text!r}")
    for address in (*sources, poster):
        if ":" in address or address.startswith(("/", "\\")):
            raise ValueError(f"addresses must be relative, so that a page asks no other host; got {address!r}")
    kinds = {".webm": "video/webm", ".mp4": "video/mp4"}
    if unknown := [s for s in sources if Path(s).suffix not in kinds]:
        raise ValueError(f"a browser plays .webm and .mp4, got {unknown}")
    return _video([(s, kinds[Path(s).suffix]) for s in sources], text, poster, size)


def embedded_html(out: Path, text: str) -> str:
    """The same for a film in the file `out`, .mp4 or .webm, with the film and its poster inside the HTML: a notebook
    that shows it stays one file. Raises ValueError if there is no such film with its poster, or no text."""
    out = checked_out(out)
    if out.suffix == ".gif" or not (out.is_file() and poster_of(out).is_file() and text.strip()):
        raise ValueError(f"embedding needs an .mp4 or .webm with its poster, and a text, got {out} and {text!r}")
    kind = f"video/{out.suffix[1:]}"
    with Image.open(poster_of(out)) as still:
        size = still.size
    film, poster = (base64.b64encode(path.read_bytes()).decode() for path in (out, poster_of(out)))
    return _video([(f"data:{kind};base64,{film}", kind)], text, f"data:image/png;base64,{poster}", size)


def _video(sources: list[tuple[str, str]], text: str, poster: str, size: tuple[int, int]) -> str:
    said = html.escape(text)
    inside = "".join(f'<source src="{html.escape(address)}" type="{kind}">' for address, kind in sources)
    return (
        f'<video controls muted loop playsinline preload="none" width="{size[0]}" height="{size[1]}" '
        f'poster="{html.escape(poster)}" aria-label="{said}" style="max-width: 100%; height: auto">'
        f"{inside}{said}</video>"
    )
