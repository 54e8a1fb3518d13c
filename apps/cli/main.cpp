// beckon: the program. Errors become one line on stderr and an exit code that says of what kind it
// was.
#include <exception>
#include <new>

#include "beckon/error.h"
#include "interrupt.h"
#include "program.h"
#include "terminal.h"

int main(int argc, char** argv) {
  using namespace beckon;
  cli::open_closed_streams();
  cli::install_signal_handlers();
  try {
    return cli::run_program(argc, argv);
  } catch (const cli::ReaderGone&) {
    return exit_code(Kind::output);
  } catch (const Error& error) {
    cli::complain(error.what());
    return exit_code(error.kind());
  } catch (const std::bad_alloc&) {
    cli::complain("out of memory");
  } catch (const std::exception& error) {
    cli::complain(std::string("internal error: ") + error.what());
  } catch (...) {
    cli::complain("internal error of an unknown kind");
  }
  return exit_code(Kind::internal);
}
