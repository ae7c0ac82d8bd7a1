# The git commit of the sources, in a small source of its own that is made again only when the commit, or whether files differ from it, has
# changed. So a build compiles nothing else for it, and ccache sees the same bytes in all other sources.
#
# include(cmake/commit.cmake): mbt_add_commit(target out.cpp) links the target with `extern const char* const mbt::git_commit`: "abc1234",
# "abc1234-dirty", or "unknown" where there is no git or no clone. With -P, at each build: -Dsource=FOLDER -Dout=FILE.cpp.
if(CMAKE_SCRIPT_MODE_FILE)
  set(commit unknown)
  find_program(git git)
  if(git AND EXISTS ${source}/.git)  # an archive that is unpacked inside another repository has nothing to do with that one's commit
    execute_process(COMMAND ${git} -C ${source} rev-parse --short=7 HEAD OUTPUT_VARIABLE hash OUTPUT_STRIP_TRAILING_WHITESPACE
                    RESULT_VARIABLE failed ERROR_QUIET)
    # Without locks: someone may be committing. Files that git does not know are not part of the tree.
    execute_process(COMMAND ${git} --no-optional-locks -C ${source} status --porcelain --untracked-files=no OUTPUT_VARIABLE changes ERROR_QUIET)
    if(failed EQUAL 0)
      set(commit ${hash})
      if(changes)
        string(APPEND commit -dirty)
      endif()
    endif()
  endif()
  file(CONFIGURE OUTPUT ${out} CONTENT "// Made by cmake/commit.cmake.
namespace mbt {
extern const char* const git_commit;
const char* const git_commit = \"${commit}\";
}  // namespace mbt
" @ONLY)  # writes nothing where this is what the file holds
  return()
endif()

set(mbt_commit_script ${CMAKE_CURRENT_LIST_FILE})
function(mbt_add_commit target out)
  add_custom_target(mbt_commit COMMAND ${CMAKE_COMMAND} -Dsource=${CMAKE_SOURCE_DIR} -Dout=${out} -P ${mbt_commit_script} BYPRODUCTS ${out}
                    COMMENT "Looking at the git commit" VERBATIM)
  add_dependencies(${target} mbt_commit)
  target_sources(${target} PRIVATE ${out})
  set_source_files_properties(${out} PROPERTIES GENERATED ON SKIP_PRECOMPILE_HEADERS ON)
endfunction()
