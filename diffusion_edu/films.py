"""Films of the forward and of the reverse process, of any model and data set: mp4, webm or GIF, without sound.

A film is made of frames (t, x_t), as `diffusion.forward_path` and `samplers.reverse_path` yield them, and of a
function `draw` (t, x_t, x₀) → picture, which gets x₀, the frame with the smallest t, so that a point can keep the
colour of the place it comes from or goes to. Pictures are (H, W, 3) arrays of bytes.
"""

import base64
import html
import math
import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from tqdm.auto import tqdm

from .data import Data, SwissRoll
from .diffusion import forward_path
from .oracles import Denoiser
from .plots import EXTRA, LIMIT, MODEL, Q
from .samplers import ANCESTRAL, Step, reverse_path
from .schedules import Schedule

Frame = tuple[int, Tensor]
Draw = Callable[[int, Tensor, Tensor], np.ndarray]
STRIP = 26  # pixels of a film's height that t takes

_RGB = ["-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"]
_YUV = [*_RGB, "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
_GIF = "split[a][b];[a]palettegen=max_colors={quality}[p];[b][p]paletteuse=dither=none:diff_mode=rectangle"
ENCODERS = {
    ".mp4": [*_YUV, *"-c:v libx264 -preset slow -crf {quality} -movflags +faststart -f mp4".split()],
    ".webm": [*_YUV, *"-c:v libvpx-vp9 -cpu-used 4 -crf {quality} -b:v 0 -f webm".split()],
    ".gif": ["-filter_complex", _GIF, *"-loop 0 -f gif".split()],
}
# The codecs' constant rate factors, and the colours of a GIF, from good to poor: a film gets the first that fits.
QUALITIES = {".mp4": (26, 30, 34, 38), ".webm": (38, 43, 48, 53), ".gif": (48, 24, 12)}


# --- the two processes ---


def forward(
    x0: Tensor,
    schedule: Schedule,
    draw: Draw,
    out: Path,
    frames: int = 100,
    generator: torch.Generator | None = None,
    poster: float = 0.25,
    progress: bool = True,
    **settings,
) -> Path:
    """The forward process from the data x0 (n, D) to noise, one path of q(x_t|x_{t−1}), as a film in `out`.

    Shows `frames` of the T + 1 times, see `shown_times`. The settings go to `film`.
    """
    out, times = checked_out(out), list(range(schedule.T + 1))
    path = forward_path(x0, schedule, generator)
    shown = _shown(path, times, schedule, frames, progress)
    return film(shown, draw, out, poster=poster, progress=progress, **settings)


def reverse(
    denoiser: Denoiser,
    schedule: Schedule,
    x_T: Tensor,
    draw: Draw,
    out: Path,
    frames: int = 100,
    step: Step = ANCESTRAL,
    steps: int | None = None,
    generator: torch.Generator | None = None,
    poster: float = 0.8,
    progress: bool = True,
    **settings,
) -> Path:
    """The reverse process from the noise x_T (n, D) to data as a film in `out`, see `samplers.reverse_path`.

    Shows `frames` of the times it passes, see `shown_times`. The settings go to `film`.
    """
    out, times = checked_out(out), schedule.respaced(schedule.T if steps is None else steps)[1].tolist()
    path = reverse_path(denoiser, schedule, x_T, step, steps, generator)
    shown = _shown(path, times, schedule, frames, progress)
    return film(shown, draw, out, poster=poster, progress=progress, **settings)


def _shown(path: Iterable[Frame], times: list[int], schedule: Schedule, frames: int, progress: bool) -> list[Frame]:
    shown = set(shown_times(schedule, times, frames))
    bar = tqdm(path, desc="path", total=len(times), unit=" steps", disable=not progress)
    return [(t, x) for t, x in bar if t in shown]


def shown_times(schedule: Schedule, times: Iterable[int], frames: int) -> list[int]:
    """At most `frames` of the times, first and last among them, about equally spaced in the noise's standard deviation
    √(1−ᾱ_t): a film that is even in t would spend half its length on noise. ValueError if frames < 2."""
    if frames < 2:
        raise ValueError(f"frames must be at least 2, got {frames}")
    times = sorted(times)
    noise = (1 - schedule.alpha_bar[times]).clamp(min=0).sqrt().numpy()
    wanted = np.linspace(noise[0], noise[-1], frames)
    return sorted({times[i] for i in np.abs(noise[:, None] - wanted).argmin(0)})


# --- drawing ---


def draw_points(
    colours=None, size: int = 384, limit: float = LIMIT, radius: float = 2.0, opacity: float = 0.85
) -> Draw:
    """Draws points (n, 2) as discs on white, the plane from −limit to limit on `size` × `size` pixels, with t in the
    upper left corner.

    colours: a function x₀ (n, 2) → (n, 3) in [0, 1]; all in the models' orange if None. radius in pixels. The
    discs have soft edges and mix where they overlap, in no order. The function raises ValueError for points
    that are not in the plane.
    """

    def draw(t: int, xt: Tensor, x0: Tensor) -> np.ndarray:
        if xt.ndim != 2 or xt.shape[1] != 2:
            raise ValueError(f"points to draw must be (n, 2), got {tuple(xt.shape)}")
        rgb = np.tile(rgb_of(MODEL), (len(x0), 1)) if colours is None else colours(x0)
        x = xt.double().cpu().numpy()
        at = (np.stack([x[:, 0], -x[:, 1]], axis=1) / limit + 1) * size / 2  # pixels from the upper left corner
        return labelled(splat(at.clip(-size, 2 * size), rgb, size, radius, opacity), f"t = {t}")

    return draw


def splat(at: np.ndarray, rgb: np.ndarray, size: int, radius: float, opacity: float) -> np.ndarray:
    """Discs of colours rgb (n, 3) in [0, 1] at the pixel positions at (n, 2), on white, (size, size, 3) of bytes."""
    reach = np.arange(-int(radius + 1), int(radius + 1) + 1)
    down, right = (d.ravel() for d in np.meshgrid(reach, reach, indexing="ij"))
    column, row = (np.floor(at[:, i, None]).astype(int) + d for i, d in enumerate((right, down)))  # (n, k)
    distance = np.hypot(column + 0.5 - at[:, :1], row + 0.5 - at[:, 1:])
    cover = opacity * np.clip(radius + 0.5 - distance, 0, 1)  # of each pixel by each disc, with a soft edge
    seen = (cover > 0) & (column >= 0) & (column < size) & (row >= 0) & (row < size)
    disc, _ = np.nonzero(seen)
    pixels, where = np.unique((row * size + column)[seen], return_inverse=True)
    cover = cover[seen].clip(max=0.999)
    clear = np.exp(np.bincount(where, np.log1p(-cover)))[:, None]
    mixed = np.stack([np.bincount(where, cover * c) for c in rgb[disc].T], axis=1) / np.bincount(where, cover)[:, None]
    picture = np.full((size * size, 3), 255, np.uint8)
    picture[pixels] = np.round(255 * (clear + (1 - clear) * mixed))
    return picture.reshape(size, size, 3)


def draw_images(to_images: Callable[[Tensor], Tensor], columns: int, size: int = 384) -> Draw:
    """Draws images side by side, `columns` in a row, in grey on black, enlarged by a whole factor to at most `size`
    pixels across, with t in a strip above. to_images: (n, D) → (n, H, W) in [0, 1], such as `Digits.to_images`."""

    def draw(t: int, xt: Tensor, x0: Tensor) -> np.ndarray:
        images = to_images(xt).double().cpu().numpy()
        n, height, width = images.shape
        rows = -(-n // columns)
        blank = np.zeros((rows * columns - n, height, width))
        sheet = np.concatenate([images, blank]).reshape(rows, columns, height, width)
        framed = np.pad(sheet, ((0, 0), (0, 0), (0, 1), (0, 1)))  # a dark line between the images
        sheet = np.pad(framed.transpose(0, 2, 1, 3).reshape(rows * (height + 1), -1), ((1, 0), (1, 0)))
        factor = 2 * max(size // sheet.shape[1] // 2, 1)  # even, as the codecs' pictures must be
        big = np.round(255 * np.kron(sheet, np.ones((factor, factor)))).astype(np.uint8)
        big = np.pad(big, ((STRIP, 0), (0, 0)), constant_values=255)
        return labelled(np.repeat(big[..., None], 3, axis=2), f"t = {t}")

    return draw


def labelled(picture: np.ndarray, text: str) -> np.ndarray:
    """The picture with the text in its upper left corner, in a white box of `STRIP` pixels' height."""
    image = Image.fromarray(picture)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=2 * STRIP // 3)
    pen.rectangle((0, 0, pen.textlength(text, font=font) + 12, STRIP - 1), fill="white")
    pen.text((6, STRIP // 2), text, fill="black", font=font, anchor="lm")
    return np.asarray(image)


def rgb_of(colour: str) -> np.ndarray:
    """A colour written as #rrggbb as three numbers in [0, 1]."""
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def arc_colours(roll: SwissRoll) -> Callable[[Tensor], np.ndarray]:
    """The function x₀ (n, 2) → colours (n, 3) that runs along the roll, from blue inside over green to orange."""
    u = np.linspace(0, 1, 512)
    curve = roll.curve(u)
    stops = np.stack([rgb_of(c) for c in (Q, EXTRA[0], MODEL)])

    def colours(x0: Tensor) -> np.ndarray:
        nearest = u[torch.cdist(x0.to(curve), curve).argmin(1).numpy()]
        return np.stack([np.interp(nearest, np.linspace(0, 1, len(stops)), c) for c in stops.T], axis=1)

    return colours


def drawing_of(data: Data, n: int) -> Draw:
    """How n points of a data set are drawn: the roll's coloured along the roll, images as a square of them."""
    if not data.shape:
        return draw_points(arc_colours(data))
    return draw_images(data.to_images, columns=math.ceil(math.sqrt(n)))


# --- files ---


def film(
    frames: Iterable[Frame],
    draw: Draw,
    out: Path,
    fps: int = 20,
    hold: float = 1.5,
    poster: float = 1.0,
    kib: int = 290,
    progress: bool = True,
) -> Path:
    """Draws the frames (t, x_t) and writes them to `out`: .mp4 (H.264), .webm (VP9) or .gif by its suffix.

    The last frame stays for `hold` seconds. poster: where in the film, from 0 to 1, the still picture is taken that is
    written beside an mp4 or webm as NAME-poster.png. kib: what the file may take at most, the quality is lowered until
    it fits. A file is replaced whole or not at all, also on Ctrl-C. Raises ValueError for no frames, an x_t of
    another shape than the first, empty or not finite, times that neither only fall nor only rise, another suffix, a
    folder that does not exist, settings out of range, and a film that does not fit.
    """
    out = checked_out(out)
    frames = _checked_frames(frames)
    if not (1 <= fps <= 100 and 0 <= hold <= 60 and 0 <= poster <= 1):
        raise ValueError(f"fps must be in 1 … 100, hold in 0 … 60 s, poster in 0 … 1, got {fps}, {hold}, {poster}")
    x0 = min(frames, key=lambda frame: frame[0])[1]
    pictures = [draw(t, x, x0) for t, x in frames]
    still = None if out.suffix == ".gif" else pictures[round(poster * (len(frames) - 1))]
    write(pictures + pictures[-1:] * round(hold * fps), out, fps, kib, still, progress)
    return out


def write(
    pictures: list[np.ndarray],
    out: Path,
    fps: int,
    kib: int = 290,
    still: np.ndarray | None = None,
    progress: bool = True,
) -> None:
    """Encodes pictures (H, W, 3) of bytes, all of one even size, as well as fits into `kib` KiB, and the picture
    `still`, if any, as the poster. ValueError if the poorest quality does not fit, or the encoder fails."""
    _check_pictures(pictures)
    new, new_poster = (out.with_name(f".{out.stem}.{os.getpid()}{end}") for end in (out.suffix, ".png"))
    try:
        for quality in QUALITIES[out.suffix]:
            bar = tqdm(pictures, desc=f"{out.name}, quality {quality}", unit=" frames", disable=not progress)
            _encode(bar, new, pictures[0].shape, fps, quality)
            if new.stat().st_size <= kib * 1024:
                break
        else:
            size = new.stat().st_size / 1024
            raise ValueError(f"{out.name} takes {size:.0f} KiB, more than kib = {kib}: show fewer points or frames")
        if still is not None:
            Image.fromarray(still).quantize(64, dither=Image.Dither.NONE).save(new_poster, optimize=True)
            os.replace(new_poster, poster_of(out))
        os.replace(new, out)
    finally:
        new.unlink(missing_ok=True)
        new_poster.unlink(missing_ok=True)


def _encode(pictures: Iterable[np.ndarray], out: Path, shape: tuple[int, ...], fps: int, quality: int) -> None:
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError as e:
        raise ValueError("films need the package imageio-ffmpeg: pip install imageio-ffmpeg") from e
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{shape[1]}x{shape[0]}", "-r", str(fps), "-i", "-"]
    how = [word.format(quality=quality) for word in ENCODERS[out.suffix]]
    command = [get_ffmpeg_exe(), "-y", "-v", "error", *source, *how, "-an", "-fflags", "+bitexact", str(out)]
    encoder = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        for picture in pictures:
            encoder.stdin.write(np.ascontiguousarray(picture).data)
    except OSError:
        pass  # the encoder has stopped reading; what it says follows
    except BaseException:
        encoder.kill()
        raise
    finally:
        said = encoder.communicate()[1].decode(errors="replace").strip()
    if encoder.returncode:
        raise ValueError(f"ffmpeg failed: {said}")


def poster_of(out: Path) -> Path:
    """Where a film's still picture lies: reverse.mp4 and reverse.webm share reverse-poster.png."""
    return out.with_name(f"{out.stem}-poster.png")


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


def checked_out(out: Path) -> Path:
    """The path, if a film can be written there. ValueError for another suffix or a folder that does not exist."""
    out = Path(out)
    if out.suffix not in ENCODERS:
        raise ValueError(f"a film's name ends in {', '.join(ENCODERS)}, got {out.name}")
    if not out.parent.is_dir() or out.is_dir():
        raise ValueError(f"a film must be a file in an existing directory, got {out}")
    return out


def _checked_frames(frames: Iterable[Frame]) -> list[Frame]:
    frames = [(int(t), torch.as_tensor(x)) for t, x in frames]
    if not frames:
        raise ValueError("a film needs at least one frame, got none")
    steps = np.diff([t for t, _ in frames])
    if not ((steps > 0).all() or (steps < 0).all()):
        raise ValueError(f"the frames' times must rise or fall, got {[t for t, _ in frames]}")
    for t, x in frames:
        if x.shape != frames[0][1].shape:
            raise ValueError(
                f"frames must have one shape, got {[tuple(x.shape) for x in (frames[0][1], x)]} at t = {t}"
            )
        if x.numel() == 0 or not bool(torch.isfinite(x).all()):
            raise ValueError(f"the frame at t = {t} is empty or holds numbers that are not finite")
    return frames


def _check_pictures(pictures: list[np.ndarray]) -> None:
    for picture in pictures:
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape != (*pictures[0].shape[:2], 3):
            raise ValueError(f"pictures must be (H, W, 3) of bytes, of one size, got {picture.shape} {picture.dtype}")
    height, width = pictures[0].shape[:2]
    if height % 2 or width % 2 or height * width == 0:
        raise ValueError(f"a film's height and width must be even, got {height} × {width}")
