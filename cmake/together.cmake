# mbt_compile_together(target sources...): the sources of one folder, up to ten, are one translation unit: their headers are parsed and their
# templates instantiated once. A build from nothing takes half the compiler's time; after an edit the neighbors are compiled again with the
# file, a few seconds. MBT_TOGETHER=OFF compiles each source alone (preset `alone`): names of two sources that clash are only found with ON,
# missing includes only with OFF.
option(MBT_TOGETHER "Compile the sources of a folder together" ON)

function(mbt_compile_together target)
  if(NOT MBT_TOGETHER)
    return()
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # It takes each source for a header of the unit, in which a class must not have a member of a type that is local to the source.
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>)
  endif()
  set(folder "")
  set(in_folder 0)
  foreach(source IN LISTS ARGN)  # file(GLOB) sorts: a folder's sources follow one another
    get_filename_component(its_folder ${source} DIRECTORY)
    if(its_folder STREQUAL folder)
      math(EXPR in_folder "${in_folder} + 1")
    else()
      set(folder ${its_folder})
      set(in_folder 0)
    endif()
    file(RELATIVE_PATH group ${CMAKE_SOURCE_DIR} ${folder})
    string(REPLACE "/" "_" group ${group})
    math(EXPR part "${in_folder} / 10")
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${group}_${part})
  endforeach()
endfunction()
