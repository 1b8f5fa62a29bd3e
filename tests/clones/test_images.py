"""Profile images: looked at, decoded, encoded anew; everything else is refused before it costs anything."""

import time
import warnings
from collections.abc import Callable
from io import BytesIO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from clash_pipeline.archive.stores import MemoryStore, StoreCorrupt
from clash_pipeline.clones import images
from clash_pipeline.clones.images import IMAGE_BYTES, checked
from clash_pipeline.clones.refusals import ImageInvalid
from tests.fakes.pictures import encoded, jpeg_claiming, padded, picture, png_claiming

PNG_FILE = encoded(picture(), "PNG")
JPEG_FILE = encoded(picture(), "JPEG")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="512" height="512"><script>alert(1)</script></svg>'


def animated(kind: str) -> bytes:
    frames = [picture(), Image.new("RGB", (512, 512), "red")]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_a_png_of_any_plain_kind_is_taken(mode: str) -> None:
    stored = checked(encoded(picture(mode), "PNG"))
    image = Image.open(BytesIO(stored.body))
    assert (stored.media_type, image.format, image.size) == ("image/png", "PNG", (512, 512))
    assert image.mode == ("RGBA" if mode in {"LA", "RGBA"} else "RGB")


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_of_any_plain_kind_is_taken(mode: str) -> None:
    stored = checked(encoded(picture(mode), "JPEG"))
    assert (stored.media_type, Image.open(BytesIO(stored.body)).mode) == ("image/jpeg", "RGB")


def test_the_pixels_of_a_png_are_kept() -> None:
    source = Image.effect_noise((512, 512), 80).convert("RGB")
    assert Image.open(BytesIO(checked(encoded(source, "PNG")).body)).tobytes() == source.tobytes()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: padded(PNG_FILE, IMAGE_BYTES + 1), "at most 1000000 bytes, this one has 1000001"),
        (lambda: encoded(picture(size=(511, 512)), "PNG"), "512 × 512 pixels, this one is 511 × 512"),
        (lambda: encoded(picture(size=(512, 513)), "JPEG"), "512 × 512 pixels, this one is 512 × 513"),
        (lambda: encoded(picture(), "GIF"), "PNG or JPEG file, whatever it is called"),
        (lambda: encoded(picture(), "WEBP"), "PNG or JPEG file"),
        (lambda: encoded(picture(), "TIFF"), "PNG or JPEG file"),
        (lambda: SVG, "PNG or JPEG file"),
        (lambda: b"", "PNG or JPEG file"),
        (lambda: png_claiming(50_000, 50_000), "this one is 50000 × 50000"),
        (lambda: jpeg_claiming(50_000, 50_000), "this one is 50000 × 50000"),
        (lambda: png_claiming(2**31 - 1, 2**31 - 1), "this one is 2147483647 × 2147483647"),
        (lambda: png_claiming(512, 512), "cannot be decoded"),
        (lambda: PNG_FILE[:-12], "cut off"),
        (lambda: JPEG_FILE[:-2], "cut off"),
        (lambda: PNG_FILE[: len(PNG_FILE) // 2] + PNG_FILE[-12:], "cannot be decoded"),
        (lambda: animated("PNG"), "several"),
        (lambda: animated("MPO"), "several"),
        (lambda: encoded(picture("I;16"), "PNG"), "8 bits a channel"),
    ],
)
def test_what_is_refused(make: Callable[[], bytes], said: str) -> None:
    with pytest.raises(ImageInvalid, match=said):
        checked(make())


def test_exactly_1_mb_is_taken() -> None:
    assert checked(padded(PNG_FILE, IMAGE_BYTES)).body == checked(PNG_FILE).body


def test_a_huge_claim_costs_nothing() -> None:
    started = time.process_time()
    for make in (png_claiming, jpeg_claiming):
        with pytest.raises(ImageInvalid):
            checked(make(50_000, 50_000))
    assert time.process_time() - started < 0.5


def test_nothing_but_pixels_is_stored() -> None:
    exif = Image.Exif()
    exif[0x010E] = "SECRET-PLACE"
    hostile = encoded(picture(), "JPEG", exif=exif, comment=b"SECRET-NOTE") + b"<?php SECRET-TAIL"
    stored = checked(hostile).body
    assert b"SECRET" in hostile
    assert b"SECRET" not in stored
    assert b"Exif" not in stored


def test_a_picture_that_lies_on_its_side_is_stood_up() -> None:
    half = Image.new("RGB", (512, 512), "black")
    half.paste("white", (0, 0, 512, 256))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    upright = Image.open(BytesIO(checked(encoded(half, "JPEG", exif=exif)).body)).convert("L")
    assert (upright.getpixel((256, 10)) < 20, upright.getpixel((256, 500)) > 235) == (True, True)  # type: ignore[operator]


def test_images_are_stored_by_hash_and_read_back_verified() -> None:
    store = MemoryStore()
    first, again = (images.put(store, checked(PNG_FILE)) for _ in range(2))
    assert first == again
    assert len(list(store.list("profiles/image/"))) == 1
    assert images.get(store, first) == checked(PNG_FILE).body
    store.put(first.key, b"something else", if_absent=False)
    with pytest.raises(StoreCorrupt):
        images.get(store, first)


SMALL = {kind: encoded(Image.new("RGB", (512, 512), "teal"), kind) for kind in ("PNG", "JPEG")}


@settings(max_examples=150)
@given(st.sampled_from(["PNG", "JPEG"]), st.lists(st.tuples(st.integers(0, 12_000), st.integers(0, 255)), max_size=8))
@example("JPEG", [(2, 0)])
def test_no_damaged_file_is_more_than_refused(kind: str, edits: list[tuple[int, int]]) -> None:
    damaged = bytearray(SMALL[kind])
    for place, value in edits:
        damaged[place % len(damaged)] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the decoder warns of what it then repairs
        try:
            stored = checked(bytes(damaged))
        except ImageInvalid:
            return
    assert Image.open(BytesIO(stored.body)).size == (512, 512)


@settings(max_examples=60)
@given(st.sampled_from(["PNG", "JPEG"]), st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(kind: str, share: float) -> None:
    whole = PNG_FILE if kind == "PNG" else JPEG_FILE
    with pytest.raises(ImageInvalid):
        checked(whole[: int(share * len(whole))])
