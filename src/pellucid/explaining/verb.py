"""explain(model, images): the verb, which decides what is explained and where it goes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pellucid.bundle import Bundle, load_bundle
from pellucid.errors import UsageError
from pellucid.explaining.images import Explained, explain_images
from pellucid.explaining.one_image import GRAD_CAM, Wish
from pellucid.explaining.places import default_folder, model_name
from pellucid.progress import Progress

PathLike = str | os.PathLike[str]


def explain(
    model: Bundle | PathLike,
    images: PathLike | Sequence[PathLike] = (),
    *,
    out: PathLike | None = None,
    target: str | None = None,
    label: str | None = None,
    methods: Sequence[str] = (GRAD_CAM,),
    layer: str | None = None,
    baseline: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    masks: PathLike | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Explained:
    """Write what a model looks at: a page and pictures for each image, or a gallery of a split.

    `images` are files or folders; or `split` names a split of a run, of which at most `limit`
    images are explained and the maps tested for whether they mean anything, also against `masks`,
    a folder with a mask of the same name for each image. `target` and `label` choose the class that
    is explained (the one called); `methods` are "grad_cam", "integrated_gradients", "occlusion",
    "gradient_x_input" or "all"; `layer` is Grad-CAM's, `baseline` ("mean", "black" or a number in
    [0, 1]) what the others put in place of the image. `out` is a folder, `explanations/MODEL` where
    none is given. Returns what was written and which files could not be read. Raises a
    `PellucidError` before anything is written when the input is wrong.
    """
    chosen = [images] if isinstance(images, str | os.PathLike) else list(images)
    if bool(chosen) == (split is not None):
        found = "both" if chosen else "neither"
        raise UsageError("Either images or a split of a run is explained", found)
    if split is None and (masks is not None or limit is not None):
        raise UsageError("Masks and a limit belong to a split", remedy="Add --split test.")
    bundle = model if isinstance(model, Bundle) else load_bundle(model)
    wish = Wish(target, label, tuple(methods), layer, baseline).check(bundle)
    folder = Path("model") if isinstance(model, Bundle) else Path(model)
    place = Path(out) if out is not None else default_folder(folder)
    progress = progress or Progress()
    if split is None:
        return explain_images(
            bundle,
            [Path(image) for image in chosen],
            place,
            model=model_name(folder),
            wish=wish,
            overwrite=overwrite,
            progress=progress.counter("Explaining"),
        )
    from pellucid.explaining.splits import explain_split

    return explain_split(
        bundle,
        folder,
        place,
        split=split,
        limit=limit,
        masks=Path(masks) if masks is not None else None,
        wish=wish,
        overwrite=overwrite,
        progress=progress,
    )
