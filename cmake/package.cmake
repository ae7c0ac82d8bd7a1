# `cmake --install` and `cpack -G TGZ`: a folder that runs wherever it is unpacked. Beside the program lie the shared libraries that it was
# linked with, except glibc (it belongs to the machine's kernel and loader, and newer ones run older programs) and CUDA's (the driver's is
# the machine's, cuBLASLt is loaded only when a GPU is used; cudart is linked statically). scripts/check_package.sh proves it.
include(GNUInstallDirs)
# Old-style RPATH, not RUNPATH: it also holds for what the libraries need in their turn (libdnnl -> libgomp, libspdlog -> libfmt).
set_target_properties(mbtrain PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
target_link_options(mbtrain PRIVATE LINKER:--disable-new-dtags)
install(TARGETS mbtrain RUNTIME_DEPENDENCY_SET mbt_libraries RUNTIME)
install(RUNTIME_DEPENDENCY_SET mbt_libraries
        PRE_EXCLUDE_REGEXES "^ld-linux" "^linux-vdso" "^lib(c|m|dl|rt|pthread|resolv|util)\\.so\\." "^lib(cuda|cudart|cublas|cublasLt|nvidia-ml|nccl)\\.so"
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(MBT_HAVE_MPI)  # without MPI's own libraries: those must be the launcher's
  install(TARGETS mbtrain_mpi LIBRARY DESTINATION lib/mbtrain)
endif()
install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/mbtrain FILES_MATCHING PATTERN "*.json")
install(FILES recipes.json DESTINATION ${CMAKE_INSTALL_DATADIR}/mbtrain)
install(CODE "set(source [[${CMAKE_SOURCE_DIR}]])
set(work [[${CMAKE_BINARY_DIR}/package_docs]])
set(destination [[${CMAKE_INSTALL_DATADIR}/mbtrain]])")
install(SCRIPT ${CMAKE_SOURCE_DIR}/cmake/package_docs.cmake)
install(CODE "set(program [[$<TARGET_FILE:mbtrain>]])
set(printed [[${CMAKE_BINARY_DIR}/package_printed]])
set(data [[${CMAKE_INSTALL_DATADIR}]])
set(man [[${CMAKE_INSTALL_MANDIR}]])")
install(SCRIPT ${CMAKE_SOURCE_DIR}/cmake/package_printed.cmake)

set(CPACK_GENERATOR TGZ)
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR})  # wherever cpack is called from; its -B wins
set(CPACK_PACKAGE_NAME mbtrain)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_STRIP_FILES ON)
if(MBT_HAVE_CUDA)
  string(REPLACE ";" "-" variant "cuda${CUDAToolkit_VERSION_MAJOR}-sm${CMAKE_CUDA_ARCHITECTURES}")
else()
  set(variant cpu)
endif()
set(CPACK_PACKAGE_FILE_NAME mbtrain-${PROJECT_VERSION}-linux-${CMAKE_SYSTEM_PROCESSOR}-${variant})
include(CPack)
