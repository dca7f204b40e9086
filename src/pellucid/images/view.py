"""What the audit looks at: every picture as one grey square, and a digest of its whole pixels.

Both are the same whatever size and channels the network takes, so that `audit` and `train` find the
same things. Knows decoded pixels; it does not know files, caches or findings.
"""

from __future__ import annotations

import hashlib

import numpy as np

from pellucid.images.image import FloatArray
from pellucid.images.preprocessing import ByteArray, Preprocessing, preprocess

VIEW_SIZE = 128  # enough to see a marker and the texture that tells a copy from a look-alike
_VIEW = Preprocessing(image_size=VIEW_SIZE, channels=1, fit="stretch")
_FULL_SCALE = np.float32(65535)  # 8-bit values times 257: exact for 8 and for 16 bit pictures


def view_of(pixels: FloatArray) -> ByteArray:
    """Pixels (channel, row, column) in [0, 1] as grey uint8 (128, 128), stretched to the square."""
    square: ByteArray = preprocess(pixels, _VIEW)[0]
    return square


def digest_of(pixels: FloatArray) -> str:
    """A digest of the decoded pixels, whatever the file was: 32 hexadecimal digits.

    A PNG, a TIFF and a DICOM file of the same picture have the same digest, and so has a grey
    picture stored as RGB. Pictures of one grey value have the digest "": they show nothing.
    """
    plane = pixels[:1] if all((channel == pixels[0]).all() for channel in pixels[1:]) else pixels
    stored = np.rint(plane * _FULL_SCALE).astype(np.uint16)
    if (stored == stored.flat[0]).all():
        return ""
    digest = hashlib.blake2b(str(stored.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(stored).data)
    return digest.hexdigest()
