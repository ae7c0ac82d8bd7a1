// A shared library that the program does not link, so that it starts on machines without it: loaded when it is first needed.
#pragma once

#include <dlfcn.h>

#include <string>

#include "core/base/error.h"

namespace mbt::cuda {

class LoadedLibrary {
 public:
  /// file: as the dynamic linker looks for it, "libnccl.so.2". For messages: its name, the remedy where it is missing, and what to think of
  /// one that lacks a function.
  LoadedLibrary(const char* file, const char* name, const std::string& remedy, std::string too_old)
      : handle_(dlopen(file, RTLD_NOW | RTLD_LOCAL)), file_(file), too_old_(std::move(too_old)) {  // never closed
    if (handle_ != nullptr) return;
    const char* const why = dlerror();
    problem_ =
        fmt::format("{} cannot be loaded ({}); {}, or name its folder in LD_LIBRARY_PATH", name, why != nullptr ? why : file, remedy);
  }

  /// Why it cannot be loaded, and what to do; empty: it is there.
  const std::string& problem() const { return problem_; }

  template <class Function>
  Function* function(const char* name) const {
    if (handle_ == nullptr) throw Error(problem_);
    void* const address = dlsym(handle_, name);
    if (address == nullptr) throw Error(fmt::format("{} has no function {}: {}", file_, name, too_old_));
    return reinterpret_cast<Function*>(address);
  }

 private:
  void* handle_;
  std::string file_, too_old_, problem_;
};

}  // namespace mbt::cuda

/// The body of a function of the library's own name that hands its arguments on: for `mbt::cuda::library()` of the file.
#define MBT_HAND_ON(name, ...)                                                           \
  {                                                                                      \
    static auto* const handed_on = mbt::cuda::library().function<decltype(name)>(#name); \
    return handed_on(__VA_ARGS__);                                                       \
  }
