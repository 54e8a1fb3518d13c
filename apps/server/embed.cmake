# cmake -DFOLDER=... -DOPENAPI=... -DOUTPUT=... -P embed.cmake: the files of a folder, and one more, as C++ arrays.
file(GLOB_RECURSE files RELATIVE ${FOLDER} ${FOLDER}/*)
list(SORT files)
set(arrays "")
set(table "")
set(number 0)
foreach(file ${files})
  file(READ ${FOLDER}/${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "\\\\x\\1" bytes "${hex}")
  string(LENGTH "${hex}" length)
  math(EXPR length "${length} / 2")
  string(APPEND arrays "const char kFile${number}[] = \"${bytes}\";\n")
  string(APPEND table "    {\"${file}\", {kFile${number}, ${length}}},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(READ ${OPENAPI} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "\\\\x\\1" openapi "${hex}")
file(WRITE ${OUTPUT} "// Made by embed.cmake.
#include \"page.h\"

namespace beckon::server {
namespace {

${arrays}
const EmbeddedFile kFiles[] = {
${table}};

}  // namespace

std::span<const EmbeddedFile> embedded_files() { return kFiles; }
std::string_view embedded_openapi() { return \"${openapi}\"; }

}  // namespace beckon::server
")
