# At installation: the shells' completion and the man page, printed by the program, whose own lists are in them.
# From package.cmake: program, printed (a folder for the copies), data and man (folders below the prefix).
# print(folder file arguments...): what the program prints with these arguments, as a file below the prefix.
function(print folder file)
  set(ENV{MBTRAIN_RECIPES} "")  # the recipes of whoever builds the package are not those of its users
  execute_process(COMMAND ${program} ${ARGN} OUTPUT_FILE ${printed}/${file} ERROR_VARIABLE error RESULT_VARIABLE code)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${program} ${ARGN} failed (${code}): ${error}")
  endif()
  file(INSTALL ${printed}/${file} DESTINATION ${CMAKE_INSTALL_PREFIX}/${folder})
endfunction()

file(REMOVE_RECURSE ${printed})
file(MAKE_DIRECTORY ${printed})
print(${data}/bash-completion/completions mbtrain completion bash)
print(${data}/zsh/site-functions _mbtrain completion zsh)
print(${data}/fish/vendor_completions.d mbtrain.fish completion fish)
print(${man}/man1 mbtrain.1 man)
