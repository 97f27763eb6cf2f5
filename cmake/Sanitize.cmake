# -DTORCH_NPU_SANITIZE=thread or address: adapter, softcann and C++ tests with one of GCC's sanitizers. ci/sanitize.sh uses it.
set(TORCH_NPU_SANITIZE "" CACHE STRING "Sanitizer to build with: thread, address, or empty for none")
if(TORCH_NPU_SANITIZE)
  if(NOT TORCH_NPU_SANITIZE MATCHES "^(thread|address)$")
    message(FATAL_ERROR "TORCH_NPU_SANITIZE is thread or address, not ${TORCH_NPU_SANITIZE}")
  endif()
  # These come behind the options of the build type. -O1 keeps stacks readable and the build short.
  add_compile_options(-fsanitize=${TORCH_NPU_SANITIZE} -O1 -g1 -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${TORCH_NPU_SANITIZE})
endif()
