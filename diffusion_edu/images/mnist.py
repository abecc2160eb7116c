"""MNIST's four original files: fetched once with hashes and mirrors, or read from where they lie.

    images, labels = mnist.load()            # 60,000 × 28 × 28 and 60,000, uint8
    images, labels = mnist.load(train=False) # the 10,000 of the test set
    images, labels = mnist.load(of="fashion-mnist")

The files are kept in the folder that the environment variable DIFFUSION_EDU_DATA names, else in the user's cache;
those of Fashion-MNIST, which have the same names, in a folder fashion-mnist in it.
Sources: LeCun et al. 1998; copyright Y. LeCun and C. Cortes. Xiao et al. 2017; copyright Zalando SE.
"""

import gzip
import hashlib
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
FASHION_MD5 = {  # as its authors give them: they know a file that was damaged, not one that somebody forged
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
FASHION_MIRRORS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)


@dataclass(frozen=True)
class Source:
    """Where a data set's files come from: their hashes by name, the kind of hash, mirrors in the order in which they
    are asked, and the folder inside `folder()` where the files are kept."""

    hashes: dict[str, str]
    kind: str
    mirrors: tuple[str, ...]
    inside: str = ""


SOURCES = {
    "mnist": Source(SHA256, "sha256", MIRRORS),
    "fashion-mnist": Source(FASHION_MD5, "md5", FASHION_MIRRORS, "fashion-mnist"),
}


def load(train: bool = True, progress: bool = True, of: str = "mnist") -> tuple[Tensor, Tensor]:
    """Images (n, 28, 28) and labels (n,), uint8, of MNIST or, with of="fashion-mnist", of Fashion-MNIST; n is 60,000
    for training, 10,000 for testing.

    Raises OSError if a file is neither there nor to be had, saying what to put where.
    """
    names = [f"{'train' if train else 't10k'}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
    images, labels = (fetch(name, progress=progress, of=of) for name in names)
    return read_idx(images), read_idx(labels)


def folder() -> Path:
    """Where the files are kept: $DIFFUSION_EDU_DATA, else `diffusion-edu` in the user's cache folder."""
    if chosen := os.environ.get("DIFFUSION_EDU_DATA"):
        return Path(chosen).expanduser()
    import pooch

    return pooch.os_cache("diffusion-edu")


def fetch(
    name: str,
    mirrors: tuple[str, ...] | None = None,
    timeout: float = 30,
    progress: bool = True,
    of: str = "mnist",
) -> Path:
    """The path of one of the four files, after its hash was checked. A file that is missing or not the original is
    fetched from the first mirror that has it; what arrives cut off or altered is thrown away and the next mirror
    asked. The file appears under its name only once it is whole.

    `mirrors`: None for those of the source; `timeout`: seconds without an answer before a mirror is given up. Raises
    ValueError for an unknown name, OSError if no mirror can serve.
    """
    if of not in SOURCES:
        raise ValueError(f"of must be one of {', '.join(SOURCES)}, got {of!r}")
    source = SOURCES[of]
    if name not in source.hashes:
        raise ValueError(f"name must be one of {', '.join(source.hashes)}, got {name!r}")
    path, trouble = folder() / source.inside / name, []
    if path.is_file():
        if _hash(path, source.kind) == source.hashes[name]:
            return path
        trouble.append(f"{path}: not the original file, its hash differs")
    known = f"{source.kind}:{source.hashes[name]}"
    for mirror in source.mirrors if mirrors is None else mirrors:
        try:
            return _download(mirror + name, known, path, timeout, progress)
        except (OSError, ValueError) as error:
            trouble.append(f"{mirror}{name}: {_first_line(error)}")
    place = f", or set DIFFUSION_EDU_DATA to the folder that has {'it' if not source.inside else source.inside}."
    raise OSError(
        f"no {name}:\n  " + "\n  ".join(trouble) + f"\nPut the file {name} ({known}) into {path.parent}" + place
    )


def _download(url: str, known: str, path: Path, timeout: float, progress: bool) -> Path:
    """pooch writes to a temporary file beside `path`, checks the hash, and moves it there only if it is right."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(progressbar=progress, timeout=timeout)
    return Path(pooch.retrieve(url, known, fname=path.name, path=path.parent, downloader=downloader))


def read_idx(path: Path) -> Tensor:
    """The array in a gzipped IDX file of unsigned bytes: two zero bytes, the type 8, the number of dimensions, each
    dimension as a big-endian int32, then the numbers. Raises ValueError naming the file if it is anything else."""
    try:
        data = gzip.decompress(Path(path).read_bytes())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a whole gzip file: {error}") from error
    if len(data) < 4 or data[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is not an IDX file of unsigned bytes: it starts with {data[:4].hex(' ')}")
    dims, start = data[3], 4 + 4 * data[3]
    shape = struct.unpack(f">{dims}i", data[4:start]) if len(data) >= start else ()
    size = torch.Size(shape).numel()
    if not shape or len(data) - start != size:
        raise ValueError(f"{path} announces the shape {shape}, so {size} numbers, and holds {len(data) - start}")
    return torch.frombuffer(bytearray(data[start:]), dtype=torch.uint8).reshape(shape)


def _hash(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
