"""The reference package's interface against the reference's numbers."""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

import numpy as np

import beckon
from beckon import segment_anything
from beckon.segment_anything.utils import amg

GOLDENS = Path(os.environ["BECKON_SOURCE_DIR"]) / "tests" / "goldens"
REAL = sorted((GOLDENS / "mobile_sam_real").glob("*/case.json"))


def tensors(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    kinds = {"F32": np.float32, "I64": np.int64, "U8": np.uint8, "I32": np.int32, "BOOL": np.bool_, "F64": np.float64}
    return {name: np.frombuffer(data[slice(*t["data_offsets"])], dtype=kinds[t["dtype"]]).reshape(t["shape"])
            for name, t in header.items() if name != "__metadata__"}


def model():
    if not hasattr(model, "kept"):
        model.kept = segment_anything.sam_model_registry["vit_t"](checkpoint="mobile-sam")
    return model.kept


def arguments(prompt):
    names = {"points": "point_coords", "labels": "point_labels", "box": "box"}
    return {name: np.array(prompt[key]) for key, name in names.items() if key in prompt}


def iou(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


class Predictor(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.case = json.loads((GOLDENS / "mobile_sam_real/astronaut/case.json").read_text())
        cls.photo = beckon.Image.read(str(GOLDENS / "mobile_sam_real/astronaut/photo.png")).rgb().numpy()
        cls.predictor = segment_anything.SamPredictor(model().to(device="cuda").eval())
        cls.predictor.set_image(cls.photo)

    def test_real_weights_give_the_reference_masks(self):
        self.assertGreater(len(REAL), 0)
        tried = 0
        for path in REAL:
            case = json.loads(path.read_text())
            predictor = segment_anything.SamPredictor(model())
            predictor.set_image(beckon.Image.read(str(path.parent / "photo.png")).rgb().numpy())
            for prompt in case["prompts"]:
                given = arguments(prompt)
                if not given or set(prompt) & {"mask_input", "mask_from"}:
                    continue
                tried += 1
                multimask = prompt["multimask_output"]
                masks, scores, low = predictor.predict(multimask_output=multimask, **given)
                all4 = prompt["predicted_iou_all4"]
                np.testing.assert_allclose(scores, all4[1:] if multimask else all4[:1], atol=2e-3 if "mask" in prompt["name"] else 1e-4)
                areas = prompt["area_all4"][1:] if multimask else prompt["area_all4"][:1]
                for mask, area in zip(masks, areas):
                    self.assertLessEqual(abs(int(mask.sum()) - area), 1e-3 * area + 3, (path, prompt["name"]))
                chosen = masks[prompt["selected_mask"] - 1 if multimask else 0]
                runs = prompt["segmentation"]
                expected = beckon.Rle(tuple(runs["size"]), runs["counts"]).mask().numpy()
                self.assertGreater(iou(chosen, expected), 0.999)
        self.assertGreaterEqual(tried, 6)

    def test_shapes_and_types(self):
        for multimask, count in ((True, 3), (False, 1)):
            masks, scores, low = self.predictor.predict(np.array([[225, 114]]), np.array([1]), multimask_output=multimask)
            self.assertEqual((masks.shape, masks.dtype), ((count, 512, 512), np.bool_))
            self.assertEqual((scores.shape, scores.dtype), ((count,), np.float32))
            self.assertEqual((low.shape, low.dtype), ((count, 256, 256), np.float32))
        logits, _, low = self.predictor.predict(np.array([[225, 114]]), np.array([1]), return_logits=True)
        self.assertEqual(logits.dtype, np.float32)
        np.testing.assert_array_equal(logits > 0, self.predictor.predict(np.array([[225, 114]]), np.array([1]))[0])
        refined = self.predictor.predict(np.array([[225, 114]]), np.array([1]), mask_input=low[:1], multimask_output=False)
        self.assertEqual(refined[0].shape, (1, 512, 512))
        embedding = self.predictor.get_image_embedding()
        self.assertEqual((embedding.shape, embedding.dtype), ((1, 256, 64, 64), np.float32))

    def test_batches_are_single_calls_together(self):
        boxes = np.array([[150, 40, 300, 300], [10, 250, 500, 510]], dtype=np.float64)
        moved = self.predictor.transform.apply_boxes_torch(boxes, self.photo.shape[:2])
        masks, scores, low = self.predictor.predict_torch(None, None, boxes=moved, multimask_output=False)
        self.assertEqual((masks.shape, scores.shape, low.shape), ((2, 1, 512, 512), (2, 1), (2, 1, 256, 256)))
        for i, box in enumerate(boxes):
            one = self.predictor.predict(box=box, multimask_output=False)
            np.testing.assert_allclose(scores[i], one[1], atol=1e-5)
            self.assertGreater(iou(masks[i], one[0]), 0.9999)

    def test_errors_are_the_reference_s(self):
        fresh = segment_anything.SamPredictor(model())
        with self.assertRaisesRegex(RuntimeError, r"An image must be set with .set_image\(...\) before mask prediction."):
            fresh.predict()
        with self.assertRaisesRegex(RuntimeError, "to generate an embedding"):
            fresh.get_image_embedding()
        with self.assertRaisesRegex(AssertionError, "image_format must be in"):
            fresh.set_image(self.photo, "HSV")
        with self.assertRaisesRegex(AssertionError, "point_labels must be supplied"):
            self.predictor.predict(point_coords=np.array([[1, 2]]))
        with self.assertRaisesRegex(AssertionError, "set_torch_image input must be BCHW with long side 1024."):
            fresh.set_torch_image(np.zeros((1, 3, 5, 5)), (5, 5))
        with self.assertRaises(TypeError):
            fresh.set_image(self.photo.astype(np.float32))
        for wrong in ({"point_coords": np.zeros((2, 3)), "point_labels": np.ones(2)},
                      {"point_coords": np.zeros((2, 2)), "point_labels": np.ones(3)},
                      {"point_coords": np.full((1, 2), np.nan), "point_labels": np.ones(1)},
                      {"mask_input": np.zeros((1, 8, 8))}):
            with self.assertRaises(ValueError):
                self.predictor.predict(**wrong)
        with self.assertRaises(FileNotFoundError):
            segment_anything.sam_model_registry["vit_b"](checkpoint="/nowhere/sam.pth")

    def test_colours_and_layouts_of_images(self):
        other = segment_anything.SamPredictor(model())
        other.set_image(self.photo[..., ::-1], "BGR")
        np.testing.assert_array_equal(other.get_image_embedding(), self.predictor.get_image_embedding())
        resized = other.transform.apply_image(self.photo)
        other.set_torch_image(resized.transpose(2, 0, 1)[None], self.photo.shape[:2])
        np.testing.assert_array_equal(other.get_image_embedding(), self.predictor.get_image_embedding())
        other.reset_image()
        self.assertFalse(other.is_image_set)

    def test_threads_share_a_model_and_let_python_run(self):
        expected = self.predictor.predict(np.array([[225, 114]]), np.array([1]))[2]
        answers = [None] * 4
        def work(i):
            answers[i] = self.predictor.predict(np.array([[225, 114]]), np.array([1]))[2]
        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        for answer in answers:
            np.testing.assert_array_equal(answer, expected)
        # While another thread encodes, this one must go on.
        encoding = threading.Thread(target=lambda: model().model.encode(self.photo))
        encoding.start()
        steps = 0
        while encoding.is_alive():
            steps += 1
            time.sleep(0.001)
        self.assertGreater(steps, 20)


class Everything(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = GOLDENS / "mobile_sam_real/astronaut"
        cls.photo = beckon.Image.read(str(cls.folder / "photo.png")).rgb().numpy()

    def test_a_small_grid_finds_what_the_library_finds(self):
        generator = segment_anything.SamAutomaticMaskGenerator(model(), points_per_side=4, output_mode="coco_rle")
        records = generator.generate(self.photo)
        self.assertGreater(len(records), 2)
        direct = beckon.MaskGenerator(model().model, points_per_side=4).generate(self.photo)
        self.assertEqual([r["segmentation"]["counts"] for r in records], [d.segmentation.string() for d in direct])
        for record in records:
            self.assertEqual(set(record), {"segmentation", "area", "bbox", "predicted_iou", "point_coords",
                                           "stability_score", "crop_box"})
            self.assertEqual(record["segmentation"]["size"], [512, 512])
            self.assertEqual(record["crop_box"], [0, 0, 512, 512])
        for mode in ("binary_mask", "uncompressed_rle"):
            generator.output_mode = mode
            for a, b in zip(records, generator.generate(self.photo)):
                if mode == "binary_mask":
                    self.assertEqual((b["segmentation"].shape, b["segmentation"].dtype), ((512, 512), np.bool_))
                    self.assertEqual(int(b["segmentation"].sum()), a["area"])
                else:
                    self.assertEqual(amg.coco_encode_rle(b["segmentation"]), a["segmentation"])

    def test_point_grids_and_wrong_arguments(self):
        grid = amg.build_all_layer_point_grids(4, 0, 1)
        make = segment_anything.SamAutomaticMaskGenerator
        given = make(model(), points_per_side=None, point_grids=grid, output_mode="coco_rle").generate(self.photo)
        usual = make(model(), points_per_side=4, output_mode="coco_rle").generate(self.photo)
        self.assertEqual(given, usual)
        with self.assertRaisesRegex(AssertionError, "Exactly one of points_per_side or point_grid must be provided."):
            make(model(), points_per_side=4, point_grids=grid)
        with self.assertRaisesRegex(AssertionError, "Unknown output_mode png."):
            make(model(), output_mode="png")
        with self.assertRaises(ValueError):
            make(model(), crop_overlap_ratio=2.0)
        with self.assertRaises(ValueError):
            make(model()).generate(self.photo[..., 0])

    def test_progress_and_interrupts(self):
        generator = beckon.MaskGenerator(model().model, points_per_side=4, points_per_batch=4)
        seen = []
        generator.generate(self.photo, progress=lambda done, total: seen.append((done, total)))
        self.assertEqual(seen[-1], (16, 16))
        with self.assertRaises(beckon.InterruptedError):
            generator.generate(self.photo, progress=lambda done, total: False)
        with self.assertRaises(ZeroDivisionError):
            generator.generate(self.photo, progress=lambda done, total: 1 // 0)
        code = ("import os, signal, threading, beckon, numpy as np\n"
                "g = beckon.MaskGenerator(beckon.Sam.load('mobile-sam'), points_per_batch=4)\n"
                "threading.Timer(0.8, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
                "try:\n  g.generate(np.zeros((64, 64, 3), np.uint8)); print('ran through')\n"
                "except KeyboardInterrupt:\n  print('stopped')\n")
        said = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, timeout=60)
        self.assertEqual(said.stdout.decode().strip(), "stopped")

    def test_embeddings_are_kept(self):
        with tempfile.TemporaryDirectory() as folder:
            first = model().model.encode_cached(self.photo, folder=folder)
            second = model().model.encode_cached(self.photo, folder=folder)
            np.testing.assert_array_equal(first.numpy(), second.numpy())
            self.assertGreater(len(list(Path(folder).rglob("*.f32"))), 0)


class Package(unittest.TestCase):
    def test_imports_quickly_and_without_torch(self):
        code = "import sys, beckon.segment_anything; assert 'torch' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True, timeout=20)

    def test_takes_the_place_of_the_reference(self):
        code = ("import beckon.segment_anything as s; s.install()\n"
                "from segment_anything import SamPredictor, sam_model_registry\n"
                "from segment_anything.utils.transforms import ResizeLongestSide\n"
                "from segment_anything.utils.amg import rle_to_mask\n"
                "assert SamPredictor is s.SamPredictor\n")
        subprocess.run([sys.executable, "-c", code], check=True, timeout=20)

    def test_every_public_name_has_a_type(self):
        stub = (Path(beckon.__file__).parent / "__init__.pyi").read_text()
        for name in beckon.__all__:
            self.assertRegex(stub, rf"(class|def) {name}\b")
            thing = getattr(beckon, name)
            if isinstance(thing, type) and not issubclass(thing, Exception):
                body = stub.split(f"class {name}:")[1].split("\nclass ")[0]
                for member in vars(thing):
                    if not member.startswith("_"):
                        self.assertRegex(body, rf"\b{member}\b", f"{name}.{member}")

    def test_errors_are_python_s_and_ours(self):
        with self.assertRaises(FileNotFoundError) as caught:
            beckon.Image.read("/nowhere.png")
        self.assertIsInstance(caught.exception, beckon.Error)
        self.assertEqual(caught.exception.kind, "missing")
        self.assertIn("/nowhere.png", str(caught.exception))
        with self.assertRaises(ValueError):
            beckon.Image.decode(b"\x89PNG\r\n\x1a\n????")

    def test_objects(self):
        pixels = np.zeros((20, 30, 3), np.uint8)
        pixels[5:9, 4:7] = 255
        self.assertEqual(beckon.Image(pixels[:, ::-1]).numpy().tolist(), pixels[:, ::-1].tolist())
        mask = beckon.Mask(pixels[..., 0] > 0)
        self.assertEqual((mask.area, mask.bbox), (12, (4, 5, 3, 4)))
        self.assertEqual(mask.rle().mask(), mask)
        photo = beckon.Image.read(str(GOLDENS / "mobile_sam_real/astronaut/photo.png"))
        seen = model().model.encode(photo)
        masks = seen.segment(beckon.Point(225, 114))
        self.assertEqual(len(masks), 3)
        self.assertEqual(masks.best().numpy().shape, (512, 512))
        np.testing.assert_array_equal(np.asarray(masks.best()), masks.best().numpy())
        from_array = seen.segment(beckon.MaskPrompt(np.asarray(masks.best()))).best()
        self.assertEqual(from_array.rle(), seen.segment(beckon.MaskPrompt(masks.best().mask)).best().rle())
        huge = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (200_000, 200_000, 3), (0, 0, 0))
        with self.assertRaisesRegex(beckon.Error, "too large"):
            beckon.Image(huge)
        with tempfile.TemporaryDirectory() as folder:
            seen.save(folder + "/e.safetensors")
            again = model().model.load_embedding(folder + "/e.safetensors")
            np.testing.assert_array_equal(again.numpy(), seen.numpy())


class Documents(unittest.TestCase):
    def test_examples_run(self):
        source = Path(os.environ["BECKON_SOURCE_DIR"])
        ran = 0
        for page in [source / "README.md", *sorted((source / "docs").glob("*.md"))]:
            for block in re.findall(r"^```python run\n(.*?)^```", page.read_text(), re.M | re.S):
                ran += 1
                with self.subTest(page=page.name, block=block.splitlines()[0]), tempfile.TemporaryDirectory() as folder:
                    for photo in (source / "examples/photos").glob("*.png"):
                        shutil.copy(photo, folder)
                    said = subprocess.run([sys.executable, "-c", block], cwd=folder, stdout=subprocess.PIPE,
                                          stderr=subprocess.STDOUT, timeout=120)
                    self.assertEqual(said.returncode, 0, said.stdout.decode())
        self.assertGreaterEqual(ran, 3)


class Helpers(unittest.TestCase):
    def test_run_lengths_boxes_and_scores(self):
        masks = np.random.default_rng(1).random((5, 17, 23)) > 0.6
        masks[4] = False
        for mask, rle in zip(masks, amg.mask_to_rle_pytorch(masks)):
            np.testing.assert_array_equal(amg.rle_to_mask(rle), mask)
            self.assertEqual(amg.area_from_rle(rle), mask.sum())
            self.assertIsInstance(amg.coco_encode_rle(rle)["counts"], str)
        boxes = amg.batched_mask_to_box(masks)
        ys, xs = np.nonzero(masks[0])
        self.assertEqual(boxes[0].tolist(), [xs.min(), ys.min(), xs.max(), ys.max()])
        self.assertEqual(boxes[4].tolist(), [0, 0, 0, 0])

    def test_goldens(self):
        folder = GOLDENS / "sam_amg_helpers" / "basic"
        case, io = json.loads((folder / "case.json").read_text()), tensors(folder / "io.safetensors")
        masks = io["in.masks"] != 0
        for mask, expected in zip(amg.mask_to_rle(masks), case["rle"]):
            self.assertEqual(mask["counts"], expected["counts"])
            self.assertEqual(amg.coco_encode_rle(mask)["counts"], expected["coco"])


if __name__ == "__main__":
    unittest.main()
