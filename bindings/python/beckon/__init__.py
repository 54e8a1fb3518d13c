"""Visual prompting on a CPU: point at something in a photo and get its mask.

    sam = beckon.Sam.load("mobile-sam")          # a name in the store, or the path of an official file
    seen = sam.encode(beckon.Image.read("truck.jpg"))
    masks = seen.segment(beckon.Point(500, 375))
    masks.best().write_png("mask.png")

`beckon.segment_anything` offers the same models under the names of the package segment_anything.
"""
from ._core import (
    Box,
    Embedding,
    Error,
    GeneratedMask,
    Image,
    InputError,
    InternalError,
    InterruptedError,
    Mask,
    MaskGenerator,
    MaskPrompt,
    Masks,
    MissingError,
    ModelError,
    OutputError,
    Point,
    PredictedMask,
    ResourceError,
    Rle,
    Sam,
    Scribble,
    TemporaryError,
    UnavailableError,
    UnsupportedError,
    UsageError,
    __version__,
    iou,
    nms,
    resize,
)

__all__ = [
    "Box", "Embedding", "Error", "GeneratedMask", "Image", "InputError", "InternalError", "InterruptedError", "Mask", "MaskGenerator",
    "MaskPrompt",
    "Masks", "MissingError", "ModelError", "OutputError", "Point", "PredictedMask", "ResourceError", "Rle", "Sam",
    "Scribble", "TemporaryError", "UnavailableError", "UnsupportedError", "UsageError", "iou", "nms", "resize",
]
