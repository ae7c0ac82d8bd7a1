# Flags that every target shares, and the per-level compilation of the CPU loops.
add_library(mbt_flags INTERFACE)
target_link_libraries(mbt_flags INTERFACE fmt::fmt)  # messages: core/base/error.h
# mbt_compile_options(options...): for C++ sources alone; nvcc does not know most of g++'s.
function(mbt_compile_options)
  target_compile_options(mbt_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${ARGN}>")
endfunction()
# No contraction: a*b+c rounds twice on every machine, so that quantized codes are the same bits everywhere.
mbt_compile_options(-Wall -Wextra -Werror=missing-field-initializers -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  mbt_compile_options(-fpch-preprocess)  # without it ccache cannot keep objects that use a precompiled header
endif()
if(CMAKE_CXX_COMPILER_LAUNCHER MATCHES "(^|/)ccache$")  # nor without these, which its manual asks for
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # Clang counts fields with default initializers as missing; check() rejects an empty view at run time instead.
  mbt_compile_options(-Wno-missing-field-initializers)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False alarms inside std::string assignment and concatenation (GCC bugs 105329, 105651).
  mbt_compile_options(-Wno-restrict -Wno-stringop-overflow -Wno-array-bounds)
endif()
if(MBT_WERROR)
  mbt_compile_options(-Werror)
endif()
if(MBT_SANITIZE)
  # -g1: a report names functions and lines; all of -g doubles what is written and linked.
  mbt_compile_options(-fsanitize=${MBT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -O1 -g1)
  target_link_options(mbt_flags INTERFACE -fsanitize=${MBT_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Instrumented code hides initializations from this warning (GCC's manual names it): <regex> alone sets it off.
    mbt_compile_options(-Wno-maybe-uninitialized)
  endif()
endif()
if(MBT_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "MBT_FUZZ=ON needs clang, which brings libFuzzer: configure with -DCMAKE_CXX_COMPILER=clang++")
  endif()
  mbt_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  target_link_options(mbt_flags INTERFACE -fsanitize=address,undefined)
endif()

# How hard the compiler tries, in a Release build: -O3 (CMake's default) only where loops over tensors are, in kernels. The rest of the program
# waits for those, for files or for the user: -O2 where it touches every token or byte, -O1 elsewhere, which saves about a
# fifth of the compiler's time there. mbt_optimize(level target), mbt_optimize_sources(level sources...).
function(mbt_optimize level target)
  target_compile_options(${target} PRIVATE $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:CXX>>:-O${level}>)
endfunction()

# mbt_add_levels(target sources...): compiles the sources once per x86-64 level (namespaces v2, v3, v4; kernels/cpu/level.h chooses at run
# time), once as `generic` elsewhere.
function(mbt_add_levels target)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set(levels v2 v3 v4)
  else()
    set(levels generic)
  endif()
  foreach(level IN LISTS levels)
    add_library(${target}_${level} OBJECT ${ARGN})
    target_include_directories(${target}_${level} PRIVATE ${CMAKE_SOURCE_DIR})
    target_link_libraries(${target}_${level} PRIVATE mbt_flags OpenMP::OpenMP_CXX)
    target_compile_definitions(${target}_${level} PRIVATE MBT_LEVEL=${level})
    target_compile_options(${target}_${level} PRIVATE -O3 -fopenmp-simd -fno-math-errno -fno-trapping-math)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
      # Clang 14 warns where it leaves an `omp simd` loop scalar: slower than g++'s, not wrong.
      target_compile_options(${target}_${level} PRIVATE -Wno-pass-failed)
    endif()
    if(NOT level STREQUAL "generic")
      target_compile_options(${target}_${level} PRIVATE -march=x86-64-${level})
    endif()
    if(level STREQUAL "v4")
      target_compile_options(${target}_${level} PRIVATE -mprefer-vector-width=512)
    endif()
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_${level}>)
  endforeach()
endfunction()
