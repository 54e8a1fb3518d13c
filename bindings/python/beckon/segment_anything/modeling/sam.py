"""The model as scripts hold it: something to load, to move about and to hand to a predictor."""
import types
from typing import Any, Dict, List

import numpy as np

from ... import _core
from ..utils.arrays import to_numpy


class Sam:
    mask_threshold: float = 0.0
    image_format: str = "RGB"

    def __init__(self, model: _core.Sam) -> None:
        self.model = model
        # Predictors ask for the side of the square that images are fitted into.
        self.image_encoder = types.SimpleNamespace(img_size=model.image_size)
        self.device = "cpu"

    def to(self, *args: Any, **kwargs: Any) -> "Sam":
        """Everything runs on the CPU: devices are accepted and change nothing."""
        return self

    def cpu(self) -> "Sam":
        return self

    def cuda(self, *args: Any) -> "Sam":
        return self

    def eval(self) -> "Sam":
        return self

    def __call__(self, batched_input: List[Dict[str, Any]], multimask_output: bool) -> List[Dict[str, np.ndarray]]:
        return self.forward(batched_input, multimask_output)

    def forward(self, batched_input: List[Dict[str, Any]], multimask_output: bool) -> List[Dict[str, np.ndarray]]:
        """Images and prompts that are in the model's frame already, as the reference's Sam.forward takes them."""
        outputs = []
        for record in batched_input:
            image = np.asarray(to_numpy(record["image"]), dtype=np.float32)
            size = tuple(int(n) for n in record["original_size"])
            seen = self.model.encode_resized(image[None], size)
            parts = {name: to_numpy(record.get(name)) for name in ("point_coords", "point_labels", "boxes", "mask_inputs")}
            points = parts["point_coords"]
            masks, scores, low_res = seen.predict(
                points, parts["point_labels"] if points is not None else None, parts["boxes"], parts["mask_inputs"],
                multimask_output, False)
            outputs.append({"masks": masks, "iou_predictions": scores, "low_res_logits": low_res})
        return outputs
