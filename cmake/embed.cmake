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
