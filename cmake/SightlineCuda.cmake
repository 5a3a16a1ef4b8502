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
  add_library(sightline_cuda SHARED src/cuda/backend.cpp src/cuda/probe.cu)
  target_include_directories(sightline_cuda PRIVATE include src)
  target_compile_options(sightline_cuda PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Werror>
    $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings;-Xcompiler=-Wall,-Wextra>)
  # One file without version links: it is opened by this very name and copied into a jar.
  set_target_properties(sightline_cuda PROPERTIES
    CUDA_RUNTIME_LIBRARY Static CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON
    CUDA_VISIBILITY_PRESET hidden)
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    # Users of the static runtime must not see its symbols through us.
    target_link_options(sightline_cuda PRIVATE -Wl,--exclude-libs,ALL -Wl,--no-undefined)
  endif()
endif()
