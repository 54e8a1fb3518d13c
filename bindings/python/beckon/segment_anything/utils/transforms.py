"""Between an image and the square that the model sees."""
from copy import deepcopy
from typing import Any, Tuple

import numpy as np

from ... import _core
from .arrays import to_numpy


class ResizeLongestSide:
    """Resizes images, and moves coordinates with them, so that the long side has `target_length` pixels."""

    def __init__(self, target_length: int) -> None:
        self.target_length = target_length

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        """uint8 [H,W,C] -> uint8, by area-aware bilinear filtering as Pillow's."""
        height, width = self.get_preprocess_shape(image.shape[0], image.shape[1], self.target_length)
        return np.array(_core.resize(_core.Image(image), width, height).numpy())

    def apply_coords(self, coords: np.ndarray, original_size: Tuple[int, ...]) -> np.ndarray:
        """x, y in the last dimension; original_size is (H, W)."""
        old_h, old_w = original_size
        new_h, new_w = self.get_preprocess_shape(original_size[0], original_size[1], self.target_length)
        coords = deepcopy(coords).astype(float)
        coords[..., 0] = coords[..., 0] * (new_w / old_w)
        coords[..., 1] = coords[..., 1] * (new_h / old_h)
        return coords

    def apply_boxes(self, boxes: np.ndarray, original_size: Tuple[int, ...]) -> np.ndarray:
        """[B,4] of corners."""
        return self.apply_coords(boxes.reshape(-1, 2, 2), original_size).reshape(-1, 4)

    def apply_coords_torch(self, coords: Any, original_size: Tuple[int, ...]) -> np.ndarray:
        """As apply_coords, in single precision."""
        old_h, old_w = original_size
        new_h, new_w = self.get_preprocess_shape(original_size[0], original_size[1], self.target_length)
        moved = np.array(to_numpy(coords), dtype=np.float32)
        moved[..., 0] *= np.float32(new_w / old_w)
        moved[..., 1] *= np.float32(new_h / old_h)
        return moved

    def apply_boxes_torch(self, boxes: Any, original_size: Tuple[int, ...]) -> np.ndarray:
        return self.apply_coords_torch(to_numpy(boxes).reshape(-1, 2, 2), original_size).reshape(-1, 4)

    @staticmethod
    def get_preprocess_shape(oldh: int, oldw: int, long_side_length: int) -> Tuple[int, int]:
        scale = long_side_length * 1.0 / max(oldh, oldw)
        return int(oldh * scale + 0.5), int(oldw * scale + 0.5)
