// What holds for every command: help, errors, exit codes, streams, signals.
#include <csignal>
#include <filesystem>
#include <sstream>

#include <gtest/gtest.h>

#include "process.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

using Words = std::vector<std::string>;

std::string joined(const Words& words) {
  std::string text;
  for (const std::string& word : words) text += " " + word;
  return text;
}

// The names in the "Commands:" table of a help text.
Words commands_in(const std::string& help) {
  Words names;
  std::istringstream lines(help);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line == "Commands:") {
      inside = true;
    } else if (inside && line.empty()) {
      break;
    } else if (inside && line.size() > 2 && line[2] != ' ') {
      names.push_back(line.substr(2, line.find(' ', 2) - 2));
    }
  }
  return names;
}

// Every command with its own ones, as words after "beckon".
std::vector<Words> all_commands(const Words& above = {}) {
  Words question = {"help"};
  question.insert(question.end(), above.begin(), above.end());
  std::vector<Words> found = {above};
  for (const std::string& name : commands_in(run_beckon(question).out)) {
    Words path = above;
    path.push_back(name);
    for (Words& below : all_commands(path)) found.push_back(std::move(below));
  }
  return found;
}

TEST(Frame, VersionIsOneLine) {
  const Outcome outcome = run_beckon({"--version"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, "beckon " BECKON_VERSION "\n");
  EXPECT_EQ(outcome.err, "");
}

TEST(Frame, WithoutACommandHelpGoesToStderr) {
  const Outcome outcome = run_beckon({});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err, run_beckon({"--help"}).out);
  EXPECT_EQ(run_beckon({"models"}).err, run_beckon({"help", "models"}).out);
}

TEST(Frame, EveryCommandExplainsItselfWithAnExample) {
  const std::vector<Words> commands = all_commands();
  ASSERT_GE(commands.size(), 9u);
  for (const Words& command : commands) {
    SCOPED_TRACE("beckon" + joined(command));
    Words question = {"help"};
    question.insert(question.end(), command.begin(), command.end());
    const Outcome asked = run_beckon(question);
    EXPECT_EQ(asked.code, 0);
    EXPECT_EQ(asked.err, "");
    EXPECT_NE(asked.out.find("\nUsage: beckon" + joined(command)), std::string::npos) << asked.out;
    EXPECT_NE(asked.out.find("\nExamples:\n  "), std::string::npos) << asked.out;
    Words flag = command;
    flag.push_back("--help");
    EXPECT_EQ(run_beckon(flag).out, asked.out);
  }
}

TEST(Frame, HelpFitsATerminal) {
  for (const Words& command : all_commands()) {
    Words question = {"help"};
    question.insert(question.end(), command.begin(), command.end());
    std::istringstream lines(run_beckon(question).out);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100u) << line;
  }
}

TEST(Frame, WrongArgumentsAreOneLineAndCode2) {
  struct Case {
    Words arguments;
    std::string part;
  };
  const Case cases[] = {
      {{"frobnicate"}, "unknown command 'frobnicate' (see: beckon help)"},
      {{"docter"}, "did you mean 'doctor'?"},
      {{"--bogus"}, "unknown option '--bogus'"},
      {{"doctor", "--jsn"},
       "unknown option '--jsn', did you mean '--json'? (see: beckon help doctor)"},
      {{"doctor", "extra"}, "unexpected argument 'extra'"},
      {{"models", "lst"}, "unknown command 'lst', did you mean 'list'?"},
      {{"models", "pull"}, "MODEL is required (see: beckon help models pull)"},
      {{"models", "convert", "a", "-o", "b", "--dtype", "f99"}, "f99 not in {f32,f16,bf16}"},
      {{"models", "convert", "a", "-o"}, "--output"},
      {{"segment", "a.png", "--everything", "--points-per-side", "x"},
       "--points-per-side 'x': expected a number (see: beckon help segment)"},
      {{"engine", "review", "photos", "--accept", "1,x"}, "--accept"},
      {{"completion", "tcsh"}, "expected bash, zsh or fish"},
      {{"help", "modls"}, "did you mean 'models'?"},
      {{"doctor", "a\nb\x1b[31m"}, "a\\nb\\x1b[31m"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE("beckon" + joined(c.arguments));
    expect_complaint(run_beckon(c.arguments), 2, c.part);
  }
}

TEST(Frame, StdoutThatCannotBeWrittenIsCode73) {
  const Outcome outcome = run_beckon({"doctor"}, {.stdout_path = "/dev/full"});
  expect_complaint(outcome, 73, "standard output: cannot write: No space left on device");
}

TEST(Frame, AReaderThatLeavesIsNoNews) {
  const Outcome outcome = run_beckon({"help"}, {.close_stdout_early = true});
  EXPECT_EQ(outcome.code, 73);
  EXPECT_EQ(outcome.err, "");
}

TEST(Frame, ClosedStreamsAreNotMistakenForFiles) {
  const TempDir folder;
  const Outcome outcome = run_program({"sh", "-c", "exec \"$0\" doctor <&- >&-", BECKON_PROGRAM},
                                      {.set = {{"BECKON_HOME", folder.path().string()}}});
  expect_complaint(outcome, 73, "standard output");
}

TEST(Frame, InterruptedIsCode130) {
  // An npm that takes its time: the pull is under way when the signal comes.
  const TempDir folder;
  const std::string npm = folder.write("npm", "#!/bin/sh\n: >\"$0.runs\"\nexec sleep 60\n");
  std::filesystem::permissions(npm, std::filesystem::perms::owner_all);
  for (const int signal : {SIGINT, SIGTERM}) {
    const Outcome outcome =
        run_beckon({"models", "pull", "mobile-sam"},
                   {.set = {{"PATH", folder.path().string() + ":/usr/bin:/bin"}},
                    .signal = signal,
                    .signal_when = [&] { return std::filesystem::remove(npm + ".runs"); },
                    .timeout = std::chrono::seconds(20)});
    expect_complaint(outcome, 130, "");
  }
}

}  // namespace
}  // namespace beckon::test
