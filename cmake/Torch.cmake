# The torch that the Python interpreter would import, found without importing it:
#   TORCH_INCLUDE_DIRS, TORCH_LIBRARY_DIR, TORCH_CPU_LIBRARIES, TORCH_COMPILE_DEFINITIONS, TORCH_VERSION
#   TORCH_COMPAT_SOURCES, TORCH_COMPAT_PYTHON_SOURCES: what only such a torch needs of csrc/compat (see csrc/compat/README.md)
# Not find_package(Torch): its targets drag in compile flags and libraries that neither part of this project needs.
include_guard()  # per scope: what it sets are variables
execute_process(
  COMMAND ${Python_EXECUTABLE} -c
    "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}  # not where the link of below is
  OUTPUT_VARIABLE TORCH_PACKAGE_DIR OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
if(NOT TORCH_PACKAGE_DIR)
  message(FATAL_ERROR "${Python_EXECUTABLE} has no torch. Install the CPU build of torch 2.13 for it, or name another interpreter "
                      "with -DPython_EXECUTABLE=")
endif()
file(STRINGS ${TORCH_PACKAGE_DIR}/version.py TORCH_VERSION_LINE REGEX "^__version__ =")
string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" TORCH_VERSION "${TORCH_VERSION_LINE}")
message(STATUS "torch ${TORCH_VERSION} in ${TORCH_PACKAGE_DIR}")
# What csrc/compat bridges; the versions between were never built.
if(NOT TORCH_VERSION MATCHES "^2\\.[01]\\." AND TORCH_VERSION VERSION_LESS 2.13)
  message(FATAL_ERROR "torch_npu does not build with torch ${TORCH_VERSION}, only with 2.0, 2.1 and with 2.13 or newer. docs/versions.md says more")
endif()

# By a link in the build directory, whose path there is the same for every Python: ccache then shares objects between them.
set(TORCH_LINK ${CMAKE_BINARY_DIR}/torch)
file(CREATE_LINK ${TORCH_PACKAGE_DIR} ${TORCH_LINK} SYMBOLIC)
set(TORCH_INCLUDE_DIRS ${TORCH_LINK}/include ${TORCH_LINK}/include/torch/csrc/api/include)
set(TORCH_LIBRARY_DIR ${TORCH_PACKAGE_DIR}/lib)
set(TORCH_CPU_LIBRARIES ${TORCH_LIBRARY_DIR}/libtorch_cpu.so ${TORCH_LIBRARY_DIR}/libc10.so)
set(TORCH_COMPILE_DEFINITIONS USE_DISTRIBUTED USE_C10D_GLOO)

# 21300 for 2.13.0
string(REGEX MATCH "^([0-9]+)\\.([0-9]+)\\.([0-9]+)" _ ${TORCH_VERSION})
math(EXPR TORCH_VERSION_NUMBER "${CMAKE_MATCH_1} * 10000 + ${CMAKE_MATCH_2} * 100 + ${CMAKE_MATCH_3}")
list(APPEND TORCH_COMPILE_DEFINITIONS TORCH_NPU_TORCH_VERSION=${TORCH_VERSION_NUMBER})

# What torch gained in a later version than this one: headers under torch's own include path, behind torch's, and sources.
set(TORCH_COMPAT_SOURCES)
set(TORCH_COMPAT_PYTHON_SOURCES)
file(GLOB TORCH_COMPAT_DIRS LIST_DIRECTORIES true ${CMAKE_SOURCE_DIR}/csrc/compat/before_*)
list(SORT TORCH_COMPAT_DIRS COMPARE NATURAL)
foreach(directory IN LISTS TORCH_COMPAT_DIRS)
  string(REGEX REPLACE ".*/before_([0-9]+)_([0-9]+)$" "\\1.\\2" bound ${directory})
  if(TORCH_VERSION VERSION_LESS bound)
    list(APPEND TORCH_INCLUDE_DIRS ${directory})
    file(GLOB sources CONFIGURE_DEPENDS ${directory}/*.cpp)
    list(APPEND TORCH_COMPAT_SOURCES ${sources})
    file(GLOB sources CONFIGURE_DEPENDS ${directory}/python/*.cpp)
    list(APPEND TORCH_COMPAT_PYTHON_SOURCES ${sources})
  endif()
endforeach()

# Builds of torch for old Linux distributions use libstdc++'s old strings. All of this project then does: softcann's libraries
# share strings with the one that links torch.
file(STRINGS ${TORCH_LIBRARY_DIR}/libc10.so OLD_STRINGS REGEX "_ZN3c105ErrorC.ENS_14SourceLocationESs" LIMIT_COUNT 1)
if(OLD_STRINGS)
  message(STATUS "torch uses the old C++ ABI")
  add_compile_definitions(_GLIBCXX_USE_CXX11_ABI=0)
endif()
