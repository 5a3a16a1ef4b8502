# An ISA object file must define no symbol that the linker could merge into code for other CPUs: no
# weak (inline, template) definitions, one table. What every CPU runs has no AVX instruction.
# Run with -DNM=... -DOBJECTS=... and, where AVX is not the baseline, -DOBJDUMP=... -DBASELINE=...
foreach(object IN LISTS OBJECTS)
  execute_process(COMMAND ${NM} -C --defined-only --extern-only ${object}
                  OUTPUT_VARIABLE symbols RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "nm failed on ${object}")
  endif()
  string(REGEX REPLACE "\n$" "" symbols "${symbols}")
  if(NOT symbols MATCHES "^[0-9a-f]+ [DRB] sightline::cpu::k([A-Za-z0-9]+Kernels|Elementwise[A-Za-z0-9]+)$")
    message(FATAL_ERROR "${object} must define its kernel table and nothing else:\n${symbols}")
  endif()
endforeach()
foreach(object IN LISTS BASELINE)
  execute_process(COMMAND ${OBJDUMP} -d --no-show-raw-insn ${object}
                  OUTPUT_VARIABLE code RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "objdump failed on ${object}")
  elseif(code MATCHES "\tv[a-z0-9]+ [^\n]*")
    message(FATAL_ERROR "${object} has an instruction of AVX:\n${CMAKE_MATCH_0}")
  endif()
endforeach()
