"""One file becomes pixels, float32 (channel, row, column) in [0, 1], and facts.

    reading.py        which format a file has, by its content, and who reads it
    rasters.py        PNG, JPEG and BMP
    tiff.py           TIFF, also 16 and 32 bit, a page a frame
    arrays.py         NPY files and the arrays of an NPZ archive
    dicom.py          DICOM, step by step as the standard's PS3.3 says; its steps are dicom_*.py,
                      decoders.py and codestreams.py, listed at its top
    windows.py        window presets, and a window laid over numbers
    preprocessing.py  size, channels and normalisation: deterministic, stored in the bundle
    image.py          the Image, the bound on its size, and full scale

This room knows no labels, splits or networks.
"""
