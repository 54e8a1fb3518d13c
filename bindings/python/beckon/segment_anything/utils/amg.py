"""What the mask generator is made of: grids, crops, run lengths, boxes, scores, on numpy arrays."""
import math
from itertools import product
from typing import Any, Dict, Generator, List, Tuple

import numpy as np

from ... import _core
from .arrays import to_numpy


def build_point_grid(n_per_side: int) -> np.ndarray:
    """n x n points [n*n,2] in the middle of cells, as fractions, row by row."""
    offset = 1 / (2 * n_per_side)
    line = np.linspace(offset, 1 - offset, n_per_side)
    x, y = np.meshgrid(line, line)
    return np.stack([x, y], axis=-1).reshape(-1, 2)


def build_all_layer_point_grids(n_per_side: int, n_layers: int, scale_per_layer: int) -> List[np.ndarray]:
    return [build_point_grid(int(n_per_side / (scale_per_layer**layer))) for layer in range(n_layers + 1)]


def generate_crop_boxes(
    im_size: Tuple[int, ...], n_layers: int, overlap_ratio: float
) -> Tuple[List[List[int]], List[int]]:
    """Boxes x0, y0, x1, y1 of the whole image and of 2^i x 2^i crops in layer i, and the layer of each."""
    height, width = im_size
    boxes, layers = [[0, 0, width, height]], [0]
    for layer in range(1, n_layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(height, width) * (2 / count))
        crop_w = int(math.ceil((overlap * (count - 1) + width) / count))
        crop_h = int(math.ceil((overlap * (count - 1) + height) / count))
        lefts = [int((crop_w - overlap) * i) for i in range(count)]
        tops = [int((crop_h - overlap) * i) for i in range(count)]
        for x0, y0 in product(lefts, tops):
            boxes.append([x0, y0, min(x0 + crop_w, width), min(y0 + crop_h, height)])
            layers.append(layer)
    return boxes, layers


def batch_iterator(batch_size: int, *args: Any) -> Generator[List[Any], None, None]:
    assert len(args) > 0 and all(
        len(a) == len(args[0]) for a in args
    ), "Batched iteration must have inputs of all the same size."
    for begin in range(0, len(args[0]), batch_size):
        yield [a[begin:begin + batch_size] for a in args]


def is_box_near_crop_edge(boxes: Any, crop_box: List[int], orig_box: List[int], atol: float = 20.0) -> np.ndarray:
    """Whether boxes (in the crop) touch an edge of the crop that is not one of the image."""
    whole = uncrop_boxes_xyxy(np.asarray(to_numpy(boxes), dtype=np.float32), crop_box)
    at_crop = np.isclose(whole, np.asarray(crop_box, dtype=np.float32)[None], atol=atol, rtol=0)
    at_image = np.isclose(whole, np.asarray(orig_box, dtype=np.float32)[None], atol=atol, rtol=0)
    return np.any(at_crop & ~at_image, axis=1)


def uncrop_boxes_xyxy(boxes: Any, crop_box: List[int]) -> np.ndarray:
    boxes = to_numpy(boxes)
    x0, y0 = crop_box[:2]
    offset = np.array([x0, y0, x0, y0], dtype=boxes.dtype)
    return boxes + (offset[None, None] if boxes.ndim == 3 else offset[None])


def uncrop_points(points: Any, crop_box: List[int]) -> np.ndarray:
    points = to_numpy(points)
    offset = np.array(crop_box[:2], dtype=points.dtype)
    return points + (offset[None, None] if points.ndim == 3 else offset[None])


def uncrop_masks(masks: Any, crop_box: List[int], orig_h: int, orig_w: int) -> np.ndarray:
    masks = to_numpy(masks)
    x0, y0, x1, y1 = crop_box
    if (x0, y0, x1, y1) == (0, 0, orig_w, orig_h):
        return masks
    edges = [(0, 0)] * (masks.ndim - 2) + [(y0, orig_h - y1), (x0, orig_w - x1)]
    return np.pad(masks, edges)


def box_xyxy_to_xywh(box_xyxy: Any) -> np.ndarray:
    box = np.array(to_numpy(box_xyxy))
    box[2] -= box[0]
    box[3] -= box[1]
    return box


def mask_to_rle(masks: Any) -> List[Dict[str, Any]]:
    """[B,H,W] -> {"size": [h, w], "counts": [...]} each: runs down the columns, background first."""
    result = []
    for mask in to_numpy(masks):
        height, width = mask.shape
        rle = _core.Mask(np.ascontiguousarray(mask != 0)).rle()
        result.append({"size": [height, width], "counts": list(rle.counts)})
    return result


# The reference's name.
mask_to_rle_pytorch = mask_to_rle


def rle_to_mask(rle: Dict[str, Any]) -> np.ndarray:
    height, width = rle["size"]
    return _core.Rle((height, width), [int(n) for n in rle["counts"]]).mask().numpy()


def area_from_rle(rle: Dict[str, Any]) -> int:
    return sum(rle["counts"][1::2])


def coco_encode_rle(uncompressed_rle: Dict[str, Any]) -> Dict[str, Any]:
    height, width = uncompressed_rle["size"]
    rle = _core.Rle((height, width), [int(n) for n in uncompressed_rle["counts"]])
    return {"size": [height, width], "counts": rle.string()}


def calculate_stability_score(masks: Any, mask_threshold: float, threshold_offset: float) -> np.ndarray:
    """Of logits [...,H,W]: the area at threshold + offset over that at threshold - offset; NaN for 0/0."""
    masks = to_numpy(masks)
    inner = (masks > mask_threshold + threshold_offset).sum(axis=(-1, -2), dtype=np.int32)
    outer = (masks > mask_threshold - threshold_offset).sum(axis=(-1, -2), dtype=np.int32)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (inner.astype(np.float32) / outer.astype(np.float32)).astype(np.float32)


def batched_mask_to_box(masks: Any) -> np.ndarray:
    """[...,H,W] -> [...,4]: the first and last column and row of each mask as x0, y0, x1, y1; zeros if it is empty."""
    masks = to_numpy(masks) != 0
    shape = masks.shape
    if masks.size == 0:
        return np.zeros((*shape[:-2], 4), dtype=np.int64)
    flat = masks.reshape(-1, *shape[-2:])
    rows, columns = flat.any(axis=2), flat.any(axis=1)
    height, width = shape[-2:]
    boxes = np.stack([columns.argmax(axis=1), rows.argmax(axis=1), width - 1 - columns[:, ::-1].argmax(axis=1),
                      height - 1 - rows[:, ::-1].argmax(axis=1)], axis=1)
    boxes = boxes * rows.any(axis=1)[:, None]
    return boxes.reshape(*shape[:-2], 4).astype(np.int64)


def remove_small_regions(mask: np.ndarray, area_thresh: float, mode: str) -> Tuple[np.ndarray, bool]:
    """Fills holes or removes islands of fewer than `area_thresh` pixels; the flag says whether anything changed."""
    assert mode in ["holes", "islands"]
    whole = _core.Mask(np.ascontiguousarray(to_numpy(mask) != 0))
    least = math.ceil(area_thresh)
    changed = whole.fill_small_holes(least) if mode == "holes" else whole.remove_small_islands(least)
    return changed[0].numpy(), changed[1]
