# What is generated from abi/ before anything is compiled:
#   gen/include/       the SDK's headers                          target sdk_headers
#   gen/cann/          the adapter's symbols, the table of errors target cann_symbols
#   gen/softcann/      softcann's entry points                    target softcann_entries (see softcann/CMakeLists.txt)
include_guard(GLOBAL)
set(GEN_DIR ${CMAKE_BINARY_DIR}/gen)
set(SDK_INCLUDE_DIR ${GEN_DIR}/include)
file(GLOB ABI_TABLES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/abi/*.csv)
set(CODEGEN_COMMON ${CMAKE_SOURCE_DIR}/codegen/abi_model.py ${CMAKE_SOURCE_DIR}/codegen/output.py
                   ${CMAKE_SOURCE_DIR}/codegen/gen_sdk.py ${ABI_TABLES})

# generated(<target> SCRIPT <script> ARGUMENTS <...> OUTPUTS <...> [DEPENDS <...>])
# Generators leave unchanged files alone; the stamp is what tells ninja that they ran.
function(generated target)
  cmake_parse_arguments(G "" "SCRIPT" "ARGUMENTS;OUTPUTS;DEPENDS" ${ARGN})
  add_custom_command(
    OUTPUT ${GEN_DIR}/${target}.stamp
    BYPRODUCTS ${G_OUTPUTS}
    COMMAND ${Python_EXECUTABLE} ${CMAKE_SOURCE_DIR}/codegen/${G_SCRIPT} ${G_ARGUMENTS}
    COMMAND ${CMAKE_COMMAND} -E touch ${GEN_DIR}/${target}.stamp
    DEPENDS ${CMAKE_SOURCE_DIR}/codegen/${G_SCRIPT} ${CODEGEN_COMMON} ${G_DEPENDS}
    COMMENT "${G_SCRIPT}" VERBATIM)
  add_custom_target(${target} DEPENDS ${GEN_DIR}/${target}.stamp)
endfunction()

generated(sdk_headers SCRIPT gen_sdk.py
  ARGUMENTS --out ${SDK_INCLUDE_DIR} --layout ${GEN_DIR}/abi_layout.inc
  OUTPUTS ${SDK_INCLUDE_DIR}/acl/acl.h ${GEN_DIR}/abi_layout.inc)

generated(cann_symbols SCRIPT gen_symbols.py
  ARGUMENTS --out ${GEN_DIR}/cann
  OUTPUTS ${GEN_DIR}/cann/symbols.h ${GEN_DIR}/cann/error_table.inc ${GEN_DIR}/cann/functions.csv ${GEN_DIR}/cann/releases.csv)
add_dependencies(cann_symbols sdk_headers)
