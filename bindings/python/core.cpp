// The module beckon._core: the library's objects, numpy arrays in and out. Whatever takes longer
// than a look-up lets go of the interpreter's lock.
#include <cmath>
#include <cstring>
#include <new>
#include <optional>
#include <variant>

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "base/fail.h"
#include "beckon/embedding_cache.h"
#include "beckon/mask_generator.h"
#include "beckon/resize.h"
#include "beckon/sam.h"
#include "beckon/store.h"
#include "beckon/version.h"
#include "models/sam/seen.h"

namespace py = pybind11;
using namespace pybind11::literals;

namespace beckon {
namespace {

using Bytes = py::array_t<uint8_t, py::array::c_style>;
using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Labels = py::array_t<int64_t, py::array::c_style | py::array::forcecast>;
using Free = py::gil_scoped_release;

template <typename T>
py::array_t<T> array(std::span<const T> values, std::vector<py::ssize_t> shape) {
  py::array_t<T> result(std::move(shape));
  if (!values.empty()) std::memcpy(result.mutable_data(), values.data(), values.size_bytes());
  return result;
}

int side(py::ssize_t n) {
  if (n < 1 || n > 1'000'000) fail(Kind::usage, "an array with a side of {} is no picture", n);
  return static_cast<int>(n);
}

Image image_from(const py::array& pixels) {
  if (!py::isinstance<py::array_t<uint8_t>>(pixels))
    throw py::type_error(fmt::format("an image is an array of uint8, not of {}",
                                     std::string(py::str(pixels.dtype()))));
  const bool grey = pixels.ndim() == 2;
  if (!grey && (pixels.ndim() != 3 ||
                (pixels.shape(2) != 1 && pixels.shape(2) != 3 && pixels.shape(2) != 4)))
    fail(Kind::usage, "an image is an array of shape [height,width] or [height,width,1, 3 or 4]");
  const Bytes rows = Bytes::ensure(pixels);
  if (!rows) fail(Kind::resource, "an array of {} values is too large to be copied", pixels.size());
  return Image(side(rows.shape(1)), side(rows.shape(0)), grey ? 1 : static_cast<int>(rows.shape(2)),
               {rows.data(), static_cast<size_t>(rows.size())});
}

using AnyImage = std::variant<Image, py::array>;
Image image_of(const AnyImage& image) {
  const auto* known = std::get_if<Image>(&image);
  return known ? *known : image_from(std::get<py::array>(image));
}

// Shares the image's memory, which the array keeps alive; so it cannot be written to.
py::array image_array(const Image& image) {
  auto* kept = new Image(image);
  const py::capsule owner(kept, [](void* p) { delete static_cast<Image*>(p); });
  std::vector<py::ssize_t> shape = {image.height(), image.width()};
  if (image.channels() > 1) shape.push_back(image.channels());
  py::array_t<uint8_t> result(shape, kept->pixels().data(), owner);
  result.attr("flags").attr("writeable") = false;
  return result;
}

py::array mask_array(const Mask& mask) {
  py::array_t<bool> result({mask.height(), mask.width()});
  if (!mask.empty()) std::memcpy(result.mutable_data(), mask.values().data(), mask.values().size());
  return result;
}

Mask mask_from(const py::array& values) {
  if (values.ndim() != 2) fail(Kind::usage, "a mask is an array of shape [height,width]");
  if (!py::isinstance<py::array_t<bool>>(values) && !py::isinstance<py::array_t<uint8_t>>(values))
    throw py::type_error(fmt::format("a mask is an array of bool or uint8, not of {}",
                                     std::string(py::str(values.dtype()))));
  const py::array_t<uint8_t, py::array::c_style | py::array::forcecast> rows(values);
  return Mask(side(rows.shape(1)), side(rows.shape(0)),
              {rows.data(), static_cast<size_t>(rows.size())});
}

py::tuple size_tuple(ImageSize s) { return py::make_tuple(s.width, s.height); }
py::tuple box_tuple(const PixelBox& b) { return py::make_tuple(b.x, b.y, b.width, b.height); }

// What the reference calls predict_torch(): coordinates in the frame, B prompts of a kind at once.
// Masks come in the order of the model's tokens. -> masks [B,C,H,W] (bool, or float logits), scores
// [B,C], low-resolution logits [B,C,h,w].
py::tuple predict(const Embedding& embedding, const std::optional<Floats>& points,
                  const std::optional<Labels>& labels, const std::optional<Floats>& boxes,
                  const std::optional<Floats>& masks, bool multimask, bool logits) {
  py::ssize_t count = -1;
  const auto rows = [&](py::ssize_t n, const char* what) {
    if (count >= 0 && n != count)
      fail(Kind::usage, "{} for {} prompts, but {} for others", what, n, count);
    count = n;
  };
  if (points.has_value() != labels.has_value())
    fail(Kind::usage, "points need labels, and labels points");
  if (points) {
    if (points->ndim() != 3 || points->shape(2) != 2 || labels->ndim() != 2 ||
        labels->shape(0) != points->shape(0) || labels->shape(1) != points->shape(1))
      fail(Kind::usage, "points are of shape [B,N,2] and their labels of shape [B,N]");
    rows(points->shape(0), "points");
  }
  if (boxes) {
    if (boxes->ndim() != 2 || boxes->shape(1) != 4) fail(Kind::usage, "boxes are of shape [B,4]");
    rows(boxes->shape(0), "boxes");
  }
  const sam::Seen& seen = embedding.seen();
  const sam::PromptEncoderConfig& c = seen.model->config.prompt;
  if (masks) {
    if (masks->ndim() != 4 || masks->shape(1) != 1 || masks->shape(2) != 4 * c.grid_h ||
        masks->shape(3) != 4 * c.grid_w)
      fail(Kind::usage, "mask inputs are of shape [B,1,{},{}]", 4 * c.grid_h, 4 * c.grid_w);
    rows(masks->shape(0), "mask inputs");
  }
  if (count < 0) count = 1;

  const auto finite = [](const Floats& values, const char* what) {
    for (py::ssize_t i = 0; i < values.size(); ++i)
      if (!std::isfinite(values.data()[i])) fail(Kind::usage, "{}: not a finite number", what);
  };
  if (points) finite(*points, "points");
  if (boxes) finite(*boxes, "boxes");
  if (masks) finite(*masks, "mask inputs");

  std::vector<sam::FramePrompt> prompts(static_cast<size_t>(count));
  for (py::ssize_t b = 0; b < count; ++b) {
    sam::FramePrompt& prompt = prompts[static_cast<size_t>(b)];
    if (points) {
      const py::ssize_t n = points->shape(1);
      prompt.xy.assign(points->data() + b * n * 2, points->data() + (b + 1) * n * 2);
      for (py::ssize_t i = 0; i < n; ++i) {
        const int64_t label = labels->data()[b * n + i];
        if (label < -1 || label > 1)
          fail(Kind::usage, "label {}: expected 1 (object), 0 (background) or -1 (no point)",
               label);
        prompt.labels.push_back(static_cast<sam::TokenLabel>(label));
      }
      if (!boxes) {
        prompt.xy.insert(prompt.xy.end(), {0.0f, 0.0f});
        prompt.labels.push_back(sam::TokenLabel::padding);
      }
    }
    if (boxes) {
      prompt.xy.insert(prompt.xy.end(), boxes->data() + b * 4, boxes->data() + b * 4 + 4);
      prompt.labels.insert(prompt.labels.end(),
                           {sam::TokenLabel::top_left, sam::TokenLabel::bottom_right});
    }
    if (masks) {
      const py::ssize_t n = masks->shape(2) * masks->shape(3);
      prompt.mask.assign(masks->data() + b * n, masks->data() + (b + 1) * n);
    }
  }

  const auto channels =
      static_cast<py::ssize_t>(multimask ? seen.model->config.decoder.multimask : 1);
  const ImageSize size = embedding.image_size();
  const py::ssize_t low_h = 4 * c.grid_h, low_w = 4 * c.grid_w;
  py::array_t<float> scores({count, channels});
  py::array_t<float> low({count, channels, low_h, low_w});
  const std::vector<py::ssize_t> full = {count, channels, size.height, size.width};
  py::array result =
      logits ? py::array(py::array_t<float>(full)) : py::array(py::array_t<bool>(full));
  auto* to = static_cast<char*>(result.mutable_data());
  float* to_score = scores.mutable_data();
  float* to_low = low.mutable_data();
  {
    const Free free;
    const SegmentOptions options{.multimask = multimask ? Multimask::readings : Multimask::single};
    std::vector<Masks> answers = seen.segment(std::span<const sam::FramePrompt>(prompts), options);
    for (size_t b = 0; b < answers.size(); ++b) {
      for (const PredictedMask& mask : answers[b]) {
        const size_t at = b * static_cast<size_t>(channels) +
                          static_cast<size_t>(multimask ? mask.token() - 1 : 0);
        to_score[at] = mask.score();
        std::memcpy(to_low + at * mask.logits().size(), mask.logits().data(),
                    mask.logits().size_bytes());
        const size_t pixels = static_cast<size_t>(size.width) * static_cast<size_t>(size.height);
        if (logits) {
          const std::vector<float> values = mask.full_logits();
          std::memcpy(to + at * pixels * sizeof(float), values.data(), pixels * sizeof(float));
        } else {
          std::memcpy(to + at * pixels, mask.mask().values().data(), pixels);
        }
      }
      answers[b] = Masks();  // its full-size masks are in the array now
    }
  }
  return py::make_tuple(result, scores, low);
}

// Pixels 0 to 255 as floats, [1,3,h,w], resized so that the long side fills the model's square.
Embedding encode_resized(const Sam& sam, const Floats& pixels, std::pair<int, int> original) {
  const sam::SamModel& model = sam.model();
  if (original.first < 1 || original.second < 1 ||
      int64_t{original.first} * original.second > ReadOptions{}.max_pixels)
    fail(Kind::usage, "an image of {}x{} pixels", original.second, original.first);
  if (pixels.ndim() != 4 || pixels.shape(0) != 1 || pixels.shape(1) != 3 || pixels.shape(2) < 1 ||
      pixels.shape(3) < 1 || std::max(pixels.shape(2), pixels.shape(3)) != model.config.image())
    fail(Kind::usage, "a resized image is of shape [1,3,h,w] with a long side of {}",
         model.config.image());
  const auto h = pixels.shape(2), w = pixels.shape(3);
  const int64_t s = model.config.image();
  const Free free;
  NoGrad no_grad;
  Tensor input = Tensor::zeros({1, s, s, 3});
  float* to = input.data();
  const float* from = pixels.data();
  for (int64_t c = 0; c < 3; ++c)
    for (int64_t y = 0; y < h; ++y)
      for (int64_t x = 0; x < w; ++x)
        to[(y * s + x) * 3 + c] = (*from++ - model.config.mean[static_cast<size_t>(c)]) /
                                  model.config.deviation[static_cast<size_t>(c)];
  auto seen = std::make_shared<sam::Seen>();
  // The model outlives the call as long as the embedding does.
  seen->model = sam.shared_model();
  seen->frame = {{original.second, original.first},
                 {static_cast<int>(w), static_cast<int>(h)},
                 static_cast<int>(s)};
  seen->embedding = model.image_encoder().forward(input);
  return Embedding(std::move(seen));
}

void bind_errors(py::module_& m) {
  // Every error is a beckon.Error, and of the built-in kind that fits.
  static PyObject* kinds[16] = {};
  const py::object error = py::reinterpret_steal<py::object>(PyErr_NewExceptionWithDoc(
      "beckon.Error", "What went wrong, in one line; its kind is in `kind`.", PyExc_Exception,
      nullptr));
  m.attr("Error") = error;
  const auto add = [&](Kind kind, const char* name, PyObject* base) {
    const py::tuple bases = py::make_tuple(error, py::reinterpret_borrow<py::object>(base));
    py::object type = py::reinterpret_steal<py::object>(
        PyErr_NewException((std::string("beckon.") + name).c_str(), bases.ptr(), nullptr));
    type.attr("kind") = kind_name(kind);
    m.attr(name) = type;
    kinds[static_cast<int>(kind)] = type.release().ptr();
  };
  add(Kind::usage, "UsageError", PyExc_ValueError);
  add(Kind::input, "InputError", PyExc_ValueError);
  add(Kind::missing, "MissingError", PyExc_FileNotFoundError);
  add(Kind::model, "ModelError", PyExc_ValueError);
  add(Kind::unavailable, "UnavailableError", PyExc_LookupError);
  add(Kind::unsupported, "UnsupportedError", PyExc_NotImplementedError);
  add(Kind::resource, "ResourceError", PyExc_MemoryError);
  add(Kind::output, "OutputError", PyExc_OSError);
  add(Kind::internal, "InternalError", PyExc_RuntimeError);
  add(Kind::interrupted, "InterruptedError", PyExc_RuntimeError);
  add(Kind::temporary, "TemporaryError", PyExc_OSError);
  py::register_exception_translator([](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const Error& e) {
      PyErr_SetString(kinds[static_cast<int>(e.kind())], e.what());
    }
  });
}

void bind_pictures(py::module_& m) {
  py::class_<Image>(m, "Image", "A picture of 8-bit pixels: grey, RGB or RGBA.")
      .def(py::init(&image_from), "pixels"_a)
      .def_static(
          "read", [](const std::string& path) { return Image::read(path); }, "path"_a,
          py::call_guard<Free>())
      .def_static(
          "decode",
          [](const py::bytes& data, const std::string& name) {
            const std::string_view view(data);
            const Free free;
            return Image::decode({reinterpret_cast<const uint8_t*>(view.data()), view.size()},
                                 name);
          },
          "data"_a, "name"_a = "image")
      .def_property_readonly("width", &Image::width)
      .def_property_readonly("height", &Image::height)
      .def_property_readonly("channels", &Image::channels)
      .def("rgb", &Image::rgb, py::call_guard<Free>())
      .def("numpy", &image_array)
      .def(
          "__array__",
          [](const Image& image, const py::object& dtype, const py::object&) -> py::object {
            py::object a = image_array(image);
            return dtype.is_none() ? a : a.attr("astype")(dtype);
          },
          "dtype"_a = py::none(), "copy"_a = py::none())
      .def("write", &Image::write, "path"_a, py::call_guard<Free>())
      .def(
          "__eq__", [](const Image& a, const Image& b) { return a == b; }, py::is_operator())
      .def("__repr__", [](const Image& i) {
        return fmt::format("<beckon.Image {}x{}, {} channels>", i.width(), i.height(),
                           i.channels());
      });

  py::class_<Rle>(m, "Rle", "COCO's run lengths of a mask.")
      .def(py::init([](std::pair<int, int> size, const std::string& counts) {
             return Rle::from_string({size.second, size.first}, counts);
           }),
           "size"_a, "counts"_a)
      .def(py::init([](std::pair<int, int> size, const std::vector<int64_t>& counts) {
             return Rle::from_counts({size.second, size.first}, counts);
           }),
           "size"_a, "counts"_a)
      .def_property_readonly("size",
                             [](const Rle& r) { return py::make_tuple(r.height(), r.width()); })
      .def_property_readonly(
          "counts",
          [](const Rle& r) { return std::vector<uint32_t>(r.counts().begin(), r.counts().end()); })
      .def_property_readonly("area", &Rle::area)
      .def_property_readonly("bbox", [](const Rle& r) { return box_tuple(r.bounding_box()); })
      .def("string", &Rle::string)
      .def(
          "mask", [](const Rle& r) { return Mask::from_rle(r); }, py::call_guard<Free>())
      .def("coco",
           [](const Rle& r) {
             return py::dict("size"_a = std::vector<int>{r.height(), r.width()},
                             "counts"_a = r.string());
           })
      .def(
          "__eq__", [](const Rle& a, const Rle& b) { return a == b; }, py::is_operator());

  py::class_<Mask>(m, "Mask", "Which pixels belong to an object.")
      .def(py::init(&mask_from), "values"_a)
      .def_static(
          "read", [](const std::string& path) { return Mask::read(path); }, "path"_a,
          py::call_guard<Free>())
      .def_static(
          "from_rle", [](const Rle& r) { return Mask::from_rle(r); }, "rle"_a,
          py::call_guard<Free>())
      .def_property_readonly("width", &Mask::width)
      .def_property_readonly("height", &Mask::height)
      .def_property_readonly("area", &Mask::area)
      .def_property_readonly("bbox", [](const Mask& k) { return box_tuple(k.bounding_box()); })
      .def("rle", &Mask::rle, py::call_guard<Free>())
      .def("numpy", &mask_array)
      .def(
          "__array__",
          [](const Mask& mask, const py::object& dtype, const py::object&) -> py::object {
            py::object a = mask_array(mask);
            return dtype.is_none() ? a : a.attr("astype")(dtype);
          },
          "dtype"_a = py::none(), "copy"_a = py::none())
      .def("write_png", &Mask::write_png, "path"_a, py::call_guard<Free>())
      .def(
          "fill_small_holes", [](const Mask& k, int64_t n) { return fill_small_holes(k, n); },
          "min_area"_a, py::call_guard<Free>())
      .def(
          "remove_small_islands",
          [](const Mask& k, int64_t n) { return remove_small_islands(k, n); }, "min_area"_a,
          py::call_guard<Free>())
      .def(
          "__eq__", [](const Mask& a, const Mask& b) { return a == b; }, py::is_operator());
  m.def(
      "iou", [](const Mask& a, const Mask& b) { return iou(a, b); }, "a"_a, "b"_a,
      py::call_guard<Free>());
  m.def(
      "nms",
      [](const Floats& boxes, const Floats& scores, float threshold) {
        if (boxes.ndim() != 2 || boxes.shape(1) != 4 || scores.ndim() != 1 ||
            scores.shape(0) != boxes.shape(0))
          fail(Kind::usage, "boxes are of shape [N,4] and scores of shape [N]");
        std::vector<Rect> rects;
        for (py::ssize_t i = 0; i < boxes.shape(0); ++i)
          rects.push_back({boxes.at(i, 0), boxes.at(i, 1), boxes.at(i, 2), boxes.at(i, 3)});
        const std::vector<int64_t> kept =
            nms(rects, {scores.data(), static_cast<size_t>(scores.size())}, threshold);
        return array<int64_t>(kept, {static_cast<py::ssize_t>(kept.size())});
      },
      "boxes"_a, "scores"_a, "iou_threshold"_a);
  m.def(
      "resize",
      [](const Image& image, int width, int height) { return resize(image, width, height); },
      "image"_a, "width"_a, "height"_a, py::call_guard<Free>());
}

void bind_prompts(py::module_& m) {
  const auto label = [](bool object) { return object ? Label::object : Label::background; };
  py::class_<Point>(m, "Point",
                    "A place that belongs to the object, or with object=False must stay out of it.")
      .def(py::init([label](double x, double y, bool object) {
             return Point{x, y, label(object)};
           }),
           "x"_a, "y"_a, "object"_a = true)
      .def_readwrite("x", &Point::x)
      .def_readwrite("y", &Point::y)
      .def_property_readonly("object", [](const Point& p) { return p.label == Label::object; });
  py::class_<Box>(m, "Box", "The whole object lies in here.")
      .def(py::init([](double x0, double y0, double x1, double y1) {
             return Box{x0, y0, x1, y1};
           }),
           "x0"_a, "y0"_a, "x1"_a, "y1"_a)
      .def_readwrite("x0", &Box::x0)
      .def_readwrite("y0", &Box::y0)
      .def_readwrite("x1", &Box::x1)
      .def_readwrite("y1", &Box::y1);
  py::class_<Scribble>(m, "Scribble", "A stroke through these places.")
      .def(py::init([label](const std::vector<std::pair<double, double>>& points, bool object) {
             Scribble s;
             for (const auto& [x, y] : points) s.points.push_back({x, y});
             s.label = label(object);
             return s;
           }),
           "points"_a, "object"_a = true)
      .def_property_readonly("object", [](const Scribble& s) { return s.label == Label::object; });
  py::class_<MaskPrompt>(m, "MaskPrompt", "Roughly this region, at the size of the image.")
      .def(py::init<const Mask&>(), "mask"_a)
      .def(py::init<Rle>(), "rle"_a)
      .def(py::init([](const py::array& mask) { return MaskPrompt(mask_from(mask)); }), "mask"_a);
}

using AnyPrompt = std::variant<Point, Box, Scribble, MaskPrompt>;
ObjectQuery query_of(const std::vector<AnyPrompt>& prompts, const std::optional<Floats>& logits) {
  ObjectQuery query;
  for (const AnyPrompt& p : prompts)
    std::visit([&](const auto& one) { query.prompts.emplace_back(one); }, p);
  if (logits) query.mask_logits.assign(logits->data(), logits->data() + logits->size());
  return query;
}

Multimask multimask_of(const std::optional<bool>& multimask) {
  if (!multimask) return Multimask::automatic;
  return *multimask ? Multimask::readings : Multimask::single;
}

void bind_sam(py::module_& m) {
  py::class_<PredictedMask>(m, "PredictedMask", "One mask of an answer.")
      .def_property_readonly("score", &PredictedMask::score)
      .def_property_readonly("token", &PredictedMask::token)
      .def_property_readonly(
          "logits",
          [](const PredictedMask& k) {
            return array<float>(k.logits(), {k.logits_size().height, k.logits_size().width});
          })
      .def_property_readonly(
          "mask", [](const PredictedMask& k) { return k.mask(); }, py::call_guard<Free>())
      .def_property_readonly("area", &PredictedMask::area, py::call_guard<Free>())
      .def_property_readonly("bbox",
                             [](const PredictedMask& k) {
                               PixelBox box;
                               {
                                 const Free free;
                                 box = k.bounding_box();
                               }
                               return box_tuple(box);
                             })
      .def(
          "rle", [](const PredictedMask& k) { return k.rle(); }, py::call_guard<Free>())
      .def("stability", &PredictedMask::stability, "offset"_a = 1.0f, py::call_guard<Free>())
      .def("numpy",
           [](const PredictedMask& k) {
             {
               const Free free;
               k.mask();
             }
             return mask_array(k.mask());
           })
      .def(
          "__array__",
          [](const PredictedMask& k, const py::object& dtype, const py::object&) -> py::object {
            py::object a = mask_array(k.mask());
            return dtype.is_none() ? a : a.attr("astype")(dtype);
          },
          "dtype"_a = py::none(), "copy"_a = py::none())
      .def("full_logits",
           [](const PredictedMask& k) {
             std::vector<float> values;
             {
               const Free free;
               values = k.full_logits();
             }
             return array<float>(values, {k.mask().height(), k.mask().width()});
           })
      .def("write_png", &PredictedMask::write_png, "path"_a, py::call_guard<Free>());
  py::class_<Masks>(m, "Masks", "The answer about one object: masks by falling score.")
      .def("__len__", &Masks::size)
      .def(
          "__getitem__",
          [](const Masks& k, py::ssize_t i) {
            if (i < 0) i += static_cast<py::ssize_t>(k.size());
            if (i < 0 || i >= static_cast<py::ssize_t>(k.size()))
              throw py::index_error("there is no such mask");
            return k[static_cast<size_t>(i)];
          },
          "index"_a)
      .def("best", [](const Masks& k) { return k.best(); });
  py::class_<Embedding>(m, "Embedding",
                        "An image as the model sees it. Safe to use from several threads.")
      .def_property_readonly("image_size",
                             [](const Embedding& e) { return size_tuple(e.image_size()); })
      .def(
          "segment",
          [](const Embedding& e, const std::variant<AnyPrompt, std::vector<AnyPrompt>>& prompts,
             const std::optional<bool>& multimask, const std::optional<Floats>& logits) {
            const auto* many = std::get_if<std::vector<AnyPrompt>>(&prompts);
            const ObjectQuery query =
                query_of(many ? *many : std::vector{std::get<AnyPrompt>(prompts)}, logits);
            const Free free;
            return e.segment(query, {.multimask = multimask_of(multimask)});
          },
          "prompts"_a, "multimask"_a = py::none(), "mask_logits"_a = py::none())
      .def(
          "segment_batch",
          [](const Embedding& e, const std::vector<std::vector<AnyPrompt>>& objects,
             const std::optional<bool>& multimask) {
            std::vector<ObjectQuery> queries;
            for (const auto& prompts : objects) queries.push_back(query_of(prompts, {}));
            const Free free;
            return e.segment(std::span<const ObjectQuery>(queries),
                             {.multimask = multimask_of(multimask)});
          },
          "objects"_a, "multimask"_a = py::none())
      .def("predict", &predict, "points"_a = py::none(), "labels"_a = py::none(),
           "boxes"_a = py::none(), "masks"_a = py::none(), "multimask"_a = true, "logits"_a = false)
      .def("numpy",
           [](const Embedding& e) {
             return array<float>(e.values(), {1, e.channels(), e.grid().height, e.grid().width});
           })
      .def_property_readonly("model_hash", &Embedding::model_hash, py::call_guard<Free>())
      .def(
          "save",
          [](const Embedding& e, const std::string& path, bool f16) {
            e.save(path, f16 ? DType::f16 : DType::f32);
          },
          "path"_a, "f16"_a = false, py::call_guard<Free>());
  py::class_<Sam>(m, "Sam", "A Segment Anything model. Safe to use from several threads.")
      .def_static("load", &Sam::load, "name_or_path"_a, py::call_guard<Free>())
      .def(
          "encode",
          [](const Sam& sam, const AnyImage& image) {
            const Image pixels = image_of(image);
            const Free free;
            return sam.encode(pixels);
          },
          "image"_a)
      .def(
          "encode_cached",
          [](const Sam& sam, const AnyImage& image, const std::string& folder,
             std::optional<uint64_t> limit, bool f16) {
            const Image pixels = image_of(image);
            const Free free;
            const EmbeddingCache cache(
                {.folder = folder, .limit = limit, .dtype = f16 ? DType::f16 : DType::f32});
            return cache.encode(sam, pixels).embedding;
          },
          "image"_a, "folder"_a = "", "limit"_a = py::none(), "f16"_a = false)
      .def("encode_resized", &encode_resized, "pixels"_a, "original_size"_a)
      .def("load_embedding", &Sam::load_embedding, "path"_a, py::call_guard<Free>())
      .def_property_readonly("variant", &Sam::variant)
      .def_property_readonly("origin", &Sam::origin)
      .def_property_readonly("image_size", &Sam::image_size)
      .def_property_readonly("parameter_count", &Sam::parameter_count)
      .def_property_readonly("model_hash", &Sam::model_hash, py::call_guard<Free>());
}

// Ctrl-C ends a long task between two batches of points, as KeyboardInterrupt.
GeneratorProgress progress_of(const py::object& progress, bool& raised) {
  return [&progress, &raised](int64_t done, int64_t all) {
    const py::gil_scoped_acquire hold;
    if (PyErr_CheckSignals() != 0) {
      raised = true;
      return false;
    }
    if (progress.is_none()) return true;
    try {
      const py::object answer = progress(done, all);
      return answer.is_none() || answer.cast<bool>();
    } catch (py::error_already_set& error) {
      error.restore();
      raised = true;
      return false;
    }
  };
}

template <typename Work>
auto interruptible(const py::object& progress, Work&& work) {
  bool raised = false;
  const GeneratorProgress told = progress_of(progress, raised);
  try {
    const Free free;
    return work(told);
  } catch (const Error&) {
    if (raised) throw py::error_already_set();
    throw;
  }
}

MaskGeneratorOptions generator_options(
    int points_per_side, int points_per_batch, float pred_iou_thresh, double stability_score_thresh,
    float stability_score_offset, float box_nms_thresh, int crop_n_layers, float crop_nms_thresh,
    double crop_overlap_ratio, int crop_n_points_downscale_factor,
    const std::optional<std::vector<Floats>>& point_grids, int64_t min_mask_region_area) {
  MaskGeneratorOptions options{.points_per_side = points_per_side,
                               .points_per_batch = points_per_batch,
                               .pred_iou_thresh = pred_iou_thresh,
                               .stability_score_thresh = stability_score_thresh,
                               .stability_score_offset = stability_score_offset,
                               .box_nms_thresh = box_nms_thresh,
                               .crop_n_layers = crop_n_layers,
                               .crop_nms_thresh = crop_nms_thresh,
                               .crop_overlap_ratio = crop_overlap_ratio,
                               .crop_n_points_downscale_factor = crop_n_points_downscale_factor,
                               .min_mask_region_area = min_mask_region_area};
  if (!point_grids) return options;
  options.points_per_side = 0;
  for (const Floats& grid : *point_grids) {
    if (grid.ndim() != 2 || grid.shape(1) != 2)
      fail(Kind::usage, "point grids are arrays of shape [N,2], one for each layer");
    auto& points = options.point_grids.emplace_back();
    for (py::ssize_t i = 0; i < grid.shape(0); ++i)
      points.push_back({grid.at(i, 0), grid.at(i, 1)});
  }
  return options;
}

void bind_generator(py::module_& m) {
  py::class_<GeneratedMask>(m, "GeneratedMask", "One mask that everything mode found.")
      .def_property_readonly("segmentation", [](const GeneratedMask& g) { return g.segmentation; })
      .def_readonly("area", &GeneratedMask::area)
      .def_property_readonly("bbox", [](const GeneratedMask& g) { return box_tuple(g.bbox); })
      .def_readonly("predicted_iou", &GeneratedMask::predicted_iou)
      .def_property_readonly(
          "point", [](const GeneratedMask& g) { return py::make_tuple(g.point.x, g.point.y); })
      .def_readonly("stability_score", &GeneratedMask::stability_score)
      .def_property_readonly("crop_box",
                             [](const GeneratedMask& g) { return box_tuple(g.crop_box); });
  const MaskGeneratorOptions usual;
  py::class_<MaskGenerator>(m, "MaskGenerator",
                            "Everything mode: masks of all that is to be seen, without prompts.")
      .def(py::init([](const Sam& sam, int points_per_side, int points_per_batch,
                       float pred_iou_thresh, double stability_score_thresh,
                       float stability_score_offset, float box_nms_thresh, int crop_n_layers,
                       float crop_nms_thresh, double crop_overlap_ratio,
                       int crop_n_points_downscale_factor,
                       const std::optional<std::vector<Floats>>& point_grids,
                       int64_t min_mask_region_area) {
             return MaskGenerator(
                 sam, generator_options(points_per_side, points_per_batch, pred_iou_thresh,
                                        stability_score_thresh, stability_score_offset,
                                        box_nms_thresh, crop_n_layers, crop_nms_thresh,
                                        crop_overlap_ratio, crop_n_points_downscale_factor,
                                        point_grids, min_mask_region_area));
           }),
           "sam"_a, "points_per_side"_a = usual.points_per_side,
           "points_per_batch"_a = usual.points_per_batch,
           "pred_iou_thresh"_a = usual.pred_iou_thresh,
           "stability_score_thresh"_a = usual.stability_score_thresh,
           "stability_score_offset"_a = usual.stability_score_offset,
           "box_nms_thresh"_a = usual.box_nms_thresh, "crop_n_layers"_a = usual.crop_n_layers,
           "crop_nms_thresh"_a = usual.crop_nms_thresh,
           "crop_overlap_ratio"_a = usual.crop_overlap_ratio,
           "crop_n_points_downscale_factor"_a = usual.crop_n_points_downscale_factor,
           "point_grids"_a = py::none(), "min_mask_region_area"_a = usual.min_mask_region_area)
      .def(
          "generate",
          [](const MaskGenerator& generator, const AnyImage& image, const py::object& progress) {
            const Image pixels = image_of(image);
            return interruptible(progress, [&](const GeneratorProgress& told) {
              return generator.generate(pixels, told);
            });
          },
          "image"_a, "progress"_a = py::none())
      .def(
          "generate_tiled",
          [](const MaskGenerator& generator, const AnyImage& image, int tile, int overlap,
             const py::object& progress) {
            const Image pixels = image_of(image);
            return interruptible(progress, [&](const GeneratorProgress& told) {
              return generator.generate_tiled(pixels, tile, overlap, told);
            });
          },
          "image"_a, "tile"_a = 2048, "overlap"_a = 512, "progress"_a = py::none());
}

}  // namespace
}  // namespace beckon

PYBIND11_MODULE(_core, m) {
  m.doc() = "Beckon's library; use it as `beckon`.";
  m.attr("__version__") = beckon::version();
  beckon::bind_errors(m);
  beckon::bind_pictures(m);
  beckon::bind_prompts(m);
  beckon::bind_sam(m);
  beckon::bind_generator(m);
}
