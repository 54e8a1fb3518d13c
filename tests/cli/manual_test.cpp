// The man page and the completion scripts.
#include <gtest/gtest.h>

#include "process.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

TEST(ManPage, NamesCommandsExitCodesAndVariables) {
  const Outcome page = run_beckon({"man"});
  ASSERT_EQ(page.code, 0);
  EXPECT_TRUE(page.out.starts_with(".TH BECKON 1 \"\" \"beckon " BECKON_VERSION "\"")) << page.out;
  for (const char* part :
       {".SH NAME\nbeckon \\- ", ".SH SYNOPSIS\n", ".SS beckon models pull MODEL",
        ".SH EXIT STATUS\n", "\\fB69\\fR\n", "\\fBBECKON_HOME\\fR\n"})
    EXPECT_NE(page.out.find(part), std::string::npos) << part;
}

TEST(ManPage, LeavesNoLineThatRoffTakesForARequestOfItsOwn) {
  const std::string page = "\n" + run_beckon({"man"}).out;
  for (size_t at = page.find("\n."); at != std::string::npos; at = page.find("\n.", at + 1)) {
    const std::string request = page.substr(at + 2, page.find_first_of(" \n", at + 2) - at - 2);
    EXPECT_TRUE(request == "TH" || request == "SH" || request == "SS" || request == "TP" ||
                request == "PP" || request == "B" || request == "nf" || request == "fi" ||
                request == "RS" || request == "RE")
        << request;
  }
}

TEST(ManPage, IsBuiltForInstalling) {
  const std::vector<uint8_t> built = read_bytes(BECKON_MAN_PAGE);
  EXPECT_EQ(std::string(built.begin(), built.end()), run_beckon({"man"}).out);
}

// What bash offers after these words; the last one is being typed.
std::string completed(const std::string& words) {
  const TempDir folder;
  folder.write("beckon.bash", run_beckon({"completion", "bash"}).out);
  folder.write("photo.png", std::string("x"));
  const std::string script =
      "set -eu; PATH=\"$(dirname \"$0\"):$PATH\"; source ./beckon.bash; COMP_WORDS=(" + words +
      "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _beckon; echo \"${COMPREPLY[*]}\"";
  const Outcome outcome = run_program(
      {"bash", "-c", script, BECKON_PROGRAM},
      {.set = {{"BECKON_HOME", folder.path().string()}}, .folder = folder.path().string()});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return outcome.out;
}

TEST(Completion, BashKnowsCommandsOptionsChoicesModelsAndFiles) {
  EXPECT_EQ(completed("beckon mod"), "models\n");
  EXPECT_EQ(completed("beckon models p"), "pull\n");
  EXPECT_EQ(completed("beckon doctor --j"), "--json\n");
  EXPECT_EQ(completed("beckon models convert --dtype ''"), "f32 f16 bf16\n");
  EXPECT_EQ(completed("beckon models pull mob"), "mobile-sam\n");
  EXPECT_EQ(completed("beckon models convert mobile-sam -o pho"), "photo.png\n");
}

TEST(Completion, EveryShellKnowsEveryOptionOfACommand) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Outcome outcome = run_beckon({"completion", shell});
    EXPECT_EQ(outcome.code, 0);
    for (const char* word : {"doctor", "models", "verify", "dtype", "output"})
      EXPECT_NE(outcome.out.find(word), std::string::npos) << shell << ": " << word;
  }
}

}  // namespace
}  // namespace beckon::test
