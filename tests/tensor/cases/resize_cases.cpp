#include "tensor/op_cases.h"

namespace beckon::test {

void add_resize_cases(std::vector<OpCase>&) {}

}  // namespace beckon::test
