"""What is known of a dataset and of the machine before a plan is made: a readable JSON file.

The rules read it, and a person may. It does not know how it was measured (`measuring`) nor what
follows from it (`rules`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pellucid.errors import PlanError
from pellucid.storage import write_json


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pictures(_Facts):
    """How the pictures look; all but `duplicates` from a sample of them, spread over the table.

    Sides are in pixels, greys shares of full scale before any preprocessing. `modality` is DICOM's
    (PS3.3 C.7.3.1.1.1) where a file names one. `duplicates` counts the images that are copies of
    one counted before, and is None where they were not looked for.
    """

    n_looked_at: int = Field(ge=1)
    median_height: float = Field(gt=0)
    median_width: float = Field(gt=0)
    smallest_side: int = Field(0, ge=0)
    largest_side: int = Field(0, ge=0)
    channels: Literal[1, 3] = 1
    bit_depths: tuple[int, ...] = ()
    formats: tuple[str, ...] = ()
    mean_grey: float = 0.5
    std_grey: float = 0.25
    modality: str | None = None
    duplicates: int | None = None

    @property
    def side(self) -> float:
        """The longer side of the median image, in pixels."""
        return max(self.median_height, self.median_width)


class Machine(_Facts):
    """What will train: processors that this process may use, memory in GiB, and a GPU's name.

    None is a memory that the system does not tell (Windows), and no GPU. `images_per_second` is how
    fast the network of the plan trains here; None where no budget asks for it. `pretrained` are
    the networks whose ImageNet weights lie here.
    """

    cores: int = Field(1, ge=1)
    memory_gib: float | None = None
    bfloat16: bool = False
    gpu: str | None = None
    images_per_second: float | None = Field(None, gt=0)
    pretrained: tuple[str, ...] = ()


class Fingerprint(_Facts):
    """What the rules know of a dataset and of the machine.

    `n_train` is the (expected) number of training images, `class_counts` the images of each class,
    a target, `fewest_patients` the patients outside the test that the rarest class of a target has;
    `validation_given` tells whether the data come with a validation split; `name` is the dataset's,
    which may tell the anatomy ("phantom:oct").
    """

    name: str = ""
    n_images: int = Field(ge=1)
    n_train: int = Field(ge=1)
    n_patients: int = Field(ge=0)
    patients_known: bool = True
    images_a_patient: tuple[float, int] = Field((1.0, 1), description="median and most")
    class_counts: dict[str, dict[str, int]]
    fewest_patients: int = Field(0, ge=0)
    validation_given: bool = False
    pictures: Pictures
    machine: Machine = Machine()

    def with_split(self, duplicates: int, fewest_patients: int) -> Fingerprint:
        """The same, with what is known once pictures were compared and the test was dealt."""
        pictures = self.pictures.model_copy(update={"duplicates": duplicates})
        changes = {"pictures": pictures, "fewest_patients": fewest_patients}
        return self.model_copy(update=changes)

    def with_speed(self, images_per_second: float) -> Fingerprint:
        """The same, with how fast the plan's network trains on this machine."""
        speed = {"images_per_second": images_per_second}
        return self.model_copy(update={"machine": self.machine.model_copy(update=speed)})

    @classmethod
    def load(cls, path: Path) -> Fingerprint:
        """Read what `save` has written; raises `PlanError` for another file."""
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            remedy = "Start a new run."
            raise PlanError(f"{path} is not a readable fingerprint", "", remedy) from error

    def save(self, path: Path) -> Path:
        """Write it as JSON."""
        return write_json(path, self.model_dump(mode="json"))
