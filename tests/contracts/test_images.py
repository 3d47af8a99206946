import io
import warnings
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from tasks.contracts.cameras import camera_named
from tasks.contracts.images import FORMATS, Undecodable, decode, decoder_warnings_off


def encoded(image: Image.Image, format_: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def photo(width: int = 48, height: int = 32) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height))


def reason_of(data: bytes, **options) -> str:
    with decoder_warnings_off(), pytest.raises(Undecodable) as caught:
        decode(data, 16, **options)
    return caught.value.reason


@pytest.mark.parametrize("format_", FORMATS)
def test_each_format_is_known_by_content(format_):
    decoded = decode(encoded(photo(), format_), 16)
    assert (decoded.format, decoded.width, decoded.height) == (format_, 48, 32)
    assert decoded.pixels.shape == (16, 16, 3)
    assert (decoded.grey.shape, decoded.thumbnail.shape) == ((32, 48), (64, 64, 3))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_is_turned(format_, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(photo(), format_, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    decoded, expected = decode(data, 16), decode(encoded(upright), 16)
    assert (decoded.width, decoded.height) == upright.size
    for name in ("pixels", "grey", "thumbnail"):
        assert np.array_equal(getattr(decoded, name), getattr(expected, name)), name


def test_the_square_is_the_centre_of_the_upright_picture():
    stripes = np.zeros((8, 24, 3), np.uint8)
    stripes[:, 8:16] = 255
    assert decode(encoded(Image.fromarray(stripes)), 8).pixels.min() == 255


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("1", (8, 8), 1), (255, 255, 255)),
        (Image.new("L", (8, 8), 77), (77, 77, 77)),
        (Image.new("LA", (8, 8), (0, 51)), (204, 204, 204)),  # 20 % black over white
        (Image.new("RGBA", (8, 8), (255, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (8, 8), (10, 20, 30, 255)), (10, 20, 30)),
        (Image.fromarray(np.full((8, 8), 200 * 257, np.uint16)), (200, 200, 200)),
        (Image.new("RGB", (8, 8), (9, 99, 199)).quantize(4), (9, 99, 199)),
    ],
)
def test_the_rule_of_each_mode(image, expected):
    assert (decode(encoded(image), 4).pixels == expected).all()


def test_a_transparent_palette_entry_is_white():
    image = Image.new("P", (8, 8), 0)
    image.putpalette([10, 20, 30])
    assert (decode(encoded(image, transparency=0), 4).pixels == 255).all()


def test_cmyk_jpeg_is_not_inverted():
    pixels = decode(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95), 4).pixels
    assert (abs(pixels.astype(int) - (255, 0, 0)) < 8).all()


def test_only_the_first_frame_counts():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode(data, 4).pixels == (255, 0, 0)).all()


@pytest.mark.parametrize("format_", FORMATS)
@given(share=st.floats(0.02, 0.9))
@settings(max_examples=15, deadline=None)
def test_no_cut_off_file_decodes(format_, share):
    data = encoded(photo(), format_)
    assert reason_of(data[: int(len(data) * share)]) in {"truncated", "damaged", "not_an_image"}


def test_a_jpeg_cut_in_its_pixels_is_truncated():
    data = encoded(photo(256, 256), "JPEG")
    assert reason_of(data[: len(data) // 2]) == "truncated"


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_give_an_image_or_a_reason(data):
    assert reason_of(data) in {"empty", "not_an_image", "unsupported_format", "truncated", "damaged"}


def test_a_jpeg_has_the_pixels_that_pillow_gives():
    for options in ({}, {"progressive": True}, {"subsampling": 0}, {"quality": 30, "optimize": True}):
        data = encoded(photo(256, 256), "JPEG", **options)
        assert np.array_equal(decode(data, 256).pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    data = encoded(photo(256, 256).convert("L"), "JPEG")
    assert np.array_equal(decode(data, 256).pixels[..., 0], np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_what_libjpeg_only_warns_of_is_damage(mode):
    data = encoded(photo(256, 256).convert(mode), "JPEG", quality=90)
    assert reason_of(data[:-2]) == "truncated"  # only the end marker is gone
    scan = data.index(b"\xff\xda") + 14
    hit = bytearray(data)
    hit[scan + 200 : scan + 204] = b"\xff\xd9\xff\xd9"  # an end in the middle
    assert reason_of(bytes(hit)) in ("damaged", "truncated")
    seen = 0
    for place in range(scan, scan + 400):
        hit = bytearray(data)
        hit[place] ^= 0x55
        try:
            decode(bytes(hit), 16)
        except Undecodable:
            seen += 1
    assert seen > 20  # the others give wrong pixels that no decoder can know to be wrong


def test_every_changed_byte_of_a_png_s_chunks_is_found():
    data = encoded(photo(16, 16))
    for place in range(8, len(data)):
        hit = bytearray(data)
        hit[place] ^= 0x10
        assert reason_of(bytes(hit)) in ("damaged", "truncated", "not_an_image"), place


def test_what_follows_the_end_of_a_file_is_no_damage():
    """A JPEG and a ZIP in one file, a telephone's trailer, a page's markup: the picture is whole."""
    for format_ in ("JPEG", "PNG", "GIF", "BMP"):
        clean = encoded(photo(), format_)
        assert np.array_equal(decode(clean + b"PK\x03\x04<html>", 16).pixels, decode(clean, 16).pixels)


@pytest.mark.parametrize("quality", [30, 50, 75, 90, 95])
def test_the_quality_that_a_jpeg_was_written_with(quality):
    assert abs(decode(encoded(photo(), "JPEG", quality=quality), 16).jpeg_quality - quality) < 1


def test_the_quality_falls_with_the_quality_and_is_unknown_elsewhere():
    found = [decode(encoded(photo(), "JPEG", quality=quality), 16).jpeg_quality for quality in (1, 5, 10, 20, 100)]
    assert found == sorted(found)
    assert np.isnan(decode(encoded(photo()), 16).jpeg_quality)


def test_a_place_in_the_metadata_is_noted():
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 0.0)}
    assert decode(encoded(photo(), "JPEG", exif=exif), 16).has_location
    assert not decode(encoded(photo(), "JPEG"), 16).has_location


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_camera_is_read_and_nothing_of_its_owner(format_):
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "Canon EOS R6"
    exif[0x013B] = exif[0x8298] = "A. Person"  # artist, copyright
    if format_ != "TIFF":  # which Pillow writes without these
        exif[0x8769] = {0xA430: "A. Person", 0xA431: "0123456789"}  # owner, serial number
    assert decode(encoded(photo(), format_, exif=exif), 16).camera == "Canon EOS R6"
    assert decode(encoded(photo(), format_), 16).camera is None


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("NIKON CORPORATION", "NIKON D90\0\0junk", "NIKON D90"),
        ("Apple", "iPhone 12", "Apple iPhone 12"),
        ("", "  ", None),
        ("Make\u2028\x1b[31m\u202e", "a\nb", "Make [31m a b"),
        ("Leica", "M10 5123456", "Leica M10"),
        ("ACME", "kim@example.org X1", "ACME X1"),
        ("x" * 500, "y", "x" * 60),
    ],
)
def test_a_camera_is_one_short_line_without_serial_numbers(make, model, camera):
    assert camera_named(make, model) == camera


def test_metadata_that_would_inflate_to_gigabytes_are_not_read():
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 80_000_000, zip=True)
    data = encoded(photo(), "PNG", pnginfo=text)
    assert len(data) < 100_000
    assert reason_of(data) == "damaged"


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 7)])
def test_the_narrowest_pictures_have_a_square(size):
    decoded = decode(encoded(Image.new("RGB", size, (7, 8, 9))), 16)
    assert (decoded.width, decoded.height) == size
    assert decoded.grey.shape == size[::-1]
    assert (decoded.pixels == (7, 8, 9)).all()
    assert (decoded.thumbnail == (7, 8, 9)).all()


def test_ten_thousand_frames_cost_no_more_than_the_first():
    frames = [Image.new("L", (8, 8), i % 256) for i in range(2000)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode(data, 8).pixels == 0).all()


def test_nothing_is_lost_at_an_edge_when_a_picture_is_made_smaller():
    board = np.kron(np.indices((32, 32)).sum(axis=0) % 2, np.ones((16, 16)))[..., None].repeat(3, axis=2) * 255
    pixels = decode(encoded(Image.fromarray(board.astype(np.uint8))), 32).pixels
    assert np.array_equal(pixels[..., 0] > 127, np.indices((32, 32)).sum(axis=0) % 2 == 1)


def test_other_things_have_their_own_reasons():
    assert reason_of(b"") == "empty"
    assert reason_of(b"hello, I am a text") == "not_an_image"
    assert reason_of(b"%PDF-1.7 and so on") == "unsupported_format"
    assert reason_of(encoded(Image.new("F", (8, 8)), "TIFF")) == "unsupported_format"
    broken = bytearray(encoded(photo()))
    broken[len(broken) // 2] ^= 0xFF
    assert reason_of(bytes(broken)) == "damaged"


def test_the_pixel_cap_acts_on_the_header():
    bomb = bytearray(encoded(Image.new("L", (64, 64))))
    bomb[16:24] = (60_000).to_bytes(4) * 2  # 3.6 gigapixels by the header, which the CRC no longer matches
    bomb[29:33] = __import__("zlib").crc32(bytes(bomb[12:29])).to_bytes(4)
    assert reason_of(bytes(bomb)) == "too_many_pixels"
    assert reason_of(encoded(photo()), max_megapixels=0.001) == "too_many_pixels"


def test_a_large_jpeg_is_decoded_small_and_looks_the_same():
    large = Image.open(Path(sklearn.datasets.__file__).parent / "images/china.jpg").resize((4000, 3000))
    decoded = decode(encoded(large, "JPEG", quality=95), 64)
    assert (decoded.width, decoded.height) == (4000, 3000)
    assert decoded.grey.shape == (256, 341)
    whole = large.crop((500, 0, 3500, 3000)).resize((64, 64), Image.Resampling.BILINEAR)
    assert np.corrcoef(decoded.pixels.ravel(), np.asarray(whole).ravel())[0, 1] > 0.98


def test_the_decoder_is_quiet_about_odd_metadata():
    data = encoded(photo(), "TIFF")
    with warnings.catch_warnings(record=True) as heard, decoder_warnings_off(), pytest.raises(Undecodable):
        decode(data[:100], 16)
    assert not heard
