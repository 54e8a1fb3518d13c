// The annotations as a file that other tools read.
#include <algorithm>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>

#include "app.h"
#include "beckon/annotation.h"
#include "encoding.h"
#include "fields.h"
#include "store_dataset.h"

namespace beckon::server {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostExports = 8;  // that are kept
constexpr size_t kMostImages = 100'000;

// The folder of exports, without those that were made longest ago.
fs::path exports_folder(const App& app) {
  const fs::path folder = fs::path(app.options.folder) / ".beckon" / "exports";
  std::error_code error;
  fs::create_directories(folder, error);
  if (error)
    throw HttpError(507, "output", fmt::format("the export's folder: {}", error.message()));
  std::vector<std::pair<fs::file_time_type, fs::path>> files;
  for (const auto& entry : fs::directory_iterator(folder, error))
    files.emplace_back(fs::last_write_time(entry.path(), error), entry.path());
  std::sort(files.begin(), files.end());
  for (size_t i = 0; i + kMostExports <= files.size(); ++i) fs::remove(files[i].second, error);
  return folder;
}

std::string make_export(App& app, const Job& job, const std::string& format, bool polygons,
                        const std::optional<std::vector<std::string>>& photos) {
  const AnnotationStore* store = app.store(false);
  if (store == nullptr) throw HttpError(409, "nothing", "there are no annotations yet");
  const Dataset data = dataset_of(*store, photos);
  const std::string name = job.id() + "." + format;
  const fs::path path = exports_folder(app) / name;
  FormatNotices notices;
  WriteAnnotationsOptions options;
  options.polygons = polygons;
  options.accept = [&](int64_t, int64_t) { return !job.cancelled(); };
  write_annotations(data, path.string(), format, options, &notices);
  Json notes = Json::array();
  for (const auto& notice : notices.list()) notes.push_back(notice.text());
  return dumped({{"url", "/v1/exports/" + name},
                 {"images", data.images.size()},
                 {"annotations", data.annotations.size()},
                 {"notes", std::move(notes)}});
}

Response start_export(App& app, const Request& request) {
  const Json body = json_of(request);
  const Fields fields(body, "");
  fields.only({"format", "images", "polygons"});
  std::string names;
  const AnnotationFormat* chosen = nullptr;
  const std::string wanted = fields.text("format", 40).value_or("coco");
  for (const AnnotationFormat& format : annotation_formats()) {
    if (format.folder) continue;
    names += (names.empty() ? "" : ", ") + std::string(format.name);
    if (wanted == format.name) chosen = &format;
  }
  if (chosen == nullptr)
    out_of_range(
        fmt::format("format: expected {} (formats that are folders: beckon annotations "
                    "export)",
                    names));
  std::optional<std::vector<std::string>> photos;
  if (const Json* list = fields.list("images", kMostImages)) {
    photos.emplace();
    for (const Json& id : *list) {
      if (!id.is_string()) out_of_range("images: expected ids");
      photos->push_back(app.photo(id.get<std::string>()).id);
    }
  }
  const bool polygons = fields.boolean("polygons").value_or(false);
  auto job = app.jobs.create("export");
  const bool taken = app.slow.post(
      [&app, job, format = std::string(chosen->name), polygons, photos = std::move(photos)] {
        if (job->cancelled()) return;
        job->progress(0, 1);
        try {
          job->finish(make_export(app, *job, format, polygons, photos));
        } catch (...) {
          job->fail(failure_of(std::current_exception()));
        }
      });
  if (!taken) {
    job->cancel();
    too_many("too many exports wait");
  }
  return accepted(*job);
}

// Names are those that make_export gave: hexadecimal digits and a format.
Response get_export(const App& app, const std::string& name) {
  const bool plain =
      name.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz-.") == std::string::npos &&
      name.find('.') == 32;
  const fs::path path = fs::path(app.options.folder) / ".beckon" / "exports";
  OpenFile file;
  if (plain && fs::is_directory(path)) file = SafeFolder(path.string()).open(name);
  if (!file) throw HttpError(404, "no-export", "there is no such export, or it was made long ago");
  Response response;
  const std::string format = name.substr(33);
  const bool xml = format == "cvat" || format == "svg";
  response.headers = {{"Content-Type", xml ? "application/xml" : "application/json"},
                      {"Content-Disposition",
                       disposition("annotations-" + format + (xml ? ".xml" : ".json"), true)},
                      {"Cache-Control", "private, no-store"},
                      {"X-Content-Type-Options", "nosniff"},
                      {"Content-Security-Policy", "default-src 'none'; sandbox"}};
  const uint64_t size = file.state().bytes;
  response.file = std::make_shared<FileBody>(file.release(), size);
  return response;
}

}  // namespace

void add_export_routes(App& app) {
  app.router.add({"POST", "/v1/exports", BodyKind::json, kMostJson,
                  [&app](Request&& request, const auto&, const Responder& answer) {
                    answer(start_export(app, request));
                  }});
  app.router.add({"GET", "/v1/exports/{export}", BodyKind::none, 0,
                  [&app](Request&&, const auto& parts, const Responder& answer) {
                    app.on_files(answer, [&app, name = parts[0]] { return get_export(app, name); });
                  }});
}

}  // namespace beckon::server
