// Finds and opens libsoftcann_kernels.so, at the first operator call.
#include <dlfcn.h>

#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>

#include "softcann/core/error.h"
#include "softcann/ops/kernels.h"

namespace softcann::ops {
namespace {

constexpr const char* kLibrary = "libsoftcann_kernels.so";

std::string spell(uint64_t version) { return std::to_string(version >> 56) + '.' + std::to_string(version >> 48 & 0xff); }

bool same_minor(uint64_t a, uint64_t b) { return a >> 48 == b >> 48; }

std::string other_torch(uint64_t found) {
  return std::string("softcann computes with the kernels of torch " + spell(SOFTCANN_TORCH_VERSION) +
                     ", but this process has torch ") +
         spell(found) + "; install torch " + spell(SOFTCANN_TORCH_VERSION) + " or the torch_npu built for torch " + spell(found);
}

uint64_t version_of(void* torch) {
  const auto version = reinterpret_cast<uint64_t (*)()>(dlsym(torch, "aoti_torch_abi_version"));
  return version == nullptr ? 0 : version();
}

// The library next to this one; where that is a link (the tree of an older release), what it names: torch is found from there.
std::string kernels_file() {
  Dl_info info{};
  dladdr(reinterpret_cast<void*>(&kernels_file), &info);
  const std::string path = info.dli_fname == nullptr ? "" : info.dli_fname;
  const std::string beside = path.substr(0, path.rfind('/') + 1) + kLibrary;
  const std::unique_ptr<char, void (*)(void*)> real(realpath(beside.c_str(), nullptr), std::free);
  return real != nullptr ? real.get() : beside;
}

struct Library {
  const Kernels* kernels = nullptr;
  std::string problem;

  Library() {
    // A torch that is in the process already decides; it is looked at first, since with another one the library below
    // would at best fail to load with the name of some symbol.
    if (void* torch = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD)) {
      const uint64_t found = version_of(torch);
      dlclose(torch);
      if (found != 0 && !same_minor(found, SOFTCANN_TORCH_VERSION)) {
        problem = other_torch(found);
        return;
      }
    }
    void* library = dlopen(kernels_file().c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      const char* why = dlerror();
      problem = std::string("softcann cannot load ") + kLibrary + ", which needs torch " + spell(SOFTCANN_TORCH_VERSION) +
                " (libtorch_cpu.so next to it, in the process or on LD_LIBRARY_PATH): " + (why == nullptr ? "?" : why);
      return;
    }
    const uint64_t found = version_of(library);
    if (found != 0 && !same_minor(found, SOFTCANN_TORCH_VERSION)) {  // old ones do not tell
      problem = other_torch(found);
      return;
    }
    const auto get = reinterpret_cast<KernelsFunction>(dlsym(library, kKernelsSymbol));
    if (get == nullptr || get()->torch_version != SOFTCANN_TORCH_VERSION) {
      problem = std::string(kLibrary) + " and libopapi.so are not of one build; install torch_npu again";
      return;
    }
    kernels = get();
  }
};

}  // namespace

const Kernels* kernels() {
  static const auto* library = new Library;
  if (library->kernels == nullptr) fail(ACLNN_ERR_INNER_OPP_KERNEL_PKG_NOT_FOUND, "%s", library->problem.c_str());
  return library->kernels;
}

}  // namespace softcann::ops
