# Thin replacements for add_mlir_library and friends: every Lathe library is a
# static archive that links nothing but the two shared libraries MLIR and LLVM,
# because mixing in static MLIR* archives registers everything twice.

# lathe_tablegen(<out target> <td file> <output> <mlir-tblgen flags...> ...)
# One target may make several outputs: separate them with the word AND.
function(lathe_tablegen target td)
  set(LLVM_TARGET_DEFINITIONS ${td})
  set(flags "")
  set(output "")
  foreach(arg ${ARGN} AND)
    if(arg STREQUAL "AND")
      mlir_tablegen(${output} ${flags} "-I${CMAKE_SOURCE_DIR}" "-I${CMAKE_SOURCE_DIR}/include")
      set(flags "")
      set(output "")
    elseif(output STREQUAL "")
      set(output ${arg})
    else()
      list(APPEND flags ${arg})
    endif()
  endforeach()
  # mlir_tablegen appends to TABLEGEN_OUTPUT in this function's scope.
  add_custom_target(${target} DEPENDS ${TABLEGEN_OUTPUT})
  set_property(GLOBAL APPEND PROPERTY LATHE_TABLEGEN_TARGETS ${target})
endfunction()

# lathe_library(<name> SOURCES a.cpp ... DEPENDS <lathe libs> LIBS <others>
#               [NO_MLIR] [PCH core|codegen])
# NO_MLIR libraries see LLVM only (Support, Executable, Runtime).
function(lathe_library name)
  cmake_parse_arguments(ARG "NO_MLIR" "PCH" "SOURCES;DEPENDS;LIBS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  if(ARG_NO_MLIR)
    target_link_libraries(${name} PUBLIC ${ARG_DEPENDS} ${ARG_LIBS} LLVM)
  else()
    target_link_libraries(${name} PUBLIC ${ARG_DEPENDS} ${ARG_LIBS} MLIR LLVM)
    get_property(tablegens GLOBAL PROPERTY LATHE_TABLEGEN_TARGETS)
    if(tablegens)
      add_dependencies(${name} ${tablegens})
    endif()
  endif()
  if(ARG_PCH)
    target_precompile_headers(${name} REUSE_FROM lathe_pch_${ARG_PCH})
  endif()
endfunction()

# lathe_tool(<name> SOURCES ... DEPENDS <lathe libs>)
function(lathe_tool name)
  cmake_parse_arguments(ARG "" "PCH" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} MLIR LLVM)
  get_property(tablegens GLOBAL PROPERTY LATHE_TABLEGEN_TARGETS)
  add_dependencies(${name} ${tablegens})
  if(ARG_PCH)
    target_precompile_headers(${name} REUSE_FROM lathe_pch_${ARG_PCH})
  endif()
endfunction()

# The two precompiled header sets: "core" for rooms that read and rewrite the
# graph, "codegen" for Conversion and Target (linalg, vector, LLVM dialects).
function(lathe_pch_library kind)
  file(WRITE ${CMAKE_BINARY_DIR}/pch/${kind}.cpp "// Anchor of the precompiled header set '${kind}'.\n")
  add_library(lathe_pch_${kind} OBJECT ${CMAKE_BINARY_DIR}/pch/${kind}.cpp)
  target_precompile_headers(lathe_pch_${kind} PRIVATE ${ARGN})
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    # Without time stamps ccache may reuse objects that were built with the set.
    add_compile_options("SHELL:-Xclang -fno-pch-timestamp")
    target_compile_options(lathe_pch_${kind} PRIVATE "SHELL:-Xclang -fno-pch-timestamp")
  endif()
endfunction()
