"""Explaining what a model says of images: pictures, pages, and the explanations of a run.

    verb.py        explain(): what is explained and where it goes
    one_image.py   one image: logits in words, maps, the way through the network
    images.py      image files: a page and pictures each, and an index page
    splits.py      a split of a run: a gallery, maps in one file, faithfulness
    runs.py        a few test images of a run, for its report
    choosing.py    which images of a split are taken;  masks.py  where their lesions are
    measuring.py   how much is measured;  places.py  where everything is written

It computes no map and draws nothing: that is `explanation`'s and `reporting`'s.
"""

from __future__ import annotations

from pellucid.explaining.images import Explained
from pellucid.explaining.runs import explain_run
from pellucid.explaining.verb import explain

__all__ = ["Explained", "explain", "explain_run"]
