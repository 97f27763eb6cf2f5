// Every SDK header together, as C; sizes, offsets and values are checked while compiling.
#include "abi_layout.inc"

int main(void) { return 0; }
