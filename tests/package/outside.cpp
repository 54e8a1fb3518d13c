// A program of somebody else's.
#include <cstdio>

#include <beckon/checkpoint.h>
#include <beckon/error.h>
#include <beckon/version.h>

int main(int, char** argv) {
  try {
    beckon::Checkpoint::open(argv[0]);  // a program is no checkpoint
  } catch (const beckon::Error& error) {
    std::printf("beckon %s: %s\n", beckon::version(), beckon::kind_name(error.kind()));
  }
}
