#include "compose/annotate/run.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <filesystem>
#include <set>
#include <thread>

#include "base/fail.h"
#include "base/files.h"
#include "base/sha256.h"
#include "base/threads.h"
#include "compose/annotate/products.h"

namespace beckon::compose {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kMostJobs = 256;

// Without a slash at its end, so that paths can be put behind it.
std::string checked_folder(std::string folder) {
  std::error_code error;
  const fs::file_status status = fs::status(folder, error);
  if (error || !fs::exists(status))
    fail(Kind::missing, "{}: cannot open: {}", folder,
         error ? error.message() : "No such file or directory");
  if (!fs::is_directory(status)) fail(Kind::missing, "{}: is a file, expected a folder", folder);
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  return folder;
}

std::string checked_out(const std::string& folder, std::string out) {
  if (out.empty()) fail(Kind::usage, "no folder for the results");
  std::error_code ignored;
  if (fs::equivalent(folder, out, ignored))
    fail(Kind::usage, "{}: the results need another folder than the pictures", out);
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  return out;
}

void check(Shard shard) { parse_shard(fmt::format("{}/{}", shard.index, shard.count)); }

// Whether the picture is to blame, so that the others can go on.
bool is_of_the_picture(Kind kind) {
  switch (kind) {
    case Kind::usage:  // a mask prompt of another size
    case Kind::input:
    case Kind::missing:
    case Kind::unsupported:
    case Kind::resource:
      return true;
    default:
      return false;
  }
}

// Messages are part of the manifest: they must not tell where the folder lies.
std::string relative_message(std::string message, const std::string& folder,
                             const std::string& path) {
  const std::string full = folder + "/" + path;
  if (message.starts_with(full)) message = path + message.substr(full.size());
  return message.starts_with(path) ? message : path + ": " + message;
}

// The pool serves one picture at a time, the others have the thread they run on: so much for the
// pool that all processors have work and none has two.
class SharedThreads {
 public:
  explicit SharedThreads(int jobs) : before_(threads()) {
    if (jobs > 1) set_threads(std::max(1, before_ - jobs + 1));
  }
  ~SharedThreads() { set_threads(before_); }
  SharedThreads(const SharedThreads&) = delete;
  SharedThreads& operator=(const SharedThreads&) = delete;

 private:
  int before_;
};

}  // namespace

Run::Run(const std::string& folder, const std::string& out, const AnnotateOptions& options)
    : folder_(checked_folder(folder)),
      options_(options),
      annotator_(make_annotator(options)),
      out_(checked_out(folder_, out), options.around_write),
      recipe_(annotator_->recipe()),
      log_(options.log_file) {
  if (options.jobs < 1 || options.jobs > kMostJobs)
    fail(Kind::usage, "{} pictures in flight, expected 1 to {}", options.jobs, kMostJobs);
  check(options.shard);
  check_formats(options.formats);
  settle_recipe();
  lock_.emplace(out_.lock(shard_name(options.shard)));
}

void Run::settle_recipe() const {
  const std::string text = recipe_text(recipe_);
  const std::string name = out_.full(kRecipeFile);
  std::optional<std::string> there = out_.read(kRecipeFile);
  if (!there) {
    // Of several that begin at once, one writes it and the others compare.
    if (out_.write_new(kRecipeFile, text)) return;
    there = out_.read(kRecipeFile);
  }
  if (there == text) return;
  if (options_.replace) {
    out_.remove(kManifestFile);
    out_.write(kRecipeFile, text);
    return;
  }
  if (!there) fail(Kind::output, "{}: is not a file", name);
  const Recipe other = read_recipe(*there, name);
  std::string differs;
  for (const auto& [key, value] : recipe_.items()) {
    if (other.value(key, Recipe()) != value) differs += (differs.empty() ? "" : ", ") + key;
  }
  fail(Kind::usage,
       "{}: holds results of another recipe (other: {}); take another folder, or --replace to make "
       "them anew",
       out_.root(), differs.empty() ? "keys" : differs);
}

PictureList Run::inputs() {
  PictureList list = list_pictures(folder_, out_.root());
  report_.links_outside = list.links_outside;
  const auto unwanted = [&](const Input& input) {
    return input.problem.empty() && !annotator_->wants(input.path);
  };
  report_.without_prompts = std::count_if(list.inputs.begin(), list.inputs.end(), unwanted);
  std::erase_if(list.inputs, unwanted);
  if (!options_.watch) {  // where it may still come
    std::set<std::string> there;
    for (const Input& input : list.inputs) there.insert(input.path);
    for (const std::string& name : annotator_->expected()) {
      if (there.count(name) == 0)
        list.inputs.push_back({name, "has prompts, but there is no such picture"});
    }
  }
  // Two that would share a result: only a name made for it can do that.
  std::sort(list.inputs.begin(), list.inputs.end(),
            [](const Input& a, const Input& b) { return a.path < b.path; });
  std::set<std::string> taken;
  for (Input& input : list.inputs) {
    if (!taken.insert(result_path(input.path)).second && input.problem.empty())
      input = {input.path, "its result would have the name of another's", Kind::unsupported};
  }
  return list;
}

bool Run::mine(const std::string& path) const {
  return options_.shard.count == 1 || shard_of(path, options_.shard.count) == options_.shard.index;
}

void Run::work_on(const std::vector<Input>& inputs) {
  const auto total = static_cast<int64_t>(inputs.size());
  // One picture on all processors is as quick as several at once, and a kill costs no more than
  // one.
  const int jobs =
      static_cast<int>(std::clamp<int64_t>(options_.jobs, 1, std::max<int64_t>(1, total)));
  const SharedThreads shared(jobs);
  finished_ = 0;
  std::atomic<size_t> next{0};
  std::atomic<bool> stop{false};
  std::exception_ptr failure;
  std::condition_variable changed;
  int working = jobs;

  const auto work = [&] {
    for (size_t i; !stop && (i = next++) < inputs.size();) {
      try {
        Done done = do_one(inputs[i]);
        const std::lock_guard hold(mutex_);
        if (done.kept)
          ++report_.kept;
        else if (!done.entry.failed())
          ++report_.made;
        if (done.remade) ++report_.remade;
        entries_[done.entry.path] = std::move(done.entry);
        ++finished_;
      } catch (...) {
        const std::lock_guard hold(mutex_);
        if (!failure) failure = std::current_exception();
        stop = true;
      }
    }
    const std::lock_guard hold(mutex_);
    --working;
    changed.notify_all();
  };
  std::vector<std::thread> workers;
  for (int i = 0; i < jobs; ++i) workers.emplace_back(work);

  std::unique_lock hold(mutex_);
  while (!changed.wait_for(hold, std::chrono::milliseconds(100), [&] { return working == 0; })) {
    try {
      report_progress(total);
    } catch (...) {
      if (!failure) failure = std::current_exception();
      stop = true;
    }
  }
  hold.unlock();
  for (std::thread& worker : workers) worker.join();
  if (failure) std::rethrow_exception(failure);
}

void Run::report_progress(int64_t total) const {
  if (options_.progress && !options_.progress({finished_, total, report_.made}))
    fail(Kind::interrupted, "stopped on request");
}

Run::Done Run::do_one(const Input& input) {
  std::string input_sha256;
  bool loading = false;  // a broken model is not the picture's fault
  try {
    if (!input.problem.empty()) fail(input.kind, "{}", input.problem);
    const std::vector<uint8_t> bytes = read_file(folder_ + "/" + input.path);
    input_sha256 = sha256_hex(std::as_bytes(std::span(bytes)));
    const Recipe own = {{"shared", recipe_}, {"picture", annotator_->recipe_of(input.path)}};
    const Proof proof = {input_sha256, hash_of(own.dump())};

    const std::string result_file = result_path(input.path);
    const std::optional<std::string> there = out_.read(result_file);
    if (there) {
      const std::optional<ResultHead> head = read_head(*there);
      if (head && head->proof == proof) {
        Done done{{input.path, proof, head->size, head->objects, hash_of(*there)}};
        done.kept = true;
        return done;
      }
    }
    loading = true;
    annotator_->load();
    loading = false;
    log_.add("begin", input.path);
    const Clock::time_point start = Clock::now();
    const Image image = Image::decode(bytes, input.path, {.max_pixels = options_.max_pixels});
    const std::vector<Found> found = annotator_->annotate(image, input.path);
    const std::string text = result_text(input.path, image.size(), found, proof, own);
    unsettle();
    out_.write(result_file, text);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    log_.add("done", input.path, {{"objects", found.size()}, {"seconds", seconds}});
    Done done{{input.path, proof, image.size(), static_cast<int64_t>(found.size()), hash_of(text)}};
    done.remade = there.has_value();
    return done;
  } catch (const Error& error) {
    if (loading || !is_of_the_picture(error.kind())) throw;
    return failed(input.path, input_sha256, error);
  } catch (const std::bad_alloc&) {
    fail(Kind::temporary, "{}: not enough memory for it", input.path);
  }
}

Run::Done Run::failed(const std::string& path, const std::string& input_sha256,
                      const Error& error) {
  Done done;
  done.entry.path = path;
  done.entry.proof.input_sha256 = input_sha256;
  done.entry.kind = error.kind();
  done.entry.message = relative_message(error.what(), folder_, path);
  log_.add("failed", path, {{"message", done.entry.message}});
  // What it once was is not what it is.
  if (out_.read(result_path(path))) {
    unsettle();
    out_.remove(result_path(path));
  }
  return done;
}

// Results are about to change: the manifest of the whole would not be true any more.
void Run::unsettle() {
  const std::lock_guard hold(settled_mutex_);
  if (settled_) out_.remove(kManifestFile);
  settled_ = false;
}

std::string Run::write_listing(const PictureList& all) const {
  Listing listing;
  listing.shards = options_.shard.count;
  for (const Input& input : all.inputs) listing.paths.push_back(input.path);
  const std::string text = listing_text(listing);
  if (out_.read(kListingFile) != text) out_.write(kListingFile, text);
  return hash_of(text);
}

void Run::write_manifests(const PictureList& all) {
  Manifest manifest;
  manifest.listing_sha256 = write_listing(all);
  manifest.recipe = recipe_;
  manifest.shard = options_.shard;
  manifest.prompts_sha256 = annotator_->prompts_hash();
  manifest.formats = options_.formats;
  for (const auto& [path, entry] : entries_) manifest.pictures.push_back(entry);
  const std::string name = shard_manifest_file(options_.shard);
  out_.write(name, manifest_text(manifest));
  report_.manifest = out_.full(name);
  if (options_.shard.count != 1) return;
  const AnnotateReport whole = merge(out_, options_);
  report_.notes = whole.notes;
  report_.manifest = whole.manifest;
  report_.orphans = whole.orphans;
  settled_ = true;
}

AnnotateReport Run::report() const {
  AnnotateReport report = report_;
  report.pictures = static_cast<int64_t>(entries_.size());
  for (const auto& [path, entry] : entries_) {
    if (entry.failed()) report.failures.push_back({path, entry.kind, entry.message});
  }
  return report;
}

}  // namespace beckon::compose
