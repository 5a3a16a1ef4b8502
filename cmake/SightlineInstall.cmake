# cmake --install: libraries, header, SightlineConfig.cmake and sightline.pc. All paths are relative
# to where the files lie, so the prefix can be moved.
include(CMakePackageConfigHelpers)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/Sightline)
set(targets sightline)
foreach(component static cuda torch)
  if(TARGET sightline_${component})
    list(APPEND targets sightline_${component})
    set_target_properties(sightline_${component} PROPERTIES EXPORT_NAME ${component})
  endif()
endforeach()
install(TARGETS ${targets} EXPORT SightlineTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY include/sightline DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT SightlineTargets NAMESPACE Sightline:: DESTINATION ${package_folder})

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/SightlineConfig.cmake.in
  ${PROJECT_BINARY_DIR}/SightlineConfig.cmake INSTALL_DESTINATION ${package_folder})
# Before 1.0 a minor version may break its users.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/SightlineConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
file(RELATIVE_PATH SIGHTLINE_PC_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" SIGHTLINE_PC_PREFIX "${SIGHTLINE_PC_PREFIX}")
# What the archive needs of the compiler, for programs that a C compiler links.
set(SIGHTLINE_PC_PRIVATE "-lstdc++ -lm ${OpenMP_CXX_FLAGS}")
foreach(library IN LISTS CMAKE_DL_LIBS)
  string(APPEND SIGHTLINE_PC_PRIVATE " -l${library}")
endforeach()
configure_file(${CMAKE_CURRENT_LIST_DIR}/sightline.pc.in ${PROJECT_BINARY_DIR}/sightline.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/SightlineConfig.cmake
              ${PROJECT_BINARY_DIR}/SightlineConfigVersion.cmake DESTINATION ${package_folder})
install(FILES ${PROJECT_BINARY_DIR}/sightline.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
