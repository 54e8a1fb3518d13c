// Masks as PNG files. "png": a folder an image with 000.png, 001.png, ... and metadata.csv, as
// Segment Anything's own script writes them, with columns for labels and names at the end.
// "png-labels": a file an image whose pixels are the numbers of objects, and labels.csv.
#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "annotation/format.h"
#include "base/fail.h"
#include "base/files.h"

namespace beckon::annotation {
namespace {

std::string quoted(const std::string& text) {
  std::string field = "\"";
  for (char c : text) field += c == '"' ? std::string("\"\"") : std::string(1, c);
  return field + "\"";
}

// Rows of fields as RFC 4180 has them.
std::vector<std::vector<std::string>> csv_rows(const std::string& text) {
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> row;
  std::string field;
  bool inside = false, any = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (inside) {
      if (c != '"') {
        field += c;
      } else if (i + 1 < text.size() && text[i + 1] == '"') {
        field += '"', ++i;
      } else {
        inside = false;
      }
    } else if (c == '"') {
      inside = any = true;
    } else if (c == ',') {
      row.push_back(std::move(field));
      field.clear();
      any = true;
    } else if (c == '\n') {
      if (any || !field.empty()) {
        row.push_back(std::move(field));
        rows.push_back(std::move(row));
      }
      field.clear(), row.clear(), any = false;
    } else if (c != '\r') {
      field += c;
    }
  }
  if (any || !field.empty()) {
    row.push_back(std::move(field));
    rows.push_back(std::move(row));
  }
  return rows;
}

// A table by the names in its first row.
struct Table {
  std::vector<std::vector<std::string>> rows;
  std::map<std::string, size_t> columns;
  explicit Table(const std::string& path) : rows(csv_rows(read_text(path, 256 << 20))) {
    if (rows.empty()) return;
    for (size_t i = 0; i < rows[0].size(); ++i) columns[rows[0][i]] = i;
    rows.erase(rows.begin());
  }
  std::string at(size_t row, const char* column) const {
    const auto found = columns.find(column);
    return found == columns.end() || found->second >= rows[row].size() ? ""
                                                                       : rows[row][found->second];
  }
  std::optional<double> number(size_t row, const char* column, const std::string& place) const {
    const std::string text = at(row, column);
    return text.empty() ? std::nullopt : std::optional(parse_number(text, place));
  }
};

void set_size(AnnotatedImage& image, ImageSize size, const std::string& place) {
  if (image.width == 0) image.width = size.width, image.height = size.height;
  if (image.size() != size)
    fail(Kind::input, "{}: {}x{}, expected {}x{} as the masks before", place, size.width,
         size.height, image.width, image.height);
}

constexpr const char* kColumns =
    "id,area,bbox_x0,bbox_y0,bbox_w,bbox_h,point_input_x,point_input_y,predicted_iou,"
    "stability_score,crop_box_x0,crop_box_y0,crop_box_w,crop_box_h,score,label\n";

}  // namespace

Dataset read_png(const Reading& reading) {
  Dataset data;
  if (!is_folder(reading.path))
    fail(Kind::input, "{}: masks of an object each are read from a folder", reading.path);
  std::map<std::string, std::vector<std::string>> folders;
  for (const std::string& file : files_in(reading.path, ".png"))
    folders[std::filesystem::path(file).parent_path().string()].push_back(file);
  for (const std::string& file : files_in(reading.path, "metadata.csv"))
    folders[std::filesystem::path(file).parent_path().string()];
  const std::string list = reading.path + "/images.csv";
  std::map<std::string, std::pair<std::string, ImageSize>> names;
  if (is_file(list)) {
    const Table table(list);
    for (size_t i = 0; i < table.rows.size(); ++i) {
      const auto side = [&](const char* key) {
        return static_cast<int>(
            std::clamp(table.number(i, key, list).value_or(0), 0.0, double{kLongestSide}));
      };
      names[table.at(i, "folder")] = {table.at(i, "file_name"), {side("width"), side("height")}};
    }
  }
  for (const auto& [folder, files] : folders) {
    AnnotatedImage image;
    const std::string below =
        std::filesystem::path(folder).lexically_relative(reading.path).string();
    image.file = below == "." ? base_name(folder) : below;
    if (const auto known = names.find(below); known != names.end()) {
      image.file = known->second.first;
      image.width = known->second.second.width, image.height = known->second.second.height;
    }
    const size_t index = data.images.size();
    data.images.push_back(image);
    std::map<std::string, size_t> rows;
    std::optional<Table> table;
    if (const std::string path = folder + "/metadata.csv"; is_file(path)) {
      table.emplace(path);
      for (size_t i = 0; i < table->rows.size(); ++i) rows[table->at(i, "id")] = i;
    }
    // 2.png comes before 10.png.
    std::vector<std::string> sorted = files;
    std::stable_sort(sorted.begin(), sorted.end(), [](const std::string& a, const std::string& b) {
      const auto digits = [](const std::string& path) {
        const std::string stem = base_name(without_ending(path));
        return stem.find_first_not_of("0123456789") == stem.npos && stem.size() < 10
                   ? std::stol("0" + stem)
                   : -1L;
      };
      return digits(a) < digits(b);
    });
    for (const std::string& file : sorted) {
      ReadOptions options;
      options.max_pixels = reading.options.max_pixels;
      const Mask mask = Mask::read(file, options);
      set_size(data.images[index], mask.size(), file);
      Annotation one;
      one.image = index;
      one.shape = mask.rle();
      const std::string stem = base_name(without_ending(file));
      auto row = rows.find(stem);
      if (row == rows.end()) {
        const size_t digit = std::min(stem.find_first_not_of('0'), stem.size() - 1);
        row = rows.find(stem.substr(digit));
      }
      if (row != rows.end()) {
        const size_t r = row->second;
        const auto number = [&, place = folder + "/metadata.csv"](const char* key) {
          return table->number(r, key, place);
        };
        one.predicted_iou = number("predicted_iou");
        one.stability = number("stability_score");
        one.score = number("score");
        if (const auto x = number("point_input_x"), y = number("point_input_y"); x && y)
          one.points.push_back({*x, *y});
        const auto x = number("crop_box_x0"), y = number("crop_box_y0"), w = number("crop_box_w"),
                   h = number("crop_box_h");
        if (x && y && w && h) one.crop = BoxShape{*x, *y, *w, *h};
        const std::string label = table->at(r, "label");
        if (!label.empty()) one.category = data.category(label);
      }
      data.annotations.push_back(std::move(one));
    }
  }
  return data;
}

void write_png(const Dataset& data, Writing& writing) {
  std::vector<std::vector<const Annotation*>> of_image(data.images.size());
  for (const Annotation& one : data.annotations) of_image[one.image].push_back(&one);
  std::string list = "folder,file_name,width,height\n";
  for (size_t i = 0; i < data.images.size(); ++i) {
    const AnnotatedImage& image = data.images[i];
    const ImageSize size = size_of(image, "png");
    const std::string folder = writing.output.place("", image.file, "");
    list +=
        fmt::format("{},{},{},{}\n", quoted(folder), quoted(image.file), size.width, size.height);
    std::string rows = kColumns;
    int number = 0;
    for (const Annotation* one : of_image[i]) {
      const auto rle = mask_of(*one, size, writing.options.max_pixels);
      if (!rle) {
        writing.notices.add("png has no place for a label without a shape", image.file);
        continue;
      }
      const PixelBox box = rle->bounding_box();
      const auto text = [](const std::optional<double>& v) { return v ? text_of_number(*v) : ""; };
      std::string point = ",", crop = ",,,";
      if (!one->points.empty())
        point = text_of_number(one->points[0].x) + "," + text_of_number(one->points[0].y);
      if (one->points.size() > 1)
        writing.notices.add("png keeps the first of several points that were asked about",
                            image.file);
      if (one->crop)
        crop =
            fmt::format("{},{},{},{}", text_of_number(one->crop->x), text_of_number(one->crop->y),
                        text_of_number(one->crop->width), text_of_number(one->crop->height));
      rows +=
          fmt::format("{},{},{},{},{},{},{},{},{},{},{},{}\n", number, rle->area(), box.x, box.y,
                      box.width, box.height, point, text(one->predicted_iou), text(one->stability),
                      crop, text(one->score), quoted(label_of(data, *one)));
      const auto bytes = Mask::from_rle(*rle, writing.options.max_pixels).image().encode_png();
      writing.output.add(fmt::format("{}/{}.png", folder, number++), {bytes.begin(), bytes.end()});
    }
    writing.output.add(folder + "/metadata.csv", rows);
  }
  writing.output.add("images.csv", list);
}

Dataset read_png_labels(const Reading& reading) {
  Dataset data;
  const std::string root = is_folder(reading.path) ? reading.path : std::string();
  std::map<std::string, std::vector<std::pair<int, std::string>>> labels;
  std::map<std::string, std::string> names;
  if (!root.empty() && is_file(root + "/labels.csv")) {
    const Table table(root + "/labels.csv");
    for (size_t i = 0; i < table.rows.size(); ++i) {
      const auto value = table.number(i, "value", root + "/labels.csv").value_or(0);
      names[table.at(i, "file")] = table.at(i, "image");
      labels[table.at(i, "file")].emplace_back(static_cast<int>(std::clamp(value, 0.0, 255.0)),
                                               table.at(i, "label"));
    }
  }
  for (const std::string& file : files_in(reading.path, ".png")) {
    const IndexedPicture picture =
        read_indexed_png(read_file(file), file, reading.options.max_pixels);
    const std::string below =
        root.empty() ? base_name(file) : file.substr(root.size() + (root.ends_with("/") ? 0 : 1));
    AnnotatedImage image;
    image.file = names.count(below) ? names[below] : below;
    image.width = picture.size.width, image.height = picture.size.height;
    const size_t index = data.images.size();
    data.images.push_back(image);
    std::vector<Mask> masks(256);
    for (size_t i = 0; i < picture.values.size(); ++i) {
      const int value = picture.values[i];
      if (value == 0) continue;
      Mask& mask = masks[static_cast<size_t>(value)];
      if (mask.empty()) mask = Mask(picture.size);
      const auto width = static_cast<size_t>(picture.size.width);
      mask.set(static_cast<int>(i % width), static_cast<int>(i / width), true);
    }
    for (int value = 1; value < 256; ++value) {
      if (masks[static_cast<size_t>(value)].empty()) continue;
      Annotation one;
      one.image = index;
      one.shape = masks[static_cast<size_t>(value)].rle();
      for (const auto& [number, label] : labels[below])
        if (number == value && !label.empty()) one.category = data.category(label);
      data.annotations.push_back(std::move(one));
    }
  }
  return data;
}

void write_png_labels(const Dataset& data, Writing& writing) {
  std::string list = "file,image,value,label\n";
  std::vector<std::vector<const Annotation*>> of_image(data.images.size());
  for (const Annotation& one : data.annotations) of_image[one.image].push_back(&one);
  for (size_t i = 0; i < data.images.size(); ++i) {
    const AnnotatedImage& image = data.images[i];
    const ImageSize size = size_of(image, "png-labels");
    const std::string file = writing.output.place("", image.file, ".png");
    std::vector<uint8_t> values(static_cast<size_t>(size.width) * static_cast<size_t>(size.height));
    int number = 0;
    list += fmt::format("{},{},0,\n", quoted(file), quoted(image.file));
    for (const Annotation* one : of_image[i]) {
      const auto rle = mask_of(*one, size, writing.options.max_pixels);
      if (!rle) {
        writing.notices.add("png-labels has no place for a label without a shape", image.file);
        continue;
      }
      if (rle->area() == 0) writing.notices.add("png-labels cannot carry empty masks", image.file);
      if (++number > 255) {
        writing.notices.add(
            "png-labels has numbers for 255 objects of a picture: the rest is left out",
            image.file);
        continue;
      }
      const Mask mask = Mask::from_rle(*rle, writing.options.max_pixels);
      bool overlaps = false;
      for (size_t p = 0; p < values.size(); ++p) {
        if (mask.values()[p] == 0) continue;
        overlaps |= values[p] != 0;
        values[p] = static_cast<uint8_t>(number);
      }
      if (overlaps)
        writing.notices.add("png-labels cannot carry masks that overlap: the later one is on top",
                            image.file);
      list += fmt::format("{},{},{},{}\n", quoted(file), quoted(image.file), number,
                          quoted(label_of(data, *one)));
    }
    writing.output.add(file, indexed_png(size, values));
  }
  writing.output.add("labels.csv", list);
}

}  // namespace beckon::annotation
