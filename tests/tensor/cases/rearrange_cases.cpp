#include "tensor/op_cases.h"

namespace beckon::test {

void add_rearrange_cases(std::vector<OpCase>&) {}

}  // namespace beckon::test
