#include "cann/loader.h"

#include <dirent.h>
#include <dlfcn.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string_view>

#include "cann/cann.h"
#include "cann/version.h"

namespace torch_npu::cann {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

// Not std::filesystem, which is newer than the libstdc++ of manylinux_2_28.
bool file_exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

// "a/b/c" -> "a/b"
std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? "" : path.substr(0, std::max<size_t>(slash, 1));
}

// "a/b/c" -> "c"
std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  DIR* opened = opendir(directory.c_str());
  if (opened == nullptr) return names;
  while (const dirent* entry = readdir(opened)) names.emplace_back(entry->d_name);
  closedir(opened);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

std::string trim(std::string s) {
  s.erase(0, s.find_first_not_of(" \t\r\n"));
  s.erase(s.find_last_not_of(" \t\r\n") + 1);
  return s;
}

// What no use of a device can do without. The rest of CANN is asked for where it is used.
constexpr const char* kIndispensable[] = {
    "aclInit",           "aclrtGetDeviceCount",    "aclrtSetDevice",       "aclrtGetSocName",     "aclrtMalloc",
    "aclrtFree",         "aclrtMallocHost",        "aclrtFreeHost",        "aclrtMemcpy",         "aclrtMemcpyAsync",
    "aclrtCreateStream", "aclrtSynchronizeStream", "aclrtSynchronizeDevice", "aclrtRecordEvent",  "aclrtStreamWaitEvent",
    "aclrtDestroyEvent", "aclrtQueryEventStatus",  "aclrtSynchronizeEvent", "aclrtGetMemInfo",
};

struct Handle {
  void* handle = nullptr;
  LibraryState state;
};

// Never closed: threads and exit handlers of CANN's libraries outlive every user of them.
Handle open_file(const std::string& name, const std::string& file) {
  Handle h;
  h.state.name = name;
  h.handle = dlopen(file.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (h.handle == nullptr) {
    const char* why = dlerror();
    h.state.error = why != nullptr ? why : "unknown reason";
    return h;
  }
  link_map* map = nullptr;
  h.state.path = dlinfo(h.handle, RTLD_DI_LINKMAP, &map) == 0 && map->l_name[0] != '\0' ? map->l_name : file;
  return h;
}

// CANN and its driver spread over directories: the tree first, then wherever the loader looks.
Handle open_library(const std::string& home, const std::string& name) {
  if (home.empty()) return open_file(name, name);
  const std::string file = home + "/lib64/" + name;
  if (file_exists(file)) return open_file(name, file);
  Handle h = open_file(name, name);
  if (h.handle == nullptr && h.state.error.rfind(name + ": cannot open shared object file", 0) == 0) {
    h.state.error = file + " does not exist";
  }
  return h;
}

class Loader {
 public:
  Loader() { choose(); }

  const Installation& installation() const { return installation_; }

  // The library, opened at the first request; its state says why not.
  const Handle& library(Library id) {
    std::lock_guard lock(mutex_);
    return open(id);
  }

  std::vector<LibraryState> libraries() {
    std::lock_guard lock(mutex_);
    std::vector<LibraryState> out;
    for (const auto& h : libraries_) {
      if (h) out.push_back(h->state);
    }
    for (const Handle& h : operator_libraries_) out.push_back(h.state);
    return out;
  }

  void* find_aclnn(const char* name) {
    std::lock_guard lock(mutex_);
    open_operator_libraries();
    for (const Handle& h : operator_libraries_) {
      if (h.handle == nullptr) continue;
      if (void* p = dlsym(h.handle, name)) return p;
    }
    return nullptr;
  }

  bool has_operator_libraries() {
    std::lock_guard lock(mutex_);
    open_operator_libraries();
    return std::any_of(operator_libraries_.begin(), operator_libraries_.end(), [](const Handle& h) { return h.handle != nullptr; });
  }

 private:
  static constexpr size_t kLibraries = std::size(kLibraryNames);

  void choose() {
    const std::string wish = environment("TORCH_NPU_BACKEND");
    if (!wish.empty() && wish != "cann" && wish != "softcann") {
      installation_ = {Backend::cann, "TORCH_NPU_BACKEND is set", "",
                       "TORCH_NPU_BACKEND=" + wish + " is not a backend: set it to cann or softcann, or unset it.", ""};
      return;
    }
    if (wish == "softcann") return use_softcann("TORCH_NPU_BACKEND=softcann");
    for (const char* variable : {"ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"}) {
      const std::string home = environment(variable);
      if (!home.empty()) return use_cann(std::string(variable) + "=" + home, home);
    }
    Handle runtime = open_library("", runtime_name());
    const bool absent = runtime.handle == nullptr &&
                        runtime.state.error.rfind(std::string(runtime_name()) + ": cannot open shared object file", 0) == 0;
    if (!absent) {
      return use_cann("the loader finds " + (runtime.handle ? runtime.state.path : runtime_name()), home_of(runtime.state.path));
    }
    if (wish.empty()) return use_softcann("no CANN was found");
    installation_ = {Backend::cann, "TORCH_NPU_BACKEND=cann", "",
                     "TORCH_NPU_BACKEND=cann, but no CANN was found: install the CANN toolkit and source its set_env.sh, or "
                     "unset TORCH_NPU_BACKEND to use the software device.", ""};
  }

  void use_cann(std::string reason, std::string home) {
    installation_ = {Backend::cann, std::move(reason), std::move(home), "", ""};
    const std::string missing = examine();
    if (!missing.empty()) {
      installation_.problem = "CANN cannot be used (" + installation_.reason + "): " + missing +
                              "; install the CANN toolkit, its operator packages and the driver completely and source "
                              "set_env.sh, or set TORCH_NPU_BACKEND=softcann to use the software device.";
    }
  }

  void use_softcann(std::string reason) {
    installation_ = {Backend::softcann, std::move(reason), directory_of(own_directory()) + "/softcann/cann", "", ""};
    const std::string missing = examine();
    if (!missing.empty()) {
      installation_.problem = "the software device of this package cannot be used: " + missing + "; install torch_npu again.";
    }
  }

  // What is missing, "" if nothing is. Opens the runtime library only: the operator libraries are large.
  std::string examine() {
    const Handle& runtime = open(Library::ascendcl);
    if (runtime.handle == nullptr) return runtime.state.error;
    if (auto* f = reinterpret_cast<const char* (*)()>(dlsym(runtime.handle, "softcannVersion"))) installation_.softcann = f();
    for (const char* name : kIndispensable) {
      if (dlsym(runtime.handle, name) != nullptr) continue;
      const std::string version = version_from_files(installation_.home);
      return std::string(name) + " is missing in " + runtime.state.path + (version.empty() ? "" : " (CANN " + version + ")");
    }
    if (installation_.home.empty()) return {};
    for (Library id : {Library::nnopbase, Library::opapi}) {
      const char* name = kLibraryNames[static_cast<size_t>(id)];
      if (!file_exists(installation_.home + "/lib64/" + name) && open(id).handle == nullptr) return open(id).state.error;
    }
    return {};
  }

  const Handle& open(Library id) {
    auto& slot = libraries_[static_cast<size_t>(id)];
    if (slot) return *slot;
    // By absolute path before its users: what they need is then loaded already, whatever LD_LIBRARY_PATH says.
    if (id == Library::opapi || id == Library::hccl) open(Library::nnopbase);
    if (id != Library::ascendcl) open(Library::ascendcl);
    slot = std::make_unique<Handle>(open_library(installation_.home, kLibraryNames[static_cast<size_t>(id)]));
    return *slot;
  }

  // A vendor's library runs code in this process: it has to belong to this user or to root.
  static bool trusted(const std::string& file) {
    struct stat info;
    return stat(file.c_str(), &info) == 0 && (info.st_uid == 0 || info.st_uid == geteuid());
  }

  std::vector<std::string> custom_packages() const {
    std::vector<std::string> packages = split(environment("ASCEND_CUSTOM_OPP_PATH"), ':');
    std::string opp = environment("ASCEND_OPP_PATH");
    if (installation_.backend == Backend::softcann || opp.empty()) opp = installation_.home + "/opp";
    std::ifstream config(opp + "/vendors/config.ini");
    for (std::string line; std::getline(config, line);) {
      const size_t eq = line.find('=');
      if (eq == line.npos || trim(line.substr(0, eq)) != "load_priority") continue;
      for (const std::string& vendor : split(line.substr(eq + 1), ',')) packages.push_back(opp + "/vendors/" + trim(vendor));
    }
    return packages;
  }

  // In CANN's order of precedence.
  void open_operator_libraries() {
    if (!operator_libraries_.empty()) return;
    auto add = [this](Handle h) { operator_libraries_.push_back(std::move(h)); };
    const Handle opapi = open(Library::opapi);
    for (const std::string& package : custom_packages()) {
      const std::string file = package + "/op_api/lib/libcust_opapi.so";
      if (file_exists(file) && trusted(file)) add(open_file(name_of(file), file));
    }
    if (!installation_.home.empty()) {
      const std::string directory = installation_.home + "/lib64";
      for (const std::string& name : names_in(directory)) {
        const bool library = name.size() > 3 && name.compare(name.size() - 3, 3, ".so") == 0;
        if (library && name.rfind("libopapi_", 0) == 0) add(open_file(name, directory + "/" + name));
      }
    }
    add(opapi);
    if (opapi.handle != nullptr) return;
    for (const char* part : {"ops_infer", "ops_train", "math", "sparse", "fft", "rand"}) {
      Handle h = open_library(installation_.home, std::string("libaclnn_") + part + ".so");
      if (h.handle != nullptr) add(std::move(h));
    }
  }

  static std::string runtime_name() { return kLibraryNames[static_cast<size_t>(Library::ascendcl)]; }

  // ".../lib64/libascendcl.so" -> "..."
  static std::string home_of(const std::string& path) {
    const std::string directory = directory_of(path);
    return name_of(directory) == "lib64" ? directory_of(directory) : "";
  }

  Installation installation_;
  std::mutex mutex_;
  std::array<std::unique_ptr<Handle>, kLibraries> libraries_;
  std::vector<Handle> operator_libraries_;  // searched in this order
};

// Leaked: symbols may be looked up until the process is gone.
Loader& loader() {
  static auto* instance = new Loader;
  return *instance;
}

std::string version_note() {
  const Version& v = version();
  return v ? "CANN " + v.text : "CANN of unknown version";
}

std::string installed_note() {
  const Installation& i = installation();
  return version_note() + (i.home.empty() ? "" : " at " + i.home);
}

}  // namespace

const Installation& installation() { return loader().installation(); }

std::vector<LibraryState> libraries() { return loader().libraries(); }

std::string own_directory() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&own_directory), &info) == 0 || info.dli_fname == nullptr) return ".";
  const std::unique_ptr<char, decltype(&std::free)> canonical(realpath(info.dli_fname, nullptr), &std::free);
  return directory_of(canonical != nullptr ? canonical.get() : info.dli_fname);
}

void* find_aclnn_or_null(const char* name) noexcept {
  try {
    return loader().find_aclnn(name);
  } catch (...) {
    return nullptr;
  }
}

bool has_operator_libraries() noexcept {
  try {
    return loader().has_operator_libraries();
  } catch (...) {
    return false;
  }
}

std::string absence(const char* name, const char* since) {
  const std::string text = std::string(name) + " is not in " + installed_note() + ": ";
  const bool exact = since[0] != '<';
  const std::string first = exact ? since : since + std::strlen("<=");
  if (first.empty()) return text + "the release that brings it is not recorded";
  if (first == "master") return text + "no release of CANN brings it yet";
  if (version() && version() >= Version::parse(first)) {
    return text + "CANN " + first + " has it, so this installation is not complete";
  }
  return text + (exact ? "it came with CANN " + first : "CANN " + first + " and newer have it");
}

void* find_aclnn(const char* name, const char* since) {
  if (void* p = loader().find_aclnn(name)) return p;
  if (!installation().problem.empty()) raise_unavailable(installation().problem);
  const Handle& opapi = loader().library(Library::opapi);
  if (opapi.handle == nullptr) {
    raise_unavailable("the operator library of CANN cannot be used: " + opapi.state.error + " (" + installed_note() +
                      "); install the operator packages of CANN completely.");
  }
  throw NPUNotSupportedError(0, absence(name, since) + ".");
}

void* SymbolBase::find() const noexcept {
  void* p = nullptr;
  try {
    const Handle& h = loader().library(library_);
    if (h.handle != nullptr) p = dlsym(h.handle, name_);
    // Older and newer CANN keep the aclTensor family in other libraries; the operator libraries depend on them all.
    if (p == nullptr && library_ == Library::nnopbase) p = loader().find_aclnn(name_);
  } catch (...) {
    return absent();
  }
  if (p == nullptr) p = absent();
  address_.store(p, std::memory_order_relaxed);
  return p;
}

void* SymbolBase::find_or_raise() const {
  void* p = find();
  if (p != absent()) return p;
  if (!installation().problem.empty()) raise_unavailable(installation().problem);
  const Handle& h = loader().library(library_);
  const std::string what = std::string(name_) + " cannot be called: ";
  if (h.handle == nullptr) {
    raise_unavailable(what + h.state.error + " (" + installed_note() + "); install CANN completely and source its set_env.sh.");
  }
  throw NPUNotSupportedError(0, absence(*this) + ".");
}

}  // namespace torch_npu::cann
