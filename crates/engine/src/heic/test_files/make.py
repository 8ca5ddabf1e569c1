"""Makes the HEIC files of the tests: `python -m venv v && v/bin/pip install pillow-heif numpy && v/bin/python make.py`, in this directory.

All show the scene of src/tests/mod.rs: red grows to the right, green downwards, blue falls to the right. The tests put their containers
together themselves, of the HEVC pictures in these files (src/heic/tests.rs).
"""

import numpy as np
import pillow_heif
from PIL import Image


def scene(width, height):
    """Levels from 0 to 255, not rounded."""
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    red, green = np.meshgrid(40 + 170 * x, 40 + 170 * y)
    return np.stack([red, green, 250 - red], axis=-1)


def save(name, pictures, mode="RGB", bits=8, **options):
    """A file of several pictures."""
    scale = (1 << (16 if bits > 8 else 8)) - 1
    file = pillow_heif.HeifFile()
    for samples in pictures:
        samples = np.round(samples / 255 * scale).astype(np.uint16 if bits > 8 else np.uint8)
        height, width = samples.shape[:2]
        file.add_frombytes(mode + (";16" if bits > 8 else ""), (width, height), samples.tobytes())
    pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
    file.save(name, **({"quality": 60, "save_nclx_profile": True, "chroma": 420, "full_range_flag": 1} | options))


picture = scene(160, 112)
# 3 by 2 tiles, the last of each row and column filled with what stands at the edge.
padded = np.pad(picture, ((0, 16), (0, 32), (0, 0)), mode="edge")
save("tiles.heic", [padded[y : y + 64, x : x + 64] for y in (0, 64) for x in (0, 64, 128)])

small = scene(64, 48)
bt709 = {"matrix_coefficients": 1, "color_primaries": 1, "transfer_characteristics": 13}
save("video.heic", [small], full_range_flag=0, **bt709)
save("bt2020_10_bit.heic", [small], bits=10, **(bt709 | {"matrix_coefficients": 9}))
save("422_12_bit.heic", [small], bits=12, chroma=422)
# One block: a test repeats its slice.
save("444.heic", [small], chroma=444, enc_params={"x265:ctu": "64"})
save("p3.heic", [small], color_primaries=12, transfer_characteristics=13, matrix_coefficients=6)
save("grey.heic", [small[:, :, 1]], mode="L")
opacity = np.where(np.arange(64) < 32, 255.0, 0.0)[None, :, None].repeat(48, 0)
save("alpha.heic", [np.concatenate([small, opacity], axis=-1)], mode="RGBA")
