# libsightline_cuda: loaded at run time by libsightline where it is present, never linked to it.
#   SIGHTLINE_CUDA=AUTO  built if nvcc >= 12 is found;  ON: an error if not;  OFF: never
set(SIGHTLINE_CUDA AUTO CACHE STRING "Build libsightline_cuda: AUTO, ON or OFF")
set_property(CACHE SIGHTLINE_CUDA PROPERTY STRINGS AUTO ON OFF)
# Native code for A100, H100/H200 (with wgmma and TMA: the "a") and B200; PTX of the last for what
# follows it.
set(SIGHTLINE_CUDA_ARCHITECTURES 80-real 90a-real 100 CACHE STRING "As CMAKE_CUDA_ARCHITECTURES")

set(SIGHTLINE_HAVE_CUDA OFF)
if(SIGHTLINE_CUDA)  # AUTO or ON
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES ${SIGHTLINE_CUDA_ARCHITECTURES})
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12)
      set(SIGHTLINE_HAVE_CUDA ON)
    endif()
  endif()
  if(NOT SIGHTLINE_HAVE_CUDA AND NOT SIGHTLINE_CUDA STREQUAL "AUTO")
    message(FATAL_ERROR "SIGHTLINE_CUDA=${SIGHTLINE_CUDA} needs nvcc 12 or later, found: "
                        "${CMAKE_CUDA_COMPILER} ${CMAKE_CUDA_COMPILER_VERSION}")
  endif()
endif()
message(STATUS "libsightline_cuda: ${SIGHTLINE_HAVE_CUDA} (SIGHTLINE_CUDA=${SIGHTLINE_CUDA})")

if(SIGHTLINE_HAVE_CUDA)
  # CMake before 3.26 does not know nvcc's C++20, which nvcc has had since 12.0.
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  # How sources of CUDA are compiled, those of the tests' libraries included.
  function(sightline_cuda_target target)
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include
                                                 ${PROJECT_SOURCE_DIR}/src)
    target_include_directories(${target} SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
    target_compile_options(${target} PRIVATE
      $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;-Xptxas=-v>)
    set_target_properties(${target} PROPERTIES
      CUDA_RUNTIME_LIBRARY Static CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON
      CUDA_VISIBILITY_PRESET hidden POSITION_INDEPENDENT_CODE ON)
  endfunction()

  # wgmma and TMA: compiled for sm_90a alone, chosen at run time.
  add_library(sightline_cuda_hopper OBJECT
    src/cuda/alignment/hopper_bf16.cu
    src/cuda/lora/hopper_bf16.cu)
  set_target_properties(sightline_cuda_hopper PROPERTIES CUDA_ARCHITECTURES 90a-real)
  add_library(sightline_cuda SHARED
    src/cuda/alignment/alignment.cpp
    src/cuda/alignment/alignment_bf16.cu
    src/cuda/alignment/alignment_fp32.cu
    src/cuda/adamw/adamw.cu
    src/cuda/backend.cpp
    src/cuda/lora/lora.cpp
    src/cuda/lora/lora_bf16.cu
    src/cuda/lora/lora_fp32.cu
    src/cuda/lora/merge.cu
    src/cuda/probe.cu
    src/cuda/runtime/device.cpp
    src/cuda/runtime/memory.cpp
    src/cuda/runtime/path.cpp
    src/cuda/runtime/status.cpp
    src/cuda/runtime/tensor_map.cpp
    src/cuda/runtime/workspace.cpp
    $<TARGET_OBJECTS:sightline_cuda_hopper>)
  foreach(target sightline_cuda_hopper sightline_cuda)
    sightline_cuda_target(${target})
    target_compile_options(${target} PRIVATE
      $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Werror>
      $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>
      $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wno-unknown-pragmas>)
    if(CMAKE_HOST_UNIX)  # keeps ptxas's report for the test that reads it
      set_target_properties(${target} PROPERTIES RULE_LAUNCH_COMPILE
        "${CMAKE_CURRENT_LIST_DIR}/ptxas_log.sh <OBJECT>")
    endif()
  endforeach()
  # The library is one file without version links: it is opened by its name and copied into a jar.
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    # Users of the static runtime must not see its symbols through us.
    target_link_options(sightline_cuda PRIVATE -Wl,--exclude-libs,ALL -Wl,--no-undefined)
  endif()
endif()
