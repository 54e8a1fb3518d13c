#include "tensor/op_cases.h"

namespace beckon::test {

void add_elementwise_cases(std::vector<OpCase>&) {}

}  // namespace beckon::test
