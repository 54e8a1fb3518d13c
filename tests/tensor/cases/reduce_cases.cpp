#include "tensor/op_cases.h"

namespace beckon::test {

void add_reduce_cases(std::vector<OpCase>&) {}

}  // namespace beckon::test
