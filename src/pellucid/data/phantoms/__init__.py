"""Synthetic patients for the three cases: known lesions, known difficulty, nobody's privacy.

    for phantom in draw_phantoms("oct", n_patients=4):
        phantom.pixels, phantom.mask, phantom.label, phantom.patient_id, phantom.number

Each patient and each image has its own random generator, so that a picture depends on the seed,
the case and its own number alone. Exposure, noise, anatomy and the number of images are drawn
without regard to the class. `folder` writes phantoms as an ordinary image folder. Nothing here
knows datasets, splits or training.
"""

from pellucid.data.phantoms.folder import PHANTOM_PATIENT_PATTERN, VERSION, write_phantoms
from pellucid.data.phantoms.patients import CASES, DEFAULT_PATIENTS, Phantom, draw_phantoms

__all__ = [
    "CASES",
    "DEFAULT_PATIENTS",
    "PHANTOM_PATIENT_PATTERN",
    "VERSION",
    "Phantom",
    "draw_phantoms",
    "write_phantoms",
]
