# The instruction sets that a kernel translation unit is compiled for. Which one runs is decided by
# CPUID at run time (src/cpu/isa.cpp), so the library itself is built for the baseline.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(SIGHTLINE_ISAS generic avx2 avx512 avx512bf16)
else()
  set(SIGHTLINE_ISAS generic)
endif()

set(SIGHTLINE_ISA_FLAGS_generic "")
set(SIGHTLINE_ISA_FLAGS_avx2 -mavx2 -mfma)
set(SIGHTLINE_ISA_FLAGS_avx512 -mavx2 -mfma -mavx512f -mavx512bw -mavx512vl -mavx512dq
    -mprefer-vector-width=512)
set(SIGHTLINE_ISA_FLAGS_avx512bf16 ${SIGHTLINE_ISA_FLAGS_avx512} -mavx512bf16)

# -ffp-contract=fast: a*b+c is one FMA where the ISA has it. -Wno-psabi: vectors wider than the
# baseline's registers are passed between inlined functions only.
set(SIGHTLINE_KERNEL_FLAGS -ffp-contract=fast -fno-math-errno -fno-trapping-math -Wno-psabi
    -fno-exceptions -fno-rtti)

# sightline_isa_object(<target> <isa> <source>...): an object library compiled for one ISA. Its
# sources may define nothing but internal-linkage functions and one table: an inline function that
# the linker merged from here into baseline code would crash older CPUs (tests/cpu/isolation.cmake).
function(sightline_isa_object target isa)
  add_library(${target} OBJECT ${ARGN})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include
                                               ${PROJECT_SOURCE_DIR}/src)
  target_compile_options(${target} PRIVATE ${SIGHTLINE_ISA_FLAGS_${isa}} ${SIGHTLINE_KERNEL_FLAGS})
  sightline_warnings(${target})
endfunction()
