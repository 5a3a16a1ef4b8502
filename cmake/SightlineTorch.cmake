# libsightline_torch: torch.ops.sightline, over the stable C ABI of whatever libtorch the process
# has. Needs no libtorch to build.
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  add_library(sightline_torch SHARED
    src/torch/adamw.cpp
    src/torch/alignment.cpp
    src/torch/context.cpp
    src/torch/libtorch.cpp
    src/torch/lora.cpp
    src/torch/merge.cpp
    src/torch/registration.cpp
    src/torch/values.cpp
  )
  target_include_directories(sightline_torch PRIVATE src)
  target_link_libraries(sightline_torch PRIVATE sightline ${CMAKE_DL_LIBS})
  sightline_warnings(sightline_torch)
  set(exports ${CMAKE_CURRENT_SOURCE_DIR}/src/torch/exports.map)
  # Without version links, as it is opened by this very name. libtorch keeps pointers into it, so it
  # stays loaded. libsightline lies beside it, in the build tree and installed.
  set_target_properties(sightline_torch PROPERTIES LINK_DEPENDS ${exports}
    BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN")
  target_link_options(sightline_torch PRIVATE -Wl,--no-undefined -Wl,-z,relro,-z,now
                                              -Wl,-z,nodelete -Wl,--version-script=${exports})
  # The Python package finds the library beside itself.
  file(GLOB modules RELATIVE ${CMAKE_CURRENT_SOURCE_DIR}/python CONFIGURE_DEPENDS python/sightline/*.py)
  foreach(module ${modules})
    configure_file(python/${module} ${PROJECT_BINARY_DIR}/${module} COPYONLY)
  endforeach()
  if(SIGHTLINE_INSTALL)
    install(DIRECTORY python/sightline DESTINATION ${CMAKE_INSTALL_LIBDIR} FILES_MATCHING PATTERN "*.py")
  endif()
endif()
