# ISA presets -> compiler flags, one row each, and the two functions that the list of kernels uses.
#
# A preset is the instruction set that one kernel file is compiled for; base/isa.h has the matching feature bits. Only
# kernel files get a preset's flags: everything else is compiled for the baseline, so that it runs on every CPU.

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(PYRT_ARCH x86)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(PYRT_ARCH aarch64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^arm")
  set(PYRT_ARCH arm)
else()
  message(FATAL_ERROR "pyruntime is not ported to '${CMAKE_SYSTEM_PROCESSOR}': build it for x86-64, aarch64 or 32-bit ARM")
endif()

set(PYRT_PRESETS "")  # every preset of every architecture, to tell a typing error from another architecture's preset

# pyrt_preset(<name> <arch> <flags>...): one row of the table.
function(pyrt_preset name arch)
  list(APPEND PYRT_PRESETS ${name})
  set(PYRT_PRESETS "${PYRT_PRESETS}" PARENT_SCOPE)
  if(arch STREQUAL PYRT_ARCH)
    set(PYRT_FLAGS_${name} "${ARGN}" PARENT_SCOPE)
    set(PYRT_HAS_${name} TRUE PARENT_SCOPE)
  endif()
endfunction()

set(avx2 -mavx2 -mfma -mf16c -mbmi2)
set(avxvnni ${avx2} -mavxvnni)
set(avx512 ${avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False for the undefined vectors in g++ 12's own header (PR 105593).
  list(APPEND avx512 -Wno-maybe-uninitialized -Wno-uninitialized)
endif()
set(avx512vnni ${avx512} -mavx512vnni)
set(avx512icl ${avx512vnni} -mavx512vbmi -mavx512vbmi2 -mavx512bitalg -mavx512vpopcntdq)

# Scalar is the compiler's baseline: SSE2 on x86-64, Advanced SIMD on aarch64 (IEEE there), VFP on 32-bit ARM, whose
# NEON flushes subnormals to zero and is therefore never used for floats without an own preset.
pyrt_preset(scalar x86)
pyrt_preset(avx2 x86 ${avx2})
pyrt_preset(avxvnni x86 ${avxvnni})
pyrt_preset(avx512 x86 ${avx512})
pyrt_preset(avx512vnni x86 ${avx512vnni})
pyrt_preset(avx512icl x86 ${avx512icl})
pyrt_preset(scalar aarch64)
pyrt_preset(scalar arm)

# pyrt_add_family(<folder>): csrc/kernels/<folder>/<folder>.cpp, which defines `<folder>_families`.
function(pyrt_add_family folder)
  target_sources(pyrt_kernels PRIVATE csrc/kernels/${folder}/${folder}.cpp)
  set_property(GLOBAL APPEND_STRING PROPERTY PYRT_FAMILIES_INC "PYRT_FAMILY(${folder})\n")
endfunction()

# pyrt_add_kernel(<folder> <preset>): csrc/kernels/<folder>/<folder>_<preset>.cpp, which defines the table
# `<folder>_<preset>`. Nothing happens where the target architecture has no such preset.
function(pyrt_add_kernel folder preset)
  if(NOT preset IN_LIST PYRT_PRESETS)
    message(FATAL_ERROR "pyrt_add_kernel(${folder} ${preset}): no such preset; isa.cmake has ${PYRT_PRESETS}")
  endif()
  if(NOT PYRT_HAS_${preset})
    return()
  endif()
  set(source csrc/kernels/${folder}/${folder}_${preset}.cpp)
  set(flags ${PYRT_FLAGS_${preset}})
  if(PYRT_EMULATE_AVX512 AND preset MATCHES "^avx(512|vnni)")
    # SIMDe's functions take the place of the intrinsics; the rest is compiled for AVX2.
    # No function outside a file takes a 64-byte vector, so its ABI without AVX-512 does not matter.
    set(flags ${avx2} -Wno-psabi -I${CMAKE_CURRENT_SOURCE_DIR}/csrc/cmake/emulate -isystem ${PYRT_SIMDE_INCLUDE})
  endif()
  target_sources(pyrt_kernels PRIVATE ${source})
  set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${flags}")
  set_property(GLOBAL APPEND_STRING PROPERTY PYRT_TABLES_INC "PYRT_TABLE(${folder}_${preset})\n")
endfunction()

# pyrt_write_tables(): the two lists that csrc/kernels/tables.cpp expands. Call it after the last kernel.
function(pyrt_write_tables)
  get_property(families GLOBAL PROPERTY PYRT_FAMILIES_INC)
  get_property(tables GLOBAL PROPERTY PYRT_TABLES_INC)
  file(GENERATE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/generated/families.inc CONTENT "${families}")
  file(GENERATE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/generated/tables.inc CONTENT "${tables}")
  target_include_directories(pyrt_kernels PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/generated)
endfunction()
