"""The C interface from Python's ctypes: what any language with a foreign function interface does."""
import ctypes
import os
import unittest
from pathlib import Path

import numpy as np

SOURCE = Path(os.environ["BECKON_SOURCE_DIR"])


class Image(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("pixels", ctypes.c_void_p), ("width", ctypes.c_int32),
                ("height", ctypes.c_int32), ("channels", ctypes.c_int32), ("stride", ctypes.c_size_t)]


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double), ("label", ctypes.c_int32)]


class Query(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("points", ctypes.POINTER(Point)), ("point_count", ctypes.c_size_t),
                ("box", ctypes.POINTER(ctypes.c_double)), ("mask_logits", ctypes.POINTER(ctypes.c_float)),
                ("mask_logit_count", ctypes.c_size_t), ("multimask", ctypes.c_int32)]


class Info(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("score", ctypes.c_float), ("stability", ctypes.c_double),
                ("area", ctypes.c_int64)] + [
                    (name, ctypes.c_int32) for name in ("x", "y", "width", "height", "image_width", "image_height",
                                                        "logits_width", "logits_height", "token")] + [
                    ("point_x", ctypes.c_double), ("point_y", ctypes.c_double)]


class Library(unittest.TestCase):
    def setUp(self):
        self.library = ctypes.CDLL(str(Path(os.environ["BECKON_BUILD_DIR"]) / "libbeckon.so"))
        self.library.beckon_last_error.restype = ctypes.c_char_p
        self.library.beckon_masks_count.restype = ctypes.c_size_t
        for name in ("sam", "embedding", "masks"):
            getattr(self.library, f"beckon_{name}_free").argtypes = [ctypes.c_void_p]
        self.library.beckon_masks_count.argtypes = [ctypes.c_void_p]

    def test_a_click_becomes_a_mask(self):
        c = self.library
        sam, seen, masks = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        model = SOURCE / "tests/goldens/sam/odd_75x113/weights.safetensors"
        self.assertEqual(c.beckon_sam_load(str(model).encode(), ctypes.byref(sam)), 0, c.beckon_last_error())
        pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        image = Image(ctypes.sizeof(Image), pixels.ctypes.data, 60, 40, 3, pixels.strides[0])
        self.assertEqual(c.beckon_sam_encode(sam, ctypes.byref(image), ctypes.byref(seen)), 0, c.beckon_last_error())
        click = Point(30, 20, 1)
        query = Query(ctypes.sizeof(Query), ctypes.pointer(click), 1, None, None, 0, -1)
        self.assertEqual(c.beckon_embedding_segment(seen, ctypes.byref(query), ctypes.byref(masks)), 0)
        self.assertEqual(c.beckon_masks_count(masks), 3)
        info = Info(struct_size=ctypes.sizeof(Info))
        self.assertEqual(c.beckon_masks_info(masks, ctypes.c_size_t(0), ctypes.byref(info)), 0)
        bitmap = np.zeros((info.image_height, info.image_width), np.uint8)
        self.assertEqual(c.beckon_masks_bitmap(masks, ctypes.c_size_t(0), ctypes.c_void_p(bitmap.ctypes.data),
                                               ctypes.c_size_t(bitmap.nbytes), ctypes.c_size_t(0)), 0)
        self.assertEqual(int(bitmap.sum()), info.area)
        self.assertEqual(c.beckon_sam_load(b"/nowhere.pth", ctypes.byref(sam)), 66)
        self.assertIn(b"/nowhere.pth", c.beckon_last_error())
        c.beckon_masks_free(masks)
        c.beckon_embedding_free(seen)
        c.beckon_sam_free(sam)


if __name__ == "__main__":
    unittest.main()
