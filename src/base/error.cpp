#include "beckon/error.h"

namespace beckon {

int exit_code(Kind kind) noexcept {
  switch (kind) {
    case Kind::usage:
      return 2;
    case Kind::input:
    case Kind::model:
    case Kind::unsupported:
    case Kind::resource:
      return 65;
    case Kind::missing:
      return 66;
    case Kind::unavailable:
      return 69;
    case Kind::output:
      return 73;
    case Kind::temporary:
      return 75;
    case Kind::interrupted:
      return 130;
    case Kind::internal:
      return 70;
  }
  return 70;
}

const char* kind_name(Kind kind) noexcept {
  switch (kind) {
    case Kind::usage:
      return "usage";
    case Kind::input:
      return "input";
    case Kind::missing:
      return "missing";
    case Kind::model:
      return "model";
    case Kind::unavailable:
      return "unavailable";
    case Kind::unsupported:
      return "unsupported";
    case Kind::resource:
      return "resource";
    case Kind::output:
      return "output";
    case Kind::internal:
      return "internal";
    case Kind::interrupted:
      return "interrupted";
    case Kind::temporary:
      return "temporary";
  }
  return "internal";
}

}  // namespace beckon
