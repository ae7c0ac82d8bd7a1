# mbt_embed_text(out.cpp symbol file): a C++ file with `extern const char* const mbt::symbol`, the text of `file`.
# Re-made when the text changes. Split into chunks: compilers limit the length of one literal.
function(mbt_embed_text out symbol file)
  set(path ${CMAKE_SOURCE_DIR}/${file})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
  file(READ ${path} content)
  string(REPLACE "\n" ")mbt\" \"\\n\"\n  R\"mbt(" body "${content}")
  file(CONFIGURE OUTPUT ${out} CONTENT "// Made from ${file} by cmake/embed.cmake.
namespace mbt {
extern const char* const ${symbol};
const char* const ${symbol} = R\"mbt(@body@)mbt\";
}  // namespace mbt
" @ONLY)
endfunction()

# mbt_embed_files(out.cpp symbol files...): `extern const std::vector<std::pair<const char*, const char*>> mbt::symbol`, of each file its name
# without folder and .json, and its text.
function(mbt_embed_files out symbol)
  set(rows "")
  foreach(path IN LISTS ARGN)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    get_filename_component(file ${path} NAME)
    string(REGEX REPLACE "[.]json$" "" name ${file})
    file(READ ${path} content)
    string(APPEND rows "    {\"${name}\", R\"mbt(${content})mbt\"},\n")
  endforeach()
  file(CONFIGURE OUTPUT ${out} CONTENT "// Made by cmake/embed.cmake.
#include <utility>
#include <vector>
namespace mbt {
extern const std::vector<std::pair<const char*, const char*>> ${symbol};
const std::vector<std::pair<const char*, const char*>> ${symbol} = {
@rows@};
}  // namespace mbt
" @ONLY)
endfunction()
