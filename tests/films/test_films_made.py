"""The course's films, as they lie in book/_assets/films: small, silent, and they show the process."""

from pathlib import Path

import pytest
from PIL import Image
from shared import needs_ffmpeg
from test_films import decoded, described, off_the_roll

from diffusion_edu import films

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "book" / "_assets" / "films"
COURSE = [f"{name}.{end}" for name in ("forward", "reverse", "ancestral") for end in ("mp4", "webm")] + ["reverse.gif"]


def test_the_courses_films_are_all_there():
    assert sorted(p.name for p in FOLDER.iterdir()) == sorted(
        [*COURSE, *(f"{name}-poster.png" for name in ("forward", "reverse", "ancestral"))]
    )


@needs_ffmpeg
@pytest.mark.parametrize("name", COURSE)
def test_the_courses_films_are_small_and_show_the_process(name):
    path = FOLDER / name
    assert path.stat().st_size < 300 * 1024
    assert "Audio" not in described(path)
    pictures = decoded(path)
    assert len(pictures) > 50
    clean, noisy = (pictures[0], pictures[-1]) if "forward" in name else (pictures[-1], pictures[0])
    assert off_the_roll(clean) < 0.05
    assert off_the_roll(noisy) > 0.4
    if path.suffix == ".mp4":
        with Image.open(films.poster_of(path)) as poster:
            assert poster.size == pictures.shape[2:0:-1]
        assert films.poster_of(path).stat().st_size < 40 * 1024


def test_the_readme_shows_the_reverse_film_with_words_for_it():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    before, _ = readme.split("](book/_assets/films/reverse.gif)")
    alt = before.rsplit("![", 1)[1]
    assert len(alt.split()) > 10
