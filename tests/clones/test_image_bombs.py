"""A12: a small file that unfolds into a large one is refused before it does."""

import multiprocessing
import resource
import struct
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from errno import ENOMEM
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from clash_pipeline.clones.images import IMAGE_BYTES, checked
from clash_pipeline.clones.refusals import ImageInvalid
from tests.fakes.pictures import PNG, chunk, encoded, picture

pytestmark = pytest.mark.goal

SIDE = 12_000
PLAIN = encoded(picture(), "PNG")


def wide() -> bytes:
    """A true picture of 144 million pixels."""
    return encoded(Image.new("L", (SIDE, SIDE)), "PNG")


def deep() -> bytes:
    """A header of 512 × 512 in front of 200 MB of pixels."""
    header = struct.pack(">IIBBBBB", 512, 512, 8, 2, 0, 0, 0)
    return PNG + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(200_000_000))) + chunk(b"IEND", b"")


def talkative() -> bytes:
    """A note of 200 MB on a good picture."""
    note = chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(200_000_000)))
    return PLAIN[:33] + note + PLAIN[33:]


def profiled() -> bytes:
    """A colour profile of 200 MB on a good picture."""
    profile = chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(200_000_000)))
    return PLAIN[:33] + profile + PLAIN[33:]


BOMBS = (wide, deep, talkative, profiled)


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.__name__)
def test_a_bomb_takes_less_than_64_mb(bomb: Callable[[], bytes]) -> None:
    upload = bomb()
    assert len(upload) <= IMAGE_BYTES
    assert is_enough(64, look_at, upload)


def test_control_a_decoder_that_is_let_unfolds_it() -> None:
    assert not is_enough(64, decode, wide())
    assert is_enough(512, decode, wide())


def is_enough(mib: int, work: Callable[[bytes], None], upload: bytes) -> bool:
    """Whether a new process gets through some work with so much more memory than it has when it begins."""
    child = multiprocessing.get_context("spawn").Process(target=_within, args=(mib, work, upload))
    child.start()
    child.join(60)
    assert child.exitcode in {0, ENOMEM}
    return child.exitcode == 0


def _within(mib: int, work: Callable[[bytes], None], upload: bytes) -> None:
    look_at(PLAIN)  # the decoders are loaded
    has = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + mib * 2**20,) * 2)
    try:
        work(upload)
    except MemoryError:
        sys.exit(ENOMEM)


def look_at(upload: bytes) -> None:
    with suppress(ImageInvalid):
        checked(upload)


def decode(upload: bytes) -> None:
    Image.MAX_IMAGE_PIXELS = None
    Image.open(BytesIO(upload)).load()
