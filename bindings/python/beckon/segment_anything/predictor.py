"""SamPredictor: one image, any number of prompts."""
from typing import Any, Optional, Tuple

import numpy as np

from .modeling import Sam
from .utils.arrays import to_numpy
from .utils.transforms import ResizeLongestSide


class SamPredictor:
    def __init__(self, sam_model: Sam) -> None:
        super().__init__()
        self.model = sam_model
        self.transform = ResizeLongestSide(sam_model.image_encoder.img_size)
        self.reset_image()

    def set_image(self, image: np.ndarray, image_format: str = "RGB") -> None:
        """Looks at an image, uint8 [H,W,3], so that prompts can be answered."""
        assert image_format in ["RGB", "BGR"], f"image_format must be in ['RGB', 'BGR'], is {image_format}."
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"set_image: an array of shape {image.shape}, expected [height,width,3]")
        if image_format != self.model.image_format:
            image = image[..., ::-1]
        features = self.model.model.encode(np.ascontiguousarray(image))
        self.reset_image()
        self.original_size = image.shape[:2]
        self.input_size = self.transform.get_preprocess_shape(*self.original_size, self.transform.target_length)
        self.features = features
        self.is_image_set = True

    def set_torch_image(self, transformed_image: Any, original_image_size: Tuple[int, ...]) -> None:
        """An image that was resized already: [1,3,H,W], 0 to 255, the long side as the model's."""
        image = to_numpy(transformed_image)
        assert (
            len(image.shape) == 4
            and image.shape[1] == 3
            and max(*image.shape[2:]) == self.model.image_encoder.img_size
        ), f"set_torch_image input must be BCHW with long side {self.model.image_encoder.img_size}."
        self.reset_image()
        self.original_size = tuple(original_image_size)
        self.input_size = tuple(image.shape[-2:])
        self.features = self.model.model.encode_resized(
            image.astype(np.float32), (int(original_image_size[0]), int(original_image_size[1])))
        self.is_image_set = True

    def predict(
        self,
        point_coords: Optional[np.ndarray] = None,
        point_labels: Optional[np.ndarray] = None,
        box: Optional[np.ndarray] = None,
        mask_input: Optional[np.ndarray] = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One object, in pixels of the image -> masks [C,H,W], predicted IoUs [C], low-resolution logits [C,256,256].

        point_coords [N,2] with point_labels [N] (1 object, 0 background), box [4] as x0, y0, x1, y1, mask_input
        [1,256,256] the logits of an earlier answer.
        """
        if not self.is_image_set:
            raise RuntimeError("An image must be set with .set_image(...) before mask prediction.")
        coords, labels, boxes, mask = None, None, None, None
        if point_coords is not None:
            assert point_labels is not None, "point_labels must be supplied if point_coords is supplied."
            coords = self.transform.apply_coords(to_numpy(point_coords), self.original_size)[None]
            labels = to_numpy(point_labels)[None]
        if box is not None:
            boxes = self.transform.apply_boxes(to_numpy(box), self.original_size)
        if mask_input is not None:
            mask = to_numpy(mask_input)[None]
        masks, scores, low_res = self.predict_torch(coords, labels, boxes, mask, multimask_output, return_logits)
        return masks[0], scores[0], low_res[0]

    def predict_torch(
        self,
        point_coords: Optional[Any],
        point_labels: Optional[Any],
        boxes: Optional[Any] = None,
        mask_input: Optional[Any] = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """B objects at once, in the model's frame (see transform): points [B,N,2], labels [B,N], boxes [B,4], masks
        [B,1,256,256] -> masks [B,C,H,W], predicted IoUs [B,C], low-resolution logits [B,C,256,256]. Takes numpy arrays
        or tensors, returns numpy arrays.
        """
        if not self.is_image_set:
            raise RuntimeError("An image must be set with .set_image(...) before mask prediction.")
        points, labels = to_numpy(point_coords), to_numpy(point_labels)
        if points is None:
            labels = None
        return self.features.predict(
            points, labels, to_numpy(boxes), to_numpy(mask_input), multimask_output, return_logits)

    def get_image_embedding(self) -> np.ndarray:
        """[1,256,64,64]"""
        if not self.is_image_set:
            raise RuntimeError("An image must be set with .set_image(...) to generate an embedding.")
        assert self.features is not None, "Features must exist if an image has been set."
        return self.features.numpy()

    @property
    def device(self) -> str:
        return self.model.device

    def reset_image(self) -> None:
        self.is_image_set = False
        self.features = None
        self.orig_h = None
        self.orig_w = None
        self.input_h = None
        self.input_w = None
