"""Image files for the profile tests, good and hostile, made in memory."""

import struct
import zlib
from io import BytesIO
from typing import Any

from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file."""
    written = BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def picture(mode: str = "RGB", size: tuple[int, int] = (512, 512)) -> Image.Image:
    """A picture with something on it: a gradient."""
    return Image.linear_gradient("L").resize(size).convert(mode)


def chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_claiming(width: int, height: int) -> bytes:
    """A tiny PNG whose header claims any size; nothing behind it fills that."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return PNG + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


def jpeg_claiming(width: int, height: int) -> bytes:
    """A JPEG whose frame header claims another size than its scan has."""
    body = encoded(picture(), "JPEG")
    place = body.index(b"\xff\xc0")
    return body[: place + 5] + struct.pack(">HH", height, width) + body[place + 9 :]


def padded(body: bytes, size: int) -> bytes:
    """A PNG of exactly this size, by a private chunk that decoders skip."""
    room = size - len(body) - 12
    end = body.rindex(b"IEND") - 4
    return body[:end] + chunk(b"prIv", b"\0" * room) + body[end:]
