// Names of pictures as names of results and as JSON text.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace beckon::compose {

using Json = nlohmann::ordered_json;
// Keys are sorted: equal recipes are equal texts.
using Recipe = nlohmann::json;

// Where the result of a picture lies, relative to OUT: "results/sub/a.jpg.json". No two pictures
// share one, and none is a folder of another: names of folders that end in .json, and tildes, get a
// tilde more. A name that would be too long for a file system keeps its beginning and gets a hash.
std::string result_path(const std::string& picture);

bool is_utf8(const std::string& text);

// Adds {"path": "sub/a.jpg"}. A path that is not UTF-8, as file systems allow, is percent-encoded:
// {"path_percent": "caf%E9.jpg"}.
void put_path(Json& object, const std::string& path);
// The path of such an object; Error(input) that begins with `place` if there is none or it is no
// relative path inside a folder.
std::string path_of(const nlohmann::json& object, const std::string& place);

}  // namespace beckon::compose
