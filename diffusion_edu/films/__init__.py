"""Films of the forward and of the reverse process, of any model and data set: mp4, webm or GIF, without sound.

A film is made of frames (t, x_t), as `diffusion.forward_path` and `samplers.reverse_path` yield them, and of a
function `draw` (t, x_t, x₀) → picture, which gets x₀, the frame with the smallest t, so that a point can keep the
colour of the place it comes from or goes to. Pictures are (H, W, 3) arrays of bytes.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..diffusion import forward_path
from ..oracles import Denoiser
from ..samplers import ANCESTRAL, Step, reverse_path
from ..schedules import Schedule
from .draw import Draw, arc_colours, draw_images, draw_points, drawing_of
from .encode import checked_out, poster_of, write
from .html import embedded_html, video_html

__all__ = [
    "Draw",
    "Frame",
    "arc_colours",
    "checked_out",
    "draw_images",
    "draw_points",
    "drawing_of",
    "embedded_html",
    "film",
    "forward",
    "poster_of",
    "reverse",
    "shown_times",
    "video_html",
    "write",
]

Frame = tuple[int, Tensor]


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
