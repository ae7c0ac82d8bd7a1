# What the build uses. Each MBT_<PART> is AUTO (use it when found), ON (fail when missing) or OFF.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
list(APPEND CMAKE_MODULE_PATH ${CMAKE_CURRENT_LIST_DIR})
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Debug or RelWithDebInfo" FORCE)
endif()

option(MBT_WERROR "Warnings are errors" OFF)
option(MBT_FUZZ "Build the fuzz targets of tests/fuzz; needs clang" OFF)
set(MBT_SANITIZE "" CACHE STRING "address, undefined, thread or a comma list of them")

function(mbt_part name doc)
  set(MBT_${name} AUTO CACHE STRING "${doc}: AUTO, ON or OFF")
  set_property(CACHE MBT_${name} PROPERTY STRINGS AUTO ON OFF)
endfunction()

# Not a part of the program, so doctor does not list it. `cmake --build build --target mbtrain` builds the program alone.
mbt_part(TESTS "The tests, which need Catch2")
set(MBT_HAVE_TESTS FALSE)
if(MBT_TESTS STREQUAL "AUTO")
  find_package(Catch2 QUIET)
  set(MBT_HAVE_TESTS ${Catch2_FOUND})
elseif(MBT_TESTS)
  set(MBT_HAVE_TESTS TRUE)  # tests/CMakeLists.txt says what is missing
endif()

# mbt_report(NAME found "what" "what is lost without it"): one status line, or an error when ON and missing; `mbtrain doctor` shows it too.
function(mbt_report name found what lost)
  if(found)
    set(said "using ${what}")
  elseif(MBT_${name} STREQUAL "ON")
    message(FATAL_ERROR "MBT_${name}=ON, but it was not found. Install it (scripts/setup.sh does) or configure with -DMBT_${name}=OFF")
  elseif(MBT_${name} STREQUAL "OFF")
    set(said "off; ${lost}")
  else()
    set(said "not found; ${lost}")
  endif()
  message(STATUS "MBT_${name}: ${said}")
  if(found)
    set(is_built_in true)
  else()
    set(is_built_in false)
  endif()
  set_property(GLOBAL APPEND_STRING PROPERTY mbt_build_parts "      {\"MBT_${name}\", ${is_built_in}, \"${said}\"},\n")
endfunction()

# mbt_write_build_parts(out.cpp): what was reported, for core/base/build_parts.h.
function(mbt_write_build_parts out)
  get_property(rows GLOBAL PROPERTY mbt_build_parts)
  file(CONFIGURE OUTPUT ${out} CONTENT "// Made by cmake/options.cmake.
#include \"core/base/build_parts.h\"
namespace mbt {
const std::vector<BuildPart>& build_parts() {
  static const std::vector<BuildPart> parts = {
${rows}  };
  return parts;
}
}  // namespace mbt
" @ONLY)
endfunction()

# Always needed: three header-only libraries, threads.
find_package(Threads REQUIRED)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(CLI11 REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(OpenMP COMPONENTS CXX)
if(NOT OpenMP_CXX_FOUND)
  add_library(OpenMP::OpenMP_CXX INTERFACE IMPORTED)
endif()
mbt_report(OPENMP "${OpenMP_CXX_FOUND}" "OpenMP ${OpenMP_CXX_VERSION}" "the CPU backend runs on one thread")

mbt_part(ONEDNN "oneDNN GEMM on the CPU")
set(MBT_HAVE_ONEDNN FALSE)
if(NOT MBT_ONEDNN STREQUAL "OFF")
  find_package(OneDNN QUIET)
  set(MBT_HAVE_ONEDNN ${OneDNN_FOUND})
endif()
mbt_report(ONEDNN ${MBT_HAVE_ONEDNN} "oneDNN ${OneDNN_VERSION}" "the CPU backend multiplies in its own fp32 loops, about 0.7 of the speed, and leaves bf16 units idle")

# mbt_find_by_pkg_config(NAME module): MBT_HAVE_<NAME>, and the target PkgConfig::MBT_<NAME>_LIBRARY.
find_package(PkgConfig QUIET)
function(mbt_find_by_pkg_config name module)
  set(MBT_HAVE_${name} FALSE PARENT_SCOPE)
  if(PkgConfig_FOUND AND NOT MBT_${name} STREQUAL "OFF")
    pkg_check_modules(MBT_${name}_LIBRARY QUIET IMPORTED_TARGET GLOBAL ${module})
    if(MBT_${name}_LIBRARY_FOUND)
      set(MBT_HAVE_${name} TRUE PARENT_SCOPE)
      set(MBT_${name}_VERSION ${MBT_${name}_LIBRARY_VERSION} PARENT_SCOPE)
    endif()
  endif()
endfunction()

mbt_part(UTF8PROC "Unicode's normal forms, for tokenizers")
mbt_find_by_pkg_config(UTF8PROC libutf8proc)
mbt_report(UTF8PROC ${MBT_HAVE_UTF8PROC} "utf8proc ${MBT_UTF8PROC_VERSION}" "tokenizers that normalize texts (NFC, as Qwen's) are refused")

mbt_part(SENTENCEPIECE "SentencePiece tokenizers")
mbt_find_by_pkg_config(SENTENCEPIECE sentencepiece)
mbt_report(SENTENCEPIECE ${MBT_HAVE_SENTENCEPIECE} "SentencePiece ${MBT_SENTENCEPIECE_VERSION}" "tokenizer.model files (Llama 2, Mistral) are refused")

mbt_part(CUDA "CUDA backend")
set(MBT_HAVE_CUDA FALSE)
if(NOT MBT_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES 90a CACHE STRING "GPUs to build for: 80, 89, 90a, 100a, 120a")
    endif()
    enable_language(CUDA)
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc 13 has C++20
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    endif()
    set(CMAKE_CUDA_STANDARD 20)
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    find_package(CUDAToolkit 12 QUIET)
    # cublasLt.h alone: the library is loaded when a GPU is used (kernels/cuda/gemm/cublaslt_library.cpp).
    find_file(MBT_CUBLASLT_HEADER cublasLt.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
    mark_as_advanced(MBT_CUBLASLT_HEADER)
    if(CUDAToolkit_FOUND AND MBT_CUBLASLT_HEADER)
      set(MBT_HAVE_CUDA TRUE)
    endif()
  endif()
endif()
mbt_report(CUDA ${MBT_HAVE_CUDA} "CUDA ${CUDAToolkit_VERSION} with cuBLASLt, for ${CMAKE_CUDA_ARCHITECTURES}" "built for the CPU alone")

# Header-only: the profiler that starts the program brings what the ranges go to.
mbt_part(NVTX "Named ranges in profiles of a GPU")
set(MBT_HAVE_NVTX FALSE)
if(MBT_HAVE_CUDA)
  find_path(MBT_NVTX_INCLUDE nvtx3/nvToolsExt.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  mark_as_advanced(MBT_NVTX_INCLUDE)
  if(MBT_NVTX_INCLUDE AND NOT MBT_NVTX STREQUAL "OFF")
    set(MBT_HAVE_NVTX TRUE)
  endif()
  mbt_report(NVTX ${MBT_HAVE_NVTX} "nvtx3/nvToolsExt.h" "profiles of a GPU show kernels without the names of steps and layers")
endif()

mbt_part(MPI "Several ranks, started by mpirun or srun")
set(MBT_HAVE_MPI FALSE)
if(NOT MBT_MPI STREQUAL "OFF")
  set(MPI_CXX_SKIP_MPICXX TRUE)
  find_package(MPI QUIET COMPONENTS CXX)
  set(MBT_HAVE_MPI ${MPI_CXX_FOUND})
endif()
mbt_report(MPI ${MBT_HAVE_MPI} "MPI ${MPI_CXX_VERSION} (${MPI_CXX_LIBRARIES})" "trains in one process alone")

# nccl.h alone: the library is loaded when ranks connect (kernels/cuda/nccl/nccl_library.cpp).
mbt_part(NCCL "Several GPUs, one rank each")
set(MBT_HAVE_NCCL FALSE)
if(MBT_HAVE_CUDA)
  if(NOT MBT_NCCL STREQUAL "OFF")
    find_path(MBT_NCCL_INCLUDE nccl.h HINTS ENV NCCL_HOME ENV CPATH ${CUDAToolkit_INCLUDE_DIRS} PATH_SUFFIXES include)
    mark_as_advanced(MBT_NCCL_INCLUDE)
    if(MBT_NCCL_INCLUDE)
      set(MBT_HAVE_NCCL TRUE)
      file(STRINGS ${MBT_NCCL_INCLUDE}/nccl.h version REGEX "^#define NCCL_(MAJOR|MINOR|PATCH) ")
      string(REGEX REPLACE "[^0-9;]" "" version "${version}")
      string(REPLACE ";" "." MBT_NCCL_VERSION "${version}")
    endif()
  endif()
  mbt_report(NCCL ${MBT_HAVE_NCCL} "NCCL ${MBT_NCCL_VERSION}'s nccl.h" "a run uses one GPU")
elseif(MBT_NCCL STREQUAL "ON")
  message(FATAL_ERROR "MBT_NCCL=ON needs the CUDA backend: configure with -DMBT_CUDA=ON, or with -DMBT_NCCL=OFF")
else()
  mbt_report(NCCL FALSE "" "without CUDA it has no use")
endif()
