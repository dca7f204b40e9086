"""An element of one frame: from its functional group in an enhanced object, else the object's own.

PS3.3, C.7.6.16: what holds for one frame stands in the Per-Frame Functional Groups Sequence, what
holds for all in the Shared one; classic objects have neither. Knows elements; it does not know what
they mean.
"""

from __future__ import annotations

from typing import Any

from pellucid.images.dicom_header import Header

PIXEL_VALUES = "PixelValueTransformationSequence"  # C.7.6.16.2.9
FRAME_VOI = "FrameVOILUTSequence"  # C.7.6.16.2.10 and, with tables, C.7.6.16.2.10b
PIXEL_MEASURES = "PixelMeasuresSequence"  # C.7.6.16.2.1


class FrameElements:
    """The elements of frame `frame` (from 0) of an object."""

    def __init__(self, header: Header, frame: int) -> None:
        self._main = header
        self._groups = [
            group
            for group in (
                _item(header.get("PerFrameFunctionalGroupsSequence"), frame),
                _item(header.get("SharedFunctionalGroupsSequence"), 0),
            )
            if group is not None
        ]

    def get(self, keyword: str, macro: str, default: Any = None) -> Any:
        """The frame's element `keyword` of the group `macro`, or the object's own, or `default`."""
        for group in self._groups:
            item = _item(group.get(macro), 0)
            value = None if item is None else item.get(keyword)
            if value not in (None, ""):
                return value
        return self._main.get(keyword, default)


def _item(sequence: Any, index: int) -> Any:
    """An item of a sequence, None where the sequence is absent or shorter."""
    if not sequence or not hasattr(sequence, "__len__") or len(sequence) <= index:
        return None
    return sequence[index]
