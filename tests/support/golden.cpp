#include "support/golden.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <stdexcept>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace beckon::test {

namespace fs = std::filesystem;

struct Golden::Cache {
  std::string text;
  nlohmann::json json;
  std::map<std::string, Arrays> tensors;
};

namespace {

const char* other_root() {
  const char* root = std::getenv("BECKON_GOLDENS");
  return root && *root ? root : nullptr;
}

void report_missing(const std::string& what) {
  if (other_root()) {
    std::cout << "[     NOTE ] no " << what << " in " << golden_root().string()
              << "; nothing compared\n";
  } else {
    ADD_FAILURE() << "no " << what << " in " << golden_root();
  }
}

}  // namespace

bool is_quick() {
  const char* quick = std::getenv("BECKON_QUICK");
  return quick && std::string(quick) == "1";
}

fs::path golden_root() {
  if (const char* root = other_root()) return root;
  return fs::path(BECKON_SOURCE_DIR) / "tests" / "goldens";
}

std::vector<Golden> goldens(const std::string& model) {
  std::vector<Golden> cases;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(golden_root() / model, ignored)) {
    const fs::path config = entry.path() / "case.json";
    if (!fs::exists(config)) continue;
    std::ifstream file(config, std::ios::binary);
    auto cache = std::make_shared<Golden::Cache>();
    cache->text.assign(std::istreambuf_iterator<char>(file), {});
    try {
      cache->json = nlohmann::json::parse(cache->text);
    } catch (const std::exception& error) {
      ADD_FAILURE() << config << ": " << error.what();
      continue;
    }
    cases.push_back({model, entry.path().filename().string(), entry.path(), std::move(cache)});
  }
  std::sort(cases.begin(), cases.end(),
            [](const Golden& a, const Golden& b) { return a.name < b.name; });
  if (cases.empty()) report_missing("golden case of '" + model + "'");
  return cases;
}

std::optional<fs::path> golden_file(const std::string& model, const std::string& file) {
  const fs::path path = golden_root() / model / file;
  if (fs::exists(path)) return path;
  report_missing("golden file " + model + "/" + file);
  return std::nullopt;
}

const nlohmann::json& Golden::json() const { return cache->json; }

std::string Golden::config_text() const { return cache->text; }

const Arrays& Golden::tensors(const std::string& file) const {
  auto found = cache->tensors.find(file);
  if (found == cache->tensors.end())
    found = cache->tensors.emplace(file, read_safetensors(folder / (file + ".safetensors"))).first;
  return found->second;
}

bool Golden::is_own() const { return !other_root(); }

bool Golden::has_file(const std::string& file) const { return fs::exists(folder / file); }

double Golden::tolerance(const std::string& array, std::optional<double> otherwise) const {
  const auto entry = json().find("tolerance");
  if (entry != json().end() && entry->is_number()) return entry->get<double>();
  if (entry != json().end() && entry->is_object()) {
    std::vector<std::string> keys{array};
    for (size_t dot = array.find('.'); dot != std::string::npos; dot = array.find('.', dot + 1))
      keys.push_back(array.substr(dot + 1));
    for (size_t dot = array.rfind('.'); dot != std::string::npos && dot > 0;
         dot = array.rfind('.', dot - 1))
      keys.push_back(array.substr(0, dot));
    keys.push_back("default");
    for (const std::string& key : keys)
      if (auto found = entry->find(key); found != entry->end() && found->is_number())
        return found->get<double>();
  }
  if (otherwise) return *otherwise;
  throw std::runtime_error(
      fmt::format("{}/{}: case.json has no tolerance for '{}'", model, name, array));
}

}  // namespace beckon::test
