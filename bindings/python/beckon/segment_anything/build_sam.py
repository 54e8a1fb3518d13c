"""Models by the reference's names: sam_model_registry["vit_b"](checkpoint="sam_vit_b_01ec64.pth")."""
import os
from typing import Any, Callable, Dict, Optional

from .. import _core
from .modeling import Sam

# What the store calls the official models.
_STORE = {"vit_h": "sam-vit-h", "vit_l": "sam-vit-l", "vit_b": "sam-vit-b", "vit_t": "mobile-sam"}


def _build(variant: str, checkpoint: Optional[Any]) -> Sam:
    # Without a checkpoint the reference makes a network of random numbers, which answers nothing; here it is the
    # published model of the store.
    name = _STORE[variant] if checkpoint is None else os.fspath(checkpoint)
    model = _core.Sam.load(name)
    if model.variant not in (variant, "custom"):
        raise RuntimeError(f"Error(s) in loading state_dict for Sam: {name} holds {model.variant}, not {variant}")
    return Sam(model)


def build_sam_vit_h(checkpoint: Optional[Any] = None) -> Sam:
    return _build("vit_h", checkpoint)


build_sam = build_sam_vit_h


def build_sam_vit_l(checkpoint: Optional[Any] = None) -> Sam:
    return _build("vit_l", checkpoint)


def build_sam_vit_b(checkpoint: Optional[Any] = None) -> Sam:
    return _build("vit_b", checkpoint)


def build_sam_vit_t(checkpoint: Optional[Any] = None) -> Sam:
    return _build("vit_t", checkpoint)


sam_model_registry: Dict[str, Callable[..., Sam]] = {
    "default": build_sam_vit_h,
    "vit_h": build_sam_vit_h,
    "vit_l": build_sam_vit_l,
    "vit_b": build_sam_vit_b,
    "vit_t": build_sam_vit_t,
}
