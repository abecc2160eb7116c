"""Pictures to a file: mp4 (H.264), webm (VP9) or GIF, as good as fits into a size."""

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import IO, cast

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from ..files import replacing

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
    with replacing(out) as new:
        for quality in QUALITIES[out.suffix]:
            bar = tqdm(pictures, desc=f"{out.name}, quality {quality}", unit=" frames", disable=not progress)
            _encode(bar, new, pictures[0].shape, fps, quality)
            if new.stat().st_size <= kib * 1024:
                break
        else:
            size = new.stat().st_size / 1024
            raise ValueError(f"{out.name} takes {size:.0f} KiB, more than kib = {kib}: show fewer points or frames")
        if still is not None:
            with replacing(poster_of(out)) as new_poster:
                Image.fromarray(still).quantize(64, dither=Image.Dither.NONE).save(new_poster, optimize=True)


def _encode(pictures: Iterable[np.ndarray], out: Path, shape: tuple[int, ...], fps: int, quality: int) -> None:
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError as e:
        raise ValueError("films need the package imageio-ffmpeg: pip install imageio-ffmpeg") from e
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{shape[1]}x{shape[0]}", "-r", str(fps), "-i", "-"]
    how = [word.format(quality=quality) for word in ENCODERS[out.suffix]]
    command = [get_ffmpeg_exe(), "-y", "-v", "error", *source, *how, "-an", "-fflags", "+bitexact", str(out)]
    encoder = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    pipe = cast(IO[bytes], encoder.stdin)
    try:
        for picture in pictures:
            pipe.write(np.ascontiguousarray(picture).data)
    except OSError:
        pass  # the encoder has stopped reading; its message is read below
    except BaseException:
        encoder.kill()
        raise
    finally:
        said = encoder.communicate()[1].decode(errors="replace").strip()
    if encoder.returncode:
        raise ValueError(f"ffmpeg failed: {said or f'it ended with code {encoder.returncode}'}")


def poster_of(out: Path) -> Path:
    """Where a film's still picture lies: reverse.mp4 and reverse.webm share reverse-poster.png."""
    return out.with_name(f"{out.stem}-poster.png")


def checked_out(out: Path) -> Path:
    """The path, if a film can be written there. ValueError for another suffix or a folder that does not exist."""
    out = Path(out)
    if out.suffix not in ENCODERS:
        raise ValueError(f"a film's name ends in {', '.join(ENCODERS)}, got {out.name}")
    if not out.parent.is_dir() or out.is_dir():
        raise ValueError(f"a film must be a file in an existing directory, got {out}")
    return out


def _check_pictures(pictures: list[np.ndarray]) -> None:
    for picture in pictures:
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape != (*pictures[0].shape[:2], 3):
            raise ValueError(f"pictures must be (H, W, 3) of bytes, of one size, got {picture.shape} {picture.dtype}")
    height, width = pictures[0].shape[:2]
    if height % 2 or width % 2 or height * width == 0:
        raise ValueError(f"a film's height and width must be even, got {height} × {width}")
