// beckon doctor: what this machine offers and what Beckon makes of it.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/threads.h"
#include "beckon/error.h"
#include "beckon/store.h"
#include "beckon/version.h"
#include "json.h"
#include "kernels/target.h"
#include "program.h"
#include "store_progress.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

// What follows "key   :" in the first such line of /proc/cpuinfo; empty where there is none.
std::string cpuinfo(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (colon != std::string::npos && line.starts_with(key)) return line.substr(colon + 2);
  }
  return "";
}

// The features that kernels use or could use, of all those a CPU has.
std::vector<std::string> cpu_features() {
  const std::string flags = cpuinfo("flags") + " " + cpuinfo("Features");
  std::vector<std::string> found;
  std::istringstream words(flags);
  for (std::string word; words >> word;) {
    static const std::vector<std::string> known = {
        "sse4_1",   "sse4_2",   "avx",      "avx2",     "fma",         "f16c",
        "avx512f",  "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16",
        "amx_tile", "asimd",    "sve",      "sve2"};
    if (std::find(known.begin(), known.end(), word) != known.end()) found.push_back(word);
  }
  return found;
}

// The files of the store are hashed again: that they were whole once is not what a doctor says.
Json examine_models() {
  const Store store;
  Json report = {{"folder", store.folder()}, {"present", Json::array()}};
  for (const ModelSummary& model : store.list()) {
    if (model.state != ModelState::present && model.state != ModelState::damaged) continue;
    Json entry = {{"name", model.name}, {"path", model.path}, {"origin", model.origin}};
    try {
      std::string broken;
      if (model.origin == "store")
        for (const ModelFile& file : store.verify(model.name, talk_about(model.name)))
          if (!file.ok && broken.empty()) broken = file.path;
      entry["state"] = name_of(broken.empty() ? ModelState::present : ModelState::damaged);
      if (broken.empty())
        entry["sha256"] = store.sha256(model.name);
      else
        entry["problem"] = fmt::format(
            "{} is not the file that was published; get it again with: beckon models pull {}",
            broken, model.name);
    } catch (const Error& error) {
      if (error.kind() == Kind::interrupted) throw;
      entry["state"] = name_of(ModelState::damaged);
      entry["problem"] = error.what();  // what a doctor is there to find
    }
    report["present"].push_back(entry);
  }
  return report;
}

Json examine() {
  utsname system = {};
  ::uname(&system);
  Json report;
  report["version"] = version();
  report["system"] = fmt::format("{} {} {}", system.sysname, system.release, system.machine);
  const std::string cpu = cpuinfo("model name");
  report["cpu"] = {{"model", cpu.empty() ? system.machine : cpu},
                   {"features", cpu_features()},
                   {"l2_bytes", kernels::l2_bytes()}};
  report["kernels"] = kernels::target_name();
  report["threads"] = threads();
  report["memory_bytes"] =
      static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  report["models"] = examine_models();
  return report;
}

std::string readable_doctor(const Json& report) {
  std::string out;
  const auto line = [&out](const char* label, const std::string& text) {
    out += fmt::format("{:<10} {}\n", label, text);
  };
  line("version", report["version"]);
  line("system", report["system"]);
  line("cpu", report["cpu"]["model"]);
  line(
      "features",
      fmt::format("{}", fmt::join(report["cpu"]["features"].get<std::vector<std::string>>(), " ")));
  line("l2 cache", fmt::format("{} KiB a core", report["cpu"]["l2_bytes"].get<int64_t>() / 1024));
  line("kernels", report["kernels"]);
  line("threads", fmt::format("{}", report["threads"].get<int>()));
  line("memory", human_bytes(report["memory_bytes"].get<uint64_t>()));
  line("models", report["models"]["folder"]);
  for (const Json& model : report["models"]["present"]) {
    const bool well = model.contains("sha256");
    line("", fmt::format("{}  {}", model["name"].get<std::string>(),
                         well ? "sha256 " + model["sha256"].get<std::string>()
                              : "DAMAGED: " + model["problem"].get<std::string>()));
  }
  if (report["models"]["present"].empty())
    line("", "none is here yet; get the first with: beckon models pull mobile-sam");
  return out;
}

}  // namespace

void add_doctor(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("doctor", "Show what this machine offers and what Beckon uses of it");
  command->footer("beckon doctor\nbeckon doctor --json");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "Print one JSON object");
  command->callback([json] {
    const Json report = examine();
    print(*json ? text_of(report) : readable_doctor(report));
  });
}

}  // namespace beckon::cli
