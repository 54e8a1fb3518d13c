#include <cstdio>

#include "beckon/version.h"

int main() { std::printf("beckon %s\n", beckon::version()); }
