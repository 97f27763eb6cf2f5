# manylinux_floor: what makes libraries built on Debian 12 run on systems with glibc 2.28 and GCC 8's libstdc++, which is what a wheel's tag
# manylinux_2_28 promises. tests/python/test_wheel.py checks it. See manylinux/forward.c.
include_guard(GLOBAL)
if(TORCH_NPU_SANITIZE)
  # The sanitizers intercept some of these functions, for which ld writes a symbol table that it cannot read; and nobody installs such a build.
  add_library(manylinux_floor INTERFACE)
  return()
endif()
add_library(manylinux_floor STATIC ${CMAKE_CURRENT_LIST_DIR}/manylinux/forward.c ${CMAKE_CURRENT_LIST_DIR}/manylinux/throw.cpp)
set_target_properties(manylinux_floor PROPERTIES POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden)
# The compiler must neither take the functions for the ones it knows nor turn them into calls of themselves.
target_compile_options(manylinux_floor PRIVATE $<$<COMPILE_LANGUAGE:C>:-fno-builtin>)
# glibc 2.34 made these libraries part of libc; before, they have to be there.
target_link_options(manylinux_floor INTERFACE
  LINKER:--push-state,--no-as-needed -l:libdl.so.2 -l:libpthread.so.0 -l:librt.so.1 -l:libm.so.6 LINKER:--pop-state)
