# Installs into a fresh prefix and uses what lies there as a stranger would.
#   cmake -DBUILD=<build tree> -DEXAMPLES=<source folder> -DWORK=<scratch> -DCC=<compiler>
#         -DCOMPONENTS=<list> -DWAY=find_package|pkg-config|libtorch -P package.cmake
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
  foreach(component cuda torch nonsense)
    file(WRITE ${WORK}/${component}/CMakeLists.txt
      "cmake_minimum_required(VERSION 3.20)\nproject(component LANGUAGES C)\n"
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
elseif(WAY STREQUAL "libtorch")
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/torch_hpp -B ${WORK}/build
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
  message(FATAL_ERROR "WAY=${WAY}, expected find_package, pkg-config or libtorch")
endif()
