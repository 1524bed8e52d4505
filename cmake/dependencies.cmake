# The libraries that nestvit stands on, as imported targets. Debian's come by pkg-config or their CMake packages;
# libtorch from NESTVIT_DEPS (scripts/deps).
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
pkg_check_modules(jpeg REQUIRED IMPORTED_TARGET libjpeg)
pkg_check_modules(spng REQUIRED IMPORTED_TARGET spng)
pkg_check_modules(webp REQUIRED IMPORTED_TARGET libwebp)
pkg_check_modules(cairo REQUIRED IMPORTED_TARGET cairo)
pkg_check_modules(fontconfig REQUIRED IMPORTED_TARGET fontconfig)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(curl REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(archive REQUIRED IMPORTED_TARGET libarchive)
pkg_check_modules(crypto REQUIRED IMPORTED_TARGET libcrypto)

if(NESTVIT_TRAIN)
  if(NOT EXISTS "${NESTVIT_DEPS}/torch/lib/libtorch_cpu.so")
    message(FATAL_ERROR "libtorch is not in ${NESTVIT_DEPS}/torch: run scripts/deps first, "
      "point NESTVIT_DEPS at the folder it filled, or use the preset core-only")
  endif()
  # Linked directly: the wheel's own CMake package refuses a machine without CUDA.
  add_library(c10 SHARED IMPORTED)
  set_target_properties(c10 PROPERTIES
    IMPORTED_LOCATION "${NESTVIT_DEPS}/torch/lib/libc10.so")
  add_library(torch_gomp SHARED IMPORTED)
  set_target_properties(torch_gomp PROPERTIES
    IMPORTED_LOCATION "${NESTVIT_DEPS}/torch/lib/libgomp.so.1")
  add_library(torch SHARED IMPORTED)
  set_target_properties(torch PROPERTIES
    IMPORTED_LOCATION "${NESTVIT_DEPS}/torch/lib/libtorch_cpu.so"
    INTERFACE_LINK_LIBRARIES "c10;torch_gomp"
    INTERFACE_LINK_OPTIONS "-Wl,-rpath-link,${NESTVIT_DEPS}/torch/lib"
    # With OpenMP, as the wheel was: at::parallel_for is a template that is serial without it.
    # Searched last: the wheel brings its own fmt headers, which must not hide ours.
    INTERFACE_COMPILE_OPTIONS
      "-fopenmp;SHELL:-idirafter ${NESTVIT_DEPS}/torch/include;SHELL:-idirafter ${NESTVIT_DEPS}/torch/include/torch/csrc/api/include")
endif()
