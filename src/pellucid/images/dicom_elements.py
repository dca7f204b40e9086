"""The elements of a DICOM file that are ever read, and words for what they may hold.

A patient's name and date of birth are not among them, so they are skipped where they stand in the
file. Knows the dictionary (PS3.6); it does not know files.
"""

from __future__ import annotations

from pydicom.datadict import tag_for_keyword
from pydicom.tag import BaseTag

FACT_KEYWORDS = (
    "PatientID",
    "PatientSex",
    "PatientAge",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "InstitutionName",
    "StationName",
    "BodyPartExamined",
    "ViewPosition",
    "Laterality",
    "ImageLaterality",
    "BurnedInAnnotation",
    "PhotometricInterpretation",
)
_PIXEL_KEYWORDS = (
    "SOPClassUID",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelAspectRatio",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "FloatPixelPaddingValue",
    "FloatPixelPaddingRangeLimit",
    "DoubleFloatPixelPaddingValue",
    "DoubleFloatPixelPaddingRangeLimit",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "PresentationLUTShape",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "EncryptedAttributesSequence",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelDataProviderURL",
)
PIXEL_TAGS = {
    0x7FE00008: "FloatPixelData",
    0x7FE00009: "DoubleFloatPixelData",
    0x7FE00010: "PixelData",
}
NUMBERS = (
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
OTHER_OBJECTS = {  # a part of the SOP class's name (PS3.4, B.5), and what that is
    "Media Storage Directory": "a DICOMDIR, which lists other files",
    " SR ": "a structured report",
    "Waveform": "a waveform",
    "RT ": "a radiotherapy object",
    "Presentation State": "a presentation state",
    "Key Object": "a list of key objects",
    "Encapsulated": "a document",
    "Raw Data": "raw data",
    "Spectroscopy": "a spectroscopy",
}
NEW_SYNTAXES = {"1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression"}  # not in pydicom 3.0


def _tag(keyword: str) -> BaseTag:
    number = tag_for_keyword(keyword)
    if number is None:
        raise NameError(keyword)
    return BaseTag(number)


TAGS: list[BaseTag | int] = [_tag(keyword) for keyword in (*FACT_KEYWORDS, *_PIXEL_KEYWORDS)]
