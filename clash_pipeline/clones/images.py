"""Profile images: 512 × 512 PNG or JPEG of at most 1 MB, decoded to be sure, and stored as new pixels only (02).

The header is looked at before anything is decoded, so that a small file cannot claim a huge picture. What is stored is
encoded again from the pixels: no metadata, no appended bytes, nothing that is also another kind of file.
"""

from dataclasses import dataclass
from io import BytesIO
from struct import error as StructError
from typing import TYPE_CHECKING, NamedTuple
from zlib import error as ZlibError

from clash_pipeline.archive.artifacts import get_artifact, put_artifact
from clash_pipeline.archive.stores import ArtifactStore
from clash_pipeline.clones.refusals import ImageInvalid

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFile import ImageFile

SIDE_PIXELS = 512
IMAGE_BYTES = 1_000_000
"""1 MB (02), of the file as it is uploaded."""
JPEG_QUALITY = 90
PREFIX = "profiles"
KIND = "image"
SIGNATURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
ENDS = {"image/png": b"IEND", "image/jpeg": b"\xff\xd9"}
PLAIN_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, StructError, ZlibError)
"""What the decoder raises over damaged files; it has no error of its own."""


class Picture(NamedTuple):
    """A checked image, ready to be stored."""

    body: bytes
    media_type: str


@dataclass(frozen=True)
class StoredImage:
    """Where an image lies, and what it must hash to."""

    key: str
    sha256: str
    media_type: str


def checked(upload: bytes) -> Picture:
    """An uploaded file as a new image of the same kind.

    Raises:
        ImageInvalid: too large, another kind or size, animated, cut off or damaged; says which.
    """
    if len(upload) > IMAGE_BYTES:
        raise ImageInvalid(f"an image has at most {IMAGE_BYTES} bytes, this one has {len(upload)}")
    media_type = next((kind for kind, start in SIGNATURES.items() if upload.startswith(start)), None)
    if media_type is None:
        raise ImageInvalid("an image is a PNG or JPEG file, whatever it is called")
    if ENDS[media_type] not in upload:
        raise ImageInvalid("the image is cut off before its end")
    try:
        return Picture(_encoded(_decoded(upload, media_type), media_type), media_type)
    except ImageInvalid:
        raise
    except DAMAGE as error:
        raise ImageInvalid(f"the image cannot be decoded: {_first_line(error)}") from error


def put(store: ArtifactStore, picture: Picture) -> StoredImage:
    """Store a checked image by its hash; the same picture again is the same object.

    Raises:
        StoreError: the store did not take it.
    """
    stored = put_artifact(store, KIND, picture.body, PREFIX)
    return StoredImage(stored.key, stored.sha256, picture.media_type)


def get(store: ArtifactStore, image: StoredImage) -> bytes:
    """The image file, verified by its hash.

    Raises:
        StoreError: gone, damaged, or the store does not answer.
    """
    return get_artifact(store, image.key, image.sha256)


def _decoded(upload: bytes, media_type: str) -> "Image.Image":
    from PIL import ImageOps

    opened = _opened(upload, media_type)
    if opened.size != (SIDE_PIXELS, SIDE_PIXELS):
        width, height = opened.size
        raise ImageInvalid(f"an image is {SIDE_PIXELS} × {SIDE_PIXELS} pixels, this one is {width} × {height}")
    if getattr(opened, "is_animated", False) or "mp" in opened.info:
        raise ImageInvalid("an image is one picture; this file has several")
    if opened.mode not in PLAIN_MODES:
        raise ImageInvalid(f"an image has 8 bits a channel; this one is stored as {opened.mode}")
    opened.load()
    upright = ImageOps.exif_transpose(opened)
    has_alpha = media_type == "image/png" and (upright.mode in {"LA", "PA", "RGBA"} or "transparency" in upright.info)
    return upright.convert("RGBA" if has_alpha else "RGB")


def _opened(upload: bytes, media_type: str) -> "ImageFile":
    """The header alone; the two decoders are named, so that no other one is ever asked."""
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    return (PngImageFile if media_type == "image/png" else JpegImageFile)(BytesIO(upload))


def _encoded(image: "Image.Image", media_type: str) -> bytes:
    from PIL import Image

    bare = Image.new(image.mode, image.size)  # carries nothing over but the pixels
    bare.paste(image)
    written = BytesIO()
    if media_type == "image/png":
        bare.save(written, "PNG")
    else:
        bare.save(written, "JPEG", quality=JPEG_QUALITY)
    return written.getvalue()


def _first_line(error: BaseException) -> str:
    said = (str(error).splitlines() or [""])[0]
    return said[:120] or type(error).__name__
