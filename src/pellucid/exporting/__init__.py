"""A model to take elsewhere: as a bundle, as one file for other runtimes, as a Triton repository.

    verb.py        export(model, out): which form, and what must hold
    packing.py     a bundle as a folder or one .zip, without what is nobody's business
    raw_pixels.py  the classifier with its preprocessing inside, from pixels of any size
    runtimes.py    the same as ONNX and by torch.export
    triton.py      the folder that NVIDIA Triton reads
    parity.py      images for which an exported file must answer as Pellucid does

Exporting to other runtimes needs torch, which draws the graph; a bundle is packed without.
"""
