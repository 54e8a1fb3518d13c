"""SamAutomaticMaskGenerator: masks of all that is to be seen in an image."""
from typing import Any, Dict, List, Optional

import numpy as np

from .. import _core
from .modeling import Sam
from .predictor import SamPredictor
from .utils.amg import build_all_layer_point_grids
from .utils.arrays import to_numpy


class SamAutomaticMaskGenerator:
    def __init__(
        self,
        model: Sam,
        points_per_side: Optional[int] = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: Optional[List[np.ndarray]] = None,
        min_mask_region_area: int = 0,
        output_mode: str = "binary_mask",
    ) -> None:
        assert (points_per_side is None) != (
            point_grids is None
        ), "Exactly one of points_per_side or point_grid must be provided."
        if points_per_side is not None:
            self.point_grids = build_all_layer_point_grids(
                points_per_side, crop_n_layers, crop_n_points_downscale_factor)
        else:
            self.point_grids = point_grids
        assert output_mode in [
            "binary_mask",
            "uncompressed_rle",
            "coco_rle",
        ], f"Unknown output_mode {output_mode}."

        self.predictor = SamPredictor(model)
        self.points_per_batch = points_per_batch
        self.pred_iou_thresh = pred_iou_thresh
        self.stability_score_thresh = stability_score_thresh
        self.stability_score_offset = stability_score_offset
        self.box_nms_thresh = box_nms_thresh
        self.crop_n_layers = crop_n_layers
        self.crop_nms_thresh = crop_nms_thresh
        self.crop_overlap_ratio = crop_overlap_ratio
        self.crop_n_points_downscale_factor = crop_n_points_downscale_factor
        self.min_mask_region_area = min_mask_region_area
        self.output_mode = output_mode
        self._points_per_side = points_per_side
        self._generator()  # refuses what is out of range now rather than after a minute

    # Made for each call: scripts set the attributes above after construction.
    def _generator(self) -> _core.MaskGenerator:
        grids = None if self._points_per_side is not None else [
            np.asarray(to_numpy(grid), dtype=np.float32) for grid in self.point_grids]
        return _core.MaskGenerator(
            self.predictor.model.model,
            points_per_side=self._points_per_side or 0,
            points_per_batch=self.points_per_batch,
            pred_iou_thresh=self.pred_iou_thresh,
            stability_score_thresh=self.stability_score_thresh,
            stability_score_offset=self.stability_score_offset,
            box_nms_thresh=self.box_nms_thresh,
            crop_n_layers=self.crop_n_layers,
            crop_nms_thresh=self.crop_nms_thresh,
            crop_overlap_ratio=self.crop_overlap_ratio,
            crop_n_points_downscale_factor=self.crop_n_points_downscale_factor,
            point_grids=grids,
            min_mask_region_area=int(np.ceil(self.min_mask_region_area)),
        )

    def generate(self, image: np.ndarray) -> List[Dict[str, Any]]:
        """Image uint8 [H,W,3], RGB -> a record for each mask: segmentation (as output_mode says), area, bbox as x, y,
        width, height, predicted_iou, point_coords, stability_score, crop_box."""
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"generate: an array of shape {image.shape}, expected [height,width,3]")
        return [self._record(mask) for mask in self._generator().generate(np.ascontiguousarray(image))]

    def _record(self, mask: _core.GeneratedMask) -> Dict[str, Any]:
        rle = mask.segmentation
        if self.output_mode == "coco_rle":
            segmentation: Any = {"size": list(rle.size), "counts": rle.string()}
        elif self.output_mode == "binary_mask":
            segmentation = rle.mask().numpy()
        else:
            segmentation = {"size": list(rle.size), "counts": list(rle.counts)}
        return {
            "segmentation": segmentation,
            "area": mask.area,
            "bbox": list(mask.bbox),
            "predicted_iou": mask.predicted_iou,
            "point_coords": [list(mask.point)],
            "stability_score": mask.stability_score,
            "crop_box": list(mask.crop_box),
        }
