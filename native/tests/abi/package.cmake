# Installs into a fresh prefix and uses what lies there as a stranger would.
#   cmake -DBUILD=<build tree> -DEXAMPLES=<source folder> -DWORK=<scratch> -DCC=<compiler>
#         -DCOMPONENTS=<list> -DNM=<nm> -DSOURCE=<the repository>
#         -DWAY=find_package|pkg-config|static|subproject|libtorch -P package.cmake
cmake_minimum_required(VERSION 3.20)
set(prefix ${WORK}/prefix)
set(source ${WORK}/source)
file(REMOVE_RECURSE ${WORK})
file(COPY ${EXAMPLES}/ DESTINATION ${source})  # nothing of our tree is beside it

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE result OUTPUT_VARIABLE output
                  ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "${command}\nended with ${result}:\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/staged)
file(RENAME ${WORK}/staged ${prefix})  # the package must not know where it was installed

set(flags "-std=c11 -Wall -Wextra -Wpedantic -Werror")
if(WAY STREQUAL "find_package")
  run(${CMAKE_COMMAND} -S ${source} -B ${WORK}/build -DCMAKE_PREFIX_PATH=${prefix}
      -DCMAKE_C_COMPILER=${CC} -DCMAKE_C_FLAGS=${flags})
  run(${CMAKE_COMMAND} --build ${WORK}/build)
  run(${WORK}/build/align)
  message(STATUS "${output}")

  # Components: there where they were built, refused by name where they were not.
  foreach(component static cuda torch nonsense)
    set(languages C)
    if(component STREQUAL "static")
      set(languages "C CXX")
    endif()
    file(WRITE ${WORK}/${component}/CMakeLists.txt
      "cmake_minimum_required(VERSION 3.20)\nproject(component LANGUAGES ${languages})\n"
      "find_package(Sightline 0.1 REQUIRED COMPONENTS ${component})\n"
      "get_target_property(file Sightline::${component} IMPORTED_LOCATION_RELEASE)\n"
      "if(NOT EXISTS \"\${file}\")\n  message(FATAL_ERROR \"no file \${file}\")\nendif()\n")
    execute_process(COMMAND ${CMAKE_COMMAND} -S ${WORK}/${component} -B ${WORK}/${component}/build
                            -DCMAKE_PREFIX_PATH=${prefix} -DCMAKE_C_COMPILER=${CC}
                    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(component IN_LIST COMPONENTS)
      if(NOT result EQUAL 0)
        message(FATAL_ERROR "component ${component}:\n${output}")
      endif()
    elseif(result EQUAL 0 OR NOT output MATCHES "component ${component}[ \n]+is not[ \n]+installed")
      message(FATAL_ERROR "component ${component} is not refused:\n${output}")
    endif()
  endforeach()
  file(WRITE ${WORK}/plain/CMakeLists.txt
    "cmake_minimum_required(VERSION 3.20)\nproject(plain LANGUAGES C)\n"
    "find_package(Sightline 0.1 REQUIRED COMPONENTS static)\n")
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${WORK}/plain -B ${WORK}/plain/build
                          -DCMAKE_PREFIX_PATH=${prefix} -DCMAKE_C_COMPILER=${CC}
                  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(result EQUAL 0 OR NOT output MATCHES "static needs[ \n]+project")
    message(FATAL_ERROR "component static in a project of C alone:\n${output}")
  endif()

  # Everything a user includes, of the version that the package says it has.
  file(GLOB_RECURSE headers RELATIVE ${SOURCE}/native/include ${SOURCE}/native/include/*)
  file(GLOB_RECURSE installed RELATIVE ${prefix}/include ${prefix}/include/*)
  if(NOT installed STREQUAL headers)
    message(FATAL_ERROR "installed headers ${installed}, expected ${headers}")
  endif()
  file(STRINGS ${prefix}/include/sightline/sightline.h numbers
       REGEX "^#define SL_VERSION_(MAJOR|MINOR|PATCH) ")
  list(TRANSFORM numbers REPLACE "[^0-9]" "")
  list(JOIN numbers "." found)
  if(NOT found STREQUAL VERSION)
    message(FATAL_ERROR "sightline.h has version ${found}, expected ${VERSION}")
  endif()
  # The Python package finds the operators beside itself.
  file(GLOB beside RELATIVE ${prefix}/lib ${prefix}/lib*/libsightline_torch.so
       ${prefix}/lib*/sightline/__init__.py)
  list(LENGTH beside count)
  if("torch" IN_LIST COMPONENTS AND NOT count EQUAL 2)
    message(FATAL_ERROR "expected libsightline_torch.so and sightline/__init__.py, found: ${beside}")
  endif()

  # Another minor version is another interface.
  string(REGEX MATCH "^([0-9]+)[.]([0-9]+)" found "${VERSION}")
  math(EXPR after "${CMAKE_MATCH_2} + 1")
  set(others ${CMAKE_MATCH_1}.${after})
  if(CMAKE_MATCH_2 GREATER 0)
    math(EXPR before "${CMAKE_MATCH_2} - 1")
    list(APPEND others ${CMAKE_MATCH_1}.${before})
  endif()
  list(JOIN others " " others)
  file(WRITE ${WORK}/versions/CMakeLists.txt
    "cmake_minimum_required(VERSION 3.20)\nproject(versions LANGUAGES NONE)\n"
    "foreach(version ${others})\n  find_package(Sightline \${version} QUIET)\n"
    "  if(Sightline_FOUND)\n    message(FATAL_ERROR \"found as \${version}\")\n  endif()\n"
    "endforeach()\n")
  run(${CMAKE_COMMAND} -S ${WORK}/versions -B ${WORK}/versions/build -DCMAKE_PREFIX_PATH=${prefix})

  # The file that programs ask for at run time: before 1.0 a minor version may break them.
  string(REGEX REPLACE "^(0[.][0-9]+|[1-9][0-9]*).*" "\\1" soversion "${VERSION}")
  find_program(readelf readelf)
  if(readelf)
    file(GLOB library ${prefix}/*/libsightline.so)
    run(${readelf} -d ${library})
    if(NOT output MATCHES "SONAME[^\n]*\\[libsightline.so.${soversion}\\]")
      message(FATAL_ERROR "expected soname libsightline.so.${soversion}:\n${output}")
    endif()
  endif()
elseif(WAY STREQUAL "pkg-config")
  find_program(pkg_config pkg-config)
  if(NOT pkg_config)
    message(STATUS "SKIPPED: no pkg-config here")
    return()
  endif()
  file(GLOB_RECURSE pc ${prefix}/*/sightline.pc)
  get_filename_component(folder ${pc} DIRECTORY)
  set(ENV{PKG_CONFIG_PATH} ${folder})
  run(${pkg_config} --cflags --libs sightline)
  separate_arguments(arguments UNIX_COMMAND "${flags} ${source}/align.c ${output}")
  run(${pkg_config} --variable=libdir sightline)
  string(STRIP "${output}" libdir)
  run(${CC} ${arguments} -lm -Wl,-rpath,${libdir} -o ${WORK}/align)
  run(${WORK}/align)
  message(STATUS "${output}")
  run(${pkg_config} --modversion sightline)
  string(STRIP "${output}" version)
  if(NOT version STREQUAL VERSION)
    message(FATAL_ERROR "sightline.pc has version ${version}, expected ${VERSION}")
  endif()
elseif(WAY STREQUAL "static")
  # One program, and one library of a user's: neither needs libsightline.so, and the library shows
  # nothing of ours but what the header declares.
  file(WRITE ${WORK}/user/CMakeLists.txt
    "cmake_minimum_required(VERSION 3.20)\nproject(user LANGUAGES C CXX)\n"
    "find_package(Sightline 0.1 REQUIRED COMPONENTS static)\n"
    "add_executable(align ${source}/align.c)\n"
    "target_link_libraries(align PRIVATE Sightline::static m)\n"
    "add_library(wrapper SHARED wrapper.c)\n"
    "target_link_libraries(wrapper PRIVATE Sightline::static)\n")
  file(WRITE ${WORK}/user/wrapper.c
    "#include <sightline/sightline.h>\n"
    "const char* wrapped(void);\nconst char* wrapped(void) { return sl_version(); }\n"
    "sl_status wrapped_loss(const sl_alignment*);\n"
    "sl_status wrapped_loss(const sl_alignment* a) { return sl_alignment_loss(a, 0, 0); }\n")
  run(${CMAKE_COMMAND} -S ${WORK}/user -B ${WORK}/build -DCMAKE_PREFIX_PATH=${prefix}
      -DCMAKE_C_COMPILER=${CC} -DCMAKE_C_FLAGS=${flags})
  run(${CMAKE_COMMAND} --build ${WORK}/build)
  file(GLOB shared ${prefix}/*/libsightline.so*)
  file(REMOVE ${shared})
  run(${WORK}/build/align)
  message(STATUS "${output}")
  run(${NM} -D --defined-only ${WORK}/build/libwrapper.so)
  string(REGEX MATCHALL "[^\n]+" lines "${output}")
  list(FILTER lines EXCLUDE REGEX " T (sl_[a-z_]+|wrapped|wrapped_loss)$")
  list(FILTER lines EXCLUDE REGEX " [uVW] _ZZ?N?K?S")  # the standard library's templates
  if(lines)
    message(FATAL_ERROR "symbols of a library that links Sightline::static:\n${lines}")
  endif()
  find_program(pkg_config pkg-config)
  if(pkg_config)
    file(GLOB_RECURSE pc ${prefix}/*/sightline.pc)
    get_filename_component(folder ${pc} DIRECTORY)
    set(ENV{PKG_CONFIG_PATH} ${folder})
    run(${pkg_config} --static --cflags --libs sightline)
    separate_arguments(arguments UNIX_COMMAND "${flags} ${source}/align.c ${output}")
    run(${CC} ${arguments} -o ${WORK}/align)
    run(${WORK}/align)
  endif()
elseif(WAY STREQUAL "subproject")
  # FetchContent of a checkout, which is add_subdirectory. The project's own settings stay.
  file(WRITE ${WORK}/user/CMakeLists.txt
    "cmake_minimum_required(VERSION 3.20)\nproject(user LANGUAGES C CXX)\n"
    "include(FetchContent)\nset(SIGHTLINE_CUDA OFF CACHE STRING \"\")\n"
    "FetchContent_Declare(sightline SOURCE_DIR ${SOURCE} SOURCE_SUBDIR native)\n"
    "FetchContent_MakeAvailable(sightline)\n"
    "if(CMAKE_BUILD_TYPE OR TARGET abi_layout)\n"
    "  message(FATAL_ERROR \"settings of Sightline's in its user's project\")\nendif()\n"
    "install(FILES CMakeLists.txt DESTINATION share)\n"
    "add_subdirectory(${source} align)\n")
  run(${CMAKE_COMMAND} -S ${WORK}/user -B ${WORK}/build -DCMAKE_C_COMPILER=${CC}
      -DCMAKE_CXX_FLAGS=-O1)
  run(${CMAKE_COMMAND} --build ${WORK}/build --target align --parallel 2)
  run(${WORK}/build/align/align)
  message(STATUS "${output}")
  run(${CMAKE_COMMAND} --install ${WORK}/build --prefix ${WORK}/installed)
  file(GLOB_RECURSE installed RELATIVE ${WORK}/installed ${WORK}/installed/*)
  if(NOT installed STREQUAL "share/CMakeLists.txt")
    message(FATAL_ERROR "installed with its user's project: ${installed}")
  endif()
elseif(WAY STREQUAL "libtorch")
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/../torch/hpp -B ${WORK}/build
                          -DSightline_ROOT=${prefix} -DEXAMPLE=${source}/torch
                          -DCMAKE_BUILD_TYPE=Release
                  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(output MATCHES "SKIPPED: [^\n]*")
    message(STATUS "${CMAKE_MATCH_0}")
    return()
  elseif(NOT result EQUAL 0)
    message(FATAL_ERROR "${output}")
  endif()
  run(${CMAKE_COMMAND} --build ${WORK}/build)
  foreach(program alignment_test lora_test adamw_test)
    run(${WORK}/build/${program})
    message(STATUS "${program}\n${output}")
  endforeach()
  run(${WORK}/build/align_torch)
  string(REGEX MATCHALL "loss [^\n]+" losses "${output}")
  list(TRANSFORM losses REPLACE "loss " "")
  list(POP_FRONT losses first)
  list(POP_BACK losses last)
  message(STATUS "loss ${first} to ${last}")
  if(NOT last LESS first)
    message(FATAL_ERROR "the loss of align_torch does not fall:\n${output}")
  endif()
else()
  message(FATAL_ERROR "WAY=${WAY}, expected find_package, pkg-config, static, subproject or libtorch")
endif()
