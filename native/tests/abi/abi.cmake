# The exported symbols of libsightline and the layout of its structs are those of abi.txt.
#   cmake -DNM=… -DLIBRARY=… -DLAYOUT=… -DEXPECTED=…/abi.txt -P abi.cmake
execute_process(COMMAND ${NM} -D --defined-only ${LIBRARY} OUTPUT_VARIABLE table
                COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" lines "${table}")
set(symbols)
foreach(line IN LISTS lines)
  string(REGEX REPLACE ".* ([A-Za-z]) ([^ ]+)$" "symbol \\2 \\1\n" symbol "${line}")
  list(APPEND symbols "${symbol}")
endforeach()
list(SORT symbols)
list(JOIN symbols "" symbols)
execute_process(COMMAND ${LAYOUT} OUTPUT_VARIABLE layout COMMAND_ERROR_IS_FATAL ANY)

set(found "${symbols}${layout}")
file(READ ${EXPECTED} expected)
if(NOT found STREQUAL expected)
  set(file ${CMAKE_CURRENT_BINARY_DIR}/abi.found.txt)
  file(WRITE ${file} "${found}")
  execute_process(COMMAND diff ${EXPECTED} ${file})
  message(FATAL_ERROR "The ABI is not that of ${EXPECTED}; the lines with > were found. If the "
                      "change is meant, raise the version and commit ${file} in its place.")
endif()
