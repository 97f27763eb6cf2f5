# Builds for aarch64 with a cross compiler (Debian: g++-aarch64-linux-gnu or g++-12-aarch64-linux-gnu); bash ci/build.sh --arch=aarch64 takes
# it. The building Python's headers serve both machines: their pyconfig.h agree in all that extension modules see.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
find_program(AARCH64_GCC NAMES aarch64-linux-gnu-gcc aarch64-linux-gnu-gcc-12 REQUIRED)
find_program(AARCH64_GXX NAMES aarch64-linux-gnu-g++ aarch64-linux-gnu-g++-12 REQUIRED)
set(CMAKE_C_COMPILER ${AARCH64_GCC})
set(CMAKE_CXX_COMPILER ${AARCH64_GXX})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
