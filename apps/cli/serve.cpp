// beckon serve: the page and the HTTP API.
#include "serve.h"

#include <csignal>
#include <memory>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"
#include "beckon/store.h"
#include "guard.h"
#include "json.h"
#include "program.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

constexpr uint16_t kPort = 8712;

struct ServeArguments {
  server::ServeOptions options;
  std::string token_file;
  bool no_cache = false, json = false;
};

// Signals come to one thread that waits for them, instead of ending the program in the middle.
class StopOnSignals {
 public:
  StopOnSignals() {
    ::sigemptyset(&signals_);
    ::sigaddset(&signals_, SIGINT);
    ::sigaddset(&signals_, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  }
  void watch(server::Server& server) {
    thread_ = std::thread([this, &server] {
      int signal = 0;
      ::sigwait(&signals_, &signal);
      server.stop();
    });
  }
  ~StopOnSignals() {
    if (!thread_.joinable()) return;
    ::pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
  }

 private:
  sigset_t signals_{};
  std::thread thread_;
};

void run_serve(ServeArguments arguments) {
  server::ServeOptions& options = arguments.options;
  options.cache = !arguments.no_cache;
  if (!arguments.token_file.empty()) options.token = server::read_token(arguments.token_file);
  if (!server::is_loopback(options.listen) && options.token.empty())
    fail(Kind::usage, "--listen {}: others reach this address: give --token-file FILE as well",
         options.listen);
  static_cast<void>(Store().find(options.model));  // better now than after it listens

  StopOnSignals signals;  // before any thread is started: they inherit what is blocked
  server::Server server(options);
  signals.watch(server);
  if (arguments.json)
    print(Json{{"url", server.url()}, {"folder", options.folder}}.dump() + "\n");
  else
    print(fmt::format("{} serves {} (Ctrl-C ends it)\n", server.url(), options.folder));
  server.run();
}

}  // namespace

void add_serve(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "serve", "A page to click on, and an HTTP API, for a folder of photos");
  command->footer(
      "beckon serve photos\n"
      "beckon serve photos --listen 0.0.0.0 --token-file token.txt --allow-host photos.lan");
  auto arguments = std::make_shared<ServeArguments>();
  server::ServeOptions& options = arguments->options;
  options.port = kPort;
  command->add_option("folder", options.folder, "The folder with the photos; this one if not given")
      ->type_name("DIR");
  command
      ->add_option(
          "--model", options.model,
          "A name (see beckon models) or the path of a checkpoint; mobile-sam if not given")
      ->type_name("MODEL");
  command
      ->add_option("--port", options.port,
                   fmt::format("Where it listens, 0 for any free port; {} if not given", kPort))
      ->type_name("N");
  command
      ->add_option("--listen", options.listen,
                   "The address; 127.0.0.1, this machine alone, if not given. Others need "
                   "--token-file")
      ->type_name("ADDRESS");
  command
      ->add_option("--token-file", arguments->token_file,
                   "A file with the token that requests must bring: Authorization: Bearer TOKEN")
      ->type_name("FILE");
  command
      ->add_option("--allow-host", options.hosts,
                   "Another name under which the server is reached (may be repeated)")
      ->type_name("NAME");
  command
      ->add_option("--embeddings", options.embeddings,
                   "Photos that are kept ready in memory, 20 MB each; 8 if not given")
      ->type_name("N")
      ->check(CLI::Range(1, 10000));
  command
      ->add_option("--max-pixels", options.max_pixels,
                   "The largest photo, width times height; 100000000 if not given")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{100'000'000}));
  command->add_flag("--no-cache", arguments->no_cache,
                    "Neither look into the embedding cache nor keep anything");
  command->add_flag("--metrics", options.metrics, "Answer GET /v1/metrics, for Prometheus");
  command->add_option("--page", options.page, "Serve the page's files from here, to work on them")
      ->type_name("DIR");
  command->add_flag("--json", arguments->json, "Print {\"url\": ...} instead of a sentence");
  command->callback([arguments] { run_serve(*arguments); });
}

}  // namespace beckon::cli
