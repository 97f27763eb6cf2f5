# The torch that the Python interpreter would import, found without importing it:
#   TORCH_INCLUDE_DIRS, TORCH_LIBRARY_DIR, TORCH_CPU_LIBRARIES, TORCH_COMPILE_DEFINITIONS, TORCH_VERSION
# Not find_package(Torch): its targets drag in compile flags and libraries that neither part of this project needs.
include_guard()  # per scope: what it sets are variables
execute_process(
  COMMAND ${Python_EXECUTABLE} -c
    "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
  OUTPUT_VARIABLE TORCH_PACKAGE_DIR OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
if(NOT TORCH_PACKAGE_DIR)
  message(FATAL_ERROR "${Python_EXECUTABLE} has no torch. Install the CPU build of torch 2.13 for it, or name another interpreter "
                      "with -DPython_EXECUTABLE=")
endif()
file(STRINGS ${TORCH_PACKAGE_DIR}/version.py TORCH_VERSION_LINE REGEX "^__version__ =")
string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" TORCH_VERSION "${TORCH_VERSION_LINE}")
message(STATUS "torch ${TORCH_VERSION} in ${TORCH_PACKAGE_DIR}")

set(TORCH_INCLUDE_DIRS ${TORCH_PACKAGE_DIR}/include ${TORCH_PACKAGE_DIR}/include/torch/csrc/api/include)
set(TORCH_LIBRARY_DIR ${TORCH_PACKAGE_DIR}/lib)
set(TORCH_CPU_LIBRARIES ${TORCH_LIBRARY_DIR}/libtorch_cpu.so ${TORCH_LIBRARY_DIR}/libc10.so)
# The released builds use the new string ABI, as any compiler that knows C++20 does by itself.
set(TORCH_COMPILE_DEFINITIONS USE_DISTRIBUTED USE_C10D_GLOO)
