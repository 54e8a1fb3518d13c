"""The interface of the package segment_anything, on Beckon's models and numpy, without PyTorch.

    import beckon.segment_anything as segment_anything

or, for scripts that say `from segment_anything import ...`, once before them:

    import beckon.segment_anything
    beckon.segment_anything.install()
"""
import sys

from . import modeling, utils
from .automatic_mask_generator import SamAutomaticMaskGenerator
from .build_sam import (
    build_sam,
    build_sam_vit_b,
    build_sam_vit_h,
    build_sam_vit_l,
    build_sam_vit_t,
    sam_model_registry,
)
from .predictor import SamPredictor


def install() -> None:
    """Makes `import segment_anything`, and its submodules, mean this package from now on."""
    ours = __name__
    for name, module in list(sys.modules.items()):
        if name == ours or name.startswith(ours + "."):
            sys.modules["segment_anything" + name[len(ours):]] = module


__all__ = [
    "SamAutomaticMaskGenerator", "SamPredictor", "build_sam", "build_sam_vit_b", "build_sam_vit_h", "build_sam_vit_l",
    "build_sam_vit_t", "install", "modeling", "sam_model_registry", "utils",
]
