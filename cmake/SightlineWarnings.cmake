# sightline_warnings(<target>): warnings are errors.
function(sightline_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Werror)
endfunction()
