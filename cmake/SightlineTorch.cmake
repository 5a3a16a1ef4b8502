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
  # The Python module finds the library beside itself.
  configure_file(python/sightline.py ${PROJECT_BINARY_DIR}/sightline.py COPYONLY)
  if(SIGHTLINE_INSTALL)
    install(FILES python/sightline.py DESTINATION ${CMAKE_INSTALL_LIBDIR})
  endif()
endif()
