"""Films are decoded again and compared with the points they were made of; files are whole, or the old ones."""

import base64
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shared import generator, needs_ffmpeg, randn

from diffusion_edu import files, films, samplers
from diffusion_edu.data import Digits, SwissRoll
from diffusion_edu.oracles import exact_denoiser
from diffusion_edu.plots import EXTRA, LIMIT, MODEL, Q
from diffusion_edu.schedules import cosine, linear

SIZE = 160
roll = SwissRoll(nodes=128)


def decoded(path: Path) -> np.ndarray:
    """All pictures of a film, (frames, H, W, 3)."""
    if path.suffix == ".gif":
        with Image.open(path) as gif:
            return np.stack([np.asarray((gif.seek(i), gif.convert("RGB"))[1]) for i in range(gif.n_frames)])
    from imageio_ffmpeg import read_frames

    frames = read_frames(path)
    width, height = next(frames)["size"]
    return np.stack([np.frombuffer(f, np.uint8).reshape(height, width, 3) for f in frames])


def described(path: Path) -> str:
    """What ffmpeg says of the file's streams."""
    from imageio_ffmpeg import get_ffmpeg_exe

    return subprocess.run([get_ffmpeg_exe(), "-i", str(path)], capture_output=True, text=True).stderr


def ink(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the picture is not white: positions in the plane (k, 2) and how dark each is (k,). Leaves out the label."""
    dark = 255.0 - picture.astype(float).min(axis=-1)
    dark[: films.draw.STRIP, : picture.shape[1] // 3] = 0
    row, column = np.nonzero(dark > 60)
    half = picture.shape[0] / 2
    at = np.stack([column + 0.5 - half, half - row - 0.5], axis=1) * LIMIT / half
    return at, dark[row, column]


def mean_difference(a: np.ndarray, b: np.ndarray) -> float:
    """Between two pictures, in levels of 255."""
    return np.abs(a.astype(float) - b).mean()


def off_the_roll(picture: np.ndarray) -> float:
    """The share of the ink that is further than 0.25 from the noiseless roll, four times its noise's deviation."""
    at, dark = ink(picture)
    near = torch.cdist(torch.from_numpy(at), roll.curve(np.linspace(0, 1, 400))).min(1).values
    return float(dark[near.numpy() > 0.25].sum() / dark.sum())


def drifting(frames: int = 8, n: int = 12) -> list[tuple[int, torch.Tensor]]:
    """A cloud that moves from the lower left to the right."""
    cloud = 0.3 * randn(n, 2, seed=3)
    return [(t, cloud + torch.tensor([0.25 * t - 1, 0.1 * t - 0.8])) for t in range(frames)]


draw = films.draw_points(size=SIZE, radius=3)


# --- what is written ---


@needs_ffmpeg
@pytest.mark.parametrize("suffix", films.encode.ENCODERS)
def test_every_frame_shows_the_points_where_they_are(tmp_path, suffix):
    frames = drifting()
    out = films.film(frames, draw, tmp_path / f"a{suffix}", fps=10, hold=0.5, progress=False)
    assert out == tmp_path / f"a{suffix}"
    pictures = decoded(out)
    assert pictures.shape == (len(frames) + 5, SIZE, SIZE, 3)
    for picture, (_, x) in zip(pictures, frames, strict=False):
        at, dark = ink(picture)
        # discs that overlap weigh less than two, and the codecs blur: 2 pixels of 160
        np.testing.assert_allclose(dark @ at / dark.sum(), x.mean(0), atol=2 * 2 * LIMIT / SIZE)
    for picture in pictures[len(frames) :]:  # the pause
        assert mean_difference(picture, pictures[len(frames) - 1]) < 1


@needs_ffmpeg
@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "h264"), (".webm", "vp9")])
def test_the_files_are_what_browsers_play_without_sound(tmp_path, suffix, codec):
    out = films.film(drifting(), draw, tmp_path / f"a{suffix}", fps=10, progress=False)
    streams = [line for line in described(out).splitlines() if "Stream #" in line]
    assert len(streams) == 1
    assert all(word in streams[0] for word in (codec, "yuv420p", "bt709", f"{SIZE}x{SIZE}", "10 fps"))
    if suffix == ".mp4":  # the index comes first, so that playing starts before all is loaded
        raw = out.read_bytes()
        assert 0 < raw.index(b"moov") < raw.index(b"mdat")


@needs_ffmpeg
def test_a_gif_loops_at_its_speed_and_needs_no_poster(tmp_path):
    out = films.film(drifting(), draw, tmp_path / "a.gif", fps=10, progress=False)
    with Image.open(out) as gif:
        assert (gif.info["loop"], gif.info["duration"]) == (0, 100)
    assert [p.name for p in tmp_path.iterdir()] == ["a.gif"]


@needs_ffmpeg
@pytest.mark.parametrize(("poster", "index"), [(0.0, 0), (0.5, 4), (1.0, 7)])
def test_the_poster_is_the_chosen_frame(tmp_path, poster, index):
    frames = drifting()
    films.film(frames, draw, tmp_path / "a.mp4", poster=poster, progress=False)
    still = np.asarray(Image.open(tmp_path / "a-poster.png").convert("RGB"))
    differences = [mean_difference(still, draw(t, x, x)) for t, x in frames]
    assert differences[index] < 0.3 * min(differences[:index] + differences[index + 1 :])
    assert differences[index] < 0.5  # of 255 levels: the poster has 64 colours
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a-poster.png", "a.mp4"]


@needs_ffmpeg
def test_a_film_gets_the_best_quality_that_fits(tmp_path, monkeypatch):
    tried, encode = [], films.encode._encode
    monkeypatch.setattr(films.encode, "_encode", lambda *a: (tried.append(a[-1]), encode(*a)))
    noise = [(t, randn(60, 2, seed=t)) for t in range(6)]
    out = films.film(noise, draw, tmp_path / "a.mp4", progress=False)
    assert tried == [26]
    best = out.stat().st_size / 1024
    films.film(noise, draw, out, kib=int(0.75 * best), progress=False)
    assert out.stat().st_size / 1024 <= int(0.75 * best)
    assert tried == [26, *films.encode.QUALITIES[".mp4"][: len(tried) - 1]]
    whole = out.read_bytes()
    with pytest.raises(ValueError, match=r"a\.mp4 takes \d+ KiB, more than kib = 1:"):
        films.film(noise, draw, out, kib=1, progress=False)
    assert out.read_bytes() == whole


# --- the processes ---


@pytest.mark.parametrize("schedule", [cosine(1000), linear(300), cosine(7)], ids=["cosine", "linear", "T = 7"])
def test_shown_times_are_even_in_the_noise(schedule):
    times = films.shown_times(schedule, range(schedule.T + 1), 21)
    assert times == sorted(set(times))
    assert (times[0], times[-1]) == (0, schedule.T)
    if schedule.T < 20:
        assert times == list(range(schedule.T + 1))
    else:
        noise = (1 - schedule.alpha_bar[times]).sqrt().numpy()
        assert len(times) == 21
        np.testing.assert_allclose(noise, np.linspace(noise[0], noise[-1], 21), atol=0.012)
    with pytest.raises(ValueError, match="frames must be at least 2, got 1"):
        films.shown_times(schedule, range(5), 1)


@needs_ffmpeg
def test_the_reverse_film_goes_from_noise_to_the_roll(tmp_path):
    schedule = cosine(60)
    x_T = randn(300, 2)
    films.reverse(
        exact_denoiser(roll, schedule.alpha_bar),
        schedule,
        x_T,
        films.draw_points(size=240, radius=1.5),
        tmp_path / "a.mp4",
        frames=12,
        steps=30,
        generator=generator(1),
        progress=False,
    )
    pictures = decoded(tmp_path / "a.mp4")
    assert len(pictures) == 12 + 30  # and one and a half seconds
    at, dark = ink(pictures[0])
    spread = np.sqrt(np.average(at**2, axis=0, weights=dark))
    np.testing.assert_allclose(spread, x_T.std(0), atol=0.12)  # points beyond ±2.4 are not seen
    assert off_the_roll(pictures[0]) > 0.4
    assert off_the_roll(pictures[-1]) < 0.02


@needs_ffmpeg
def test_the_forward_film_goes_from_the_roll_to_noise(tmp_path):
    films.forward(
        roll.sample(300),
        cosine(60),
        films.draw_points(size=240, radius=1.5),
        tmp_path / "a.webm",
        frames=12,
        generator=generator(1),
        progress=False,
    )
    pictures = decoded(tmp_path / "a.webm")
    assert len(pictures) == 12 + 30
    assert off_the_roll(pictures[0]) < 0.02
    assert off_the_roll(pictures[-1]) > 0.4


@needs_ffmpeg
@pytest.mark.parametrize("forward", [True, False])
def test_draw_gets_the_times_shown_and_the_data_they_belong_to(tmp_path, forward):
    """x₀ is the clean end, so that a point keeps its colour from the first frame to the last."""
    schedule, seen = cosine(20), []

    def recording(t, xt, x0):
        seen.append((t, xt, x0))
        return np.full((16, 16, 3), 255, np.uint8)

    if forward:
        films.forward(randn(5, 3), schedule, recording, tmp_path / "a.gif", frames=6, progress=False)
    else:
        zero = lambda xt, t: torch.zeros_like(xt)  # noqa: E731
        settings = {"step": samplers.first_order(samplers.ddim), "frames": 6, "progress": False}
        films.reverse(zero, schedule, randn(5, 3), recording, tmp_path / "a.gif", **settings)
    times = films.shown_times(schedule, range(21), 6)
    assert [t for t, _, _ in seen] == (times if forward else times[::-1])
    clean = seen[0 if forward else -1][1]
    assert all(torch.equal(x0, clean) for _, _, x0 in seen)
    assert not torch.equal(seen[0][1], seen[-1][1])


# --- drawing ---


def test_a_disc_has_its_place_area_colour_and_soft_edge():
    picture = films.draw.splat(np.array([[20.25, 12.5]]), np.array([[1.0, 0.5, 0.0]]), 40, radius=4.0, opacity=0.8)
    cover = (255 - picture.astype(float)) / 255  # of red nothing, of green half, of blue all
    np.testing.assert_array_equal(cover[..., 0], 0)
    np.testing.assert_allclose(cover[..., 1], cover[..., 2] / 2, atol=0.003)
    assert cover.max() == pytest.approx(0.8, abs=0.002)
    assert cover[..., 2].sum() == pytest.approx(0.8 * np.pi * 4**2, rel=0.02)
    row, column = np.indices((40, 40)) + 0.5
    weight = cover[..., 2] / cover[..., 2].sum()
    assert ((weight * column).sum(), (weight * row).sum()) == pytest.approx((20.25, 12.5), abs=0.05)
    assert len(np.unique(picture[..., 2])) > 5


def test_overlapping_discs_mix_in_no_order():
    at, rgb = np.full((2, 2), 10.5), np.array([[1.0, 0, 0], [0, 0, 1.0]])
    both = films.draw.splat(at, rgb, 21, 3.0, 0.5)
    np.testing.assert_array_equal(both, films.draw.splat(at, rgb[::-1], 21, 3.0, 0.5))
    # ¼ of the white is left, the rest is half red and half blue
    np.testing.assert_allclose(both[10, 10] / 255, [0.25 + 0.75 / 2, 0.25, 0.25 + 0.75 / 2], atol=0.003)


def test_points_outside_the_picture_are_not_seen():
    x = torch.tensor([[9.0, 0.0], [0.0, -1e30], [1e300, 1e300]], dtype=torch.float64)
    at, _ = ink(draw(0, x, x))
    assert len(at) == 0
    at, _ = ink(draw(0, torch.tensor([[1.5, -1.0]]), torch.zeros(1, 2)))  # right of the middle and below it
    np.testing.assert_allclose(at.mean(0), [1.5, -1.0], atol=2 * LIMIT / SIZE)


def test_colours_run_along_the_roll_and_belong_to_x0():
    ends = roll.curve(np.array([0.0, 0.5, 1.0]))
    colours = films.arc_colours(roll)(ends.float())
    np.testing.assert_allclose(colours, [films.draw.rgb_of(c) for c in (Q, EXTRA[0], MODEL)], atol=0.01)
    np.testing.assert_allclose(films.draw.rgb_of("#0072B2"), [0, 114 / 255, 178 / 255])
    coloured = films.draw_points(films.arc_colours(roll), size=SIZE, radius=6, opacity=1.0)
    picture = coloured(3, torch.zeros(1, 2), ends[:1])
    np.testing.assert_allclose(picture[SIZE // 2, SIZE // 2] / 255, films.draw.rgb_of(Q), atol=0.01)


def test_digits_are_drawn_in_rows():
    digits = Digits()
    x = digits.sample(5)
    picture = films.drawing_of(digits, 5)(7, x, x)
    factor = 2 * (384 // 28 // 2)  # three in a row, and a line of a pixel around each
    assert picture.shape == (films.draw.STRIP + factor * 19, factor * 28, 3)
    images = picture[films.draw.STRIP + factor // 2 :: factor, factor // 2 :: factor, 0] / 255
    for i, expected in enumerate(digits.to_images(x)):
        row, column = 1 + 9 * (i // 3), 1 + 9 * (i % 3)
        np.testing.assert_allclose(images[row : row + 8, column : column + 8], expected, atol=0.5 / 255)
        images[row : row + 8, column : column + 8] = 0
    assert not images.any()


def test_the_label_says_t():
    white = np.full((60, 100, 3), 255, np.uint8)
    one, other = films.draw.labelled(white, "t = 1"), films.draw.labelled(white, "t = 17")
    assert one.min() < 60
    assert not np.array_equal(one, other)
    assert one[films.draw.STRIP :].min() == 255
    drawn = films.draw_points(size=60)(1, torch.full((1, 2), 9.0), torch.zeros(1, 2))
    blank = films.draw.labelled(np.full((60, 60, 3), 255, np.uint8), "t = 1")
    np.testing.assert_array_equal(drawn[:, :55], blank[:, :55])


# --- whole or not at all ---


class Stopped(BaseException):
    """Like Ctrl-C: nothing in the library catches it."""


@needs_ffmpeg
@pytest.mark.parametrize("stop", [KeyboardInterrupt, Stopped, RuntimeError])
@pytest.mark.parametrize("where", ["drawing", "encoding", "poster", "before replacing"])
def test_an_interrupted_film_leaves_the_old_one(tmp_path, monkeypatch, stop, where):
    out = tmp_path / "a.mp4"
    old = {"a.mp4": b"the old film", "a-poster.png": b"the old poster"}
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)

    def stopping(*_args, **_settings):
        raise stop

    def stopping_iterator(items, **_):
        yield from items[:3]
        raise stop

    drawing = stopping if where == "drawing" else draw
    if where == "encoding":
        monkeypatch.setattr(films.encode, "tqdm", stopping_iterator)
    elif where == "poster":
        monkeypatch.setattr(Image.Image, "save", stopping)
    elif where == "before replacing":
        monkeypatch.setattr(files.os, "replace", stopping)
    with pytest.raises(stop):
        films.film(drifting(), drawing, out, progress=False)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == old


@needs_ffmpeg
def test_what_ffmpeg_complains_of_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(films.encode.ENCODERS, ".mp4", ["-c:v", "no-such-codec", "-f", "mp4"])
    with pytest.raises(ValueError, match=r"ffmpeg failed: .*no-such-codec"):
        films.film(drifting(), draw, tmp_path / "a.mp4", progress=False)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    with pytest.raises(ValueError, match="pip install imageio-ffmpeg"):
        films.film(drifting(), draw, tmp_path / "a.mp4", progress=False)


NAN = torch.tensor([[0.0, float("nan")]])


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "at least one frame, got none"),
        ([(0, torch.zeros(1, 2)), (1, NAN)], "t = 1 is empty or holds numbers that are not finite"),
        ([(0, torch.zeros(0, 2))], "t = 0 is empty"),
        ([(0, torch.zeros(3, 2)), (1, torch.zeros(2, 2))], r"one shape, got \[\(3, 2\), \(2, 2\)\] at t = 1"),
        ([(0, torch.zeros(3, 3))], r"points to draw must be \(n, 2\), got \(3, 3\)"),
        ([(0, torch.zeros(2))], r"points to draw must be \(n, 2\), got \(2,\)"),
        ([(t, torch.zeros(3, 2)) for t in (0, 2, 1)], r"times must rise or fall, got \[0, 2, 1\]"),
        ([(t, torch.zeros(3, 2)) for t in (4, 4)], r"times must rise or fall"),
    ],
)
def test_frames_that_make_no_film_are_refused(tmp_path, frames, message):
    with pytest.raises(ValueError, match=message):
        films.film(iter(frames), draw, tmp_path / "a.mp4", progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("a.avi", {}, r"ends in \.mp4, \.webm, \.gif, got a\.avi"),
        ("a", {}, "ends in"),
        ("no/a.mp4", {}, "existing directory"),
        ("folder.gif", {}, "existing directory"),
        ("a.mp4", {"fps": 0}, "fps must be in"),
        ("a.mp4", {"fps": 101}, "fps must be in"),
        ("a.mp4", {"hold": -1}, "hold in"),
        ("a.mp4", {"hold": float("nan")}, "hold in"),
        ("a.mp4", {"poster": 1.2}, "poster in"),
        ("a.mp4", {"poster": -0.1}, "poster in"),
    ],
)
def test_settings_that_make_no_film_are_refused(tmp_path, name, settings, message):
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(ValueError, match=message):
        films.film(drifting(), draw, tmp_path / name, progress=False, **settings)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.gif"]


def test_a_wrong_name_is_refused_before_the_process_runs(tmp_path):
    def never(xt, t):
        raise AssertionError("the denoiser was asked")

    with pytest.raises(ValueError, match="ends in"):
        films.reverse(never, cosine(10), randn(3, 2), draw, tmp_path / "a.avi", progress=False)


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((15, 16, 3), np.uint8, "even, got 15 × 16"),
        ((16, 16, 4), np.uint8, r"\(H, W, 3\) of bytes"),
        ((16, 16), np.uint8, r"\(H, W, 3\) of bytes"),
        ((16, 16, 3), np.float64, r"\(H, W, 3\) of bytes"),
        ((0, 16, 3), np.uint8, "even, got 0 × 16"),
    ],
)
def test_pictures_that_cannot_be_encoded_are_refused(tmp_path, shape, dtype, message):
    with pytest.raises(ValueError, match=message):
        films.film(drifting(), lambda *_: np.zeros(shape, dtype), tmp_path / "a.mp4", progress=False)


def test_pictures_of_two_sizes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="of one size"):
        films.film(drifting(), lambda t, *_: np.zeros((16 + 2 * t, 16, 3), np.uint8), tmp_path / "a.mp4")


@needs_ffmpeg
def test_progress_is_shown_unless_switched_off(tmp_path, capsys):
    films.film(drifting(2), draw, tmp_path / "a.gif", progress=False)
    assert capsys.readouterr().err == ""
    films.film(drifting(2), draw, tmp_path / "a.gif", hold=0)
    assert "a.gif, quality 48" in (shown := capsys.readouterr().err)
    assert "2/2" in shown


# --- in a page ---


class Tags(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def test_a_video_waits_for_its_viewer():
    text = 'noise becomes <a roll> & "stays"'
    page = Tags(films.video_html(["films/a.webm", "films/a.mp4"], text, "films/a-poster.png", size=(240, 266)))
    (tag, video), *sources = page.found
    assert tag == "video"
    assert video.keys() >= {"controls", "muted", "loop", "playsinline"}
    assert "autoplay" not in video
    assert (video["preload"], video["poster"]) == ("none", "films/a-poster.png")
    assert (video["width"], video["height"]) == ("240", "266")
    assert video["aria-label"] == page.text == text
    assert sources == [
        ("source", {"src": "films/a.webm", "type": "video/webm"}),
        ("source", {"src": "films/a.mp4", "type": "video/mp4"}),
    ]


@pytest.mark.parametrize(
    ("sources", "text", "poster", "message"),
    [
        ([], "a film", "a.png", "needs a source"),
        (["a.mp4"], " ", "a.png", "a text that says what it shows"),
        (["https://host/a.mp4"], "a film", "a.png", "must be relative"),
        (["//host/a.mp4"], "a film", "a.png", "must be relative"),
        (["a.mp4"], "a film", "/a.png", "must be relative"),
        (["a.gif"], "a film", "a.png", r"plays \.webm and \.mp4"),
    ],
)
def test_a_video_that_a_page_cannot_show_is_refused(sources, text, poster, message):
    with pytest.raises(ValueError, match=message):
        films.video_html(sources, text, poster)


@needs_ffmpeg
def test_an_embedded_film_holds_the_files_bytes(tmp_path):
    pictures = [np.full((40, 60, 3), shade, dtype=np.uint8) for shade in (0, 128, 255)]
    films.write(pictures, out := tmp_path / "a.mp4", fps=5, still=pictures[1], progress=False)
    (tag, video), (_, source) = Tags(films.embedded_html(out, "grey & light")).found
    assert tag == "video"
    assert (video["width"], video["height"], video["aria-label"]) == ("60", "40", "grey & light")
    assert "autoplay" not in video
    for address, kind, file in (
        (source["src"], "video/mp4", out),
        (video["poster"], "image/png", films.poster_of(out)),
    ):
        start, _, held = address.partition(",")
        assert start == f"data:{kind};base64"
        assert base64.b64decode(held) == file.read_bytes()


@needs_ffmpeg
@pytest.mark.parametrize(("name", "text"), [("a.gif", "a film"), ("b.mp4", "a film"), ("a.mp4", " "), ("c.mp4", "x")])
def test_only_a_finished_film_with_its_poster_and_a_text_is_embedded(tmp_path, name, text):
    picture = np.zeros((40, 60, 3), dtype=np.uint8)
    films.write([picture], tmp_path / "a.mp4", fps=5, still=picture, progress=False)
    films.write([picture], tmp_path / "a.gif", fps=5, progress=False)
    films.write([picture], tmp_path / "c.mp4", fps=5, progress=False)  # without a poster
    with pytest.raises(ValueError, match="embedding needs an"):
        films.embedded_html(tmp_path / name, text)
