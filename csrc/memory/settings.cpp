#include "memory/settings.h"

#include <c10/core/AllocatorConfig.h>
#include <c10/util/Exception.h>
#include <c10/util/env.h>

#include <charconv>
#include <locale>
#include <mutex>
#include <optional>
#include <sstream>
#include <string_view>

#include "memory/device_allocator.h"

namespace torch_npu::memory {
namespace {

using c10::CachingAllocator::AcceleratorAllocatorConfig;
using c10::CachingAllocator::ConfigTokenizer;

constexpr size_t kMiB = 1u << 20;

enum class Kind { Switch, Megabytes, Ratio, Divisions, Accepted };

struct Key {
  const char* name;
  Kind kind;
  double least;  // Megabytes and Ratio: the allowed range
  double most;
  bool shared;                      // parsed by c10
  void (*apply)(Settings&, double);  // for the keys that c10 does not parse
};

constexpr double kAnySize = 1 << 30;

const Key kKeys[] = {
    {"max_split_size_mb", Kind::Megabytes, 20, kAnySize, true, nullptr},
    {"max_non_split_rounding_mb", Kind::Megabytes, 21, kAnySize, true, nullptr},
    {"large_segment_size_mb", Kind::Megabytes, 11, kAnySize, true, nullptr},
    {"garbage_collection_threshold", Kind::Ratio, 0, 1, true, nullptr},
    {"roundup_power2_divisions", Kind::Divisions, 1, 64, true, nullptr},
    {"expandable_segments", Kind::Switch, 0, 1, true, nullptr},
    {"pinned_use_background_threads", Kind::Switch, 0, 1, true, nullptr},
    {"pinned_max_round_threshold_mb", Kind::Megabytes, 1, kAnySize, true, nullptr},
    {"pinned_max_cached_size_mb", Kind::Megabytes, 1, kAnySize, true, nullptr},
    {"per_process_memory_fraction", Kind::Ratio, 0, 1, false, [](Settings& s, double v) { s.memory_fraction = v; }},
    {"segment_size_mb", Kind::Megabytes, 2, 1024, false,
     [](Settings& s, double v) { s.expandable_granule_bytes = static_cast<size_t>(v) * kMiB; }},
    {"multi_stream_lazy_reclaim", Kind::Switch, 0, 1, false, [](Settings& s, double v) { s.lazy_reclaim = v != 0; }},
    {"throw_on_npumalloc_oom", Kind::Switch, 0, 1, false,
     [](Settings& s, double v) { s.throw_on_malloc_failure = v != 0; }},
    {"release_lock_on_npumalloc", Kind::Switch, 0, 1, false,
     [](Settings& s, double v) { s.release_lock_on_malloc = v != 0; }},
    // Known from other Ascend programs' settings; they tune what this allocator does not do.
    {"base_addr_aligned_kb", Kind::Accepted, 0, 0, false, nullptr},
    {"page_size", Kind::Accepted, 0, 0, false, nullptr},
    {"pin_memory_expandable_segments", Kind::Accepted, 0, 0, false, nullptr},
    {"pinned_mem_register", Kind::Accepted, 0, 0, false, nullptr},
};

const Key* find_key(std::string_view name) {
  for (const Key& key : kKeys) {
    if (name == key.name) return &key;
  }
  return nullptr;
}

std::string known_keys() {
  std::string names;
  for (const Key& key : kKeys) names += (names.empty() ? "" : ", ") + std::string(key.name);
  return names;
}

std::optional<double> to_number(const std::string& text, bool whole) {
  const char* end = text.data() + text.size();
  if (whole) {
    uint64_t value = 0;
    auto [rest, error] = std::from_chars(text.data(), end, value);
    return error == std::errc() && rest == end ? std::optional<double>(static_cast<double>(value)) : std::nullopt;
  }
  double value = 0;
  // Not from_chars, which libstdc++ has for fractions only since GCC 11.
  std::istringstream in(text);
  in.imbue(std::locale::classic());
  in >> std::noskipws >> value;
  return !in.fail() && in.peek() == std::istringstream::traits_type::eof() ? std::optional<double>(value) : std::nullopt;
}

[[noreturn]] void refuse(const std::string& sentence) {
  TORCH_CHECK_VALUE(false, "Allocator settings (PYTORCH_NPU_ALLOC_CONF): ", sentence);
  std::abort();  // not reached
}

double switch_value(const Key& key, const std::string& value) {
  if (value != "True" && value != "False") {
    refuse(std::string(key.name) + " must be True or False, but is '" + value + "'.");
  }
  return value == "True" ? 1 : 0;
}

double number_value(const Key& key, const std::string& value) {
  const bool whole = key.kind == Kind::Megabytes;
  const auto number = to_number(value, whole);
  // A ratio excludes 0; only per_process_memory_fraction, which is not c10's, includes 1.
  const bool fits = number && (whole ? *number >= key.least && *number <= key.most
                                     : *number > 0 && (key.shared ? *number < 1 : *number <= 1));
  if (fits) return *number;
  std::ostringstream allowed;
  if (whole) {
    allowed << "a whole number of MiB, at least " << key.least;
    if (key.most < kAnySize) allowed << " and at most " << key.most;
  } else {
    allowed << "a number above 0 and " << (key.shared ? "below 1" : "at most 1");
  }
  refuse(std::string(key.name) + " must be " + allowed.str() + ", but is '" + value + "'.");
}

bool is_power_of_two(double value) {
  const auto whole = static_cast<uint64_t>(value);
  return whole != 0 && (whole & (whole - 1)) == 0;
}

void check_divisions(const Key& key, const std::string& value) {
  const auto number = to_number(value, true);
  if (!number || !is_power_of_two(*number) || *number > key.most) {
    refuse(std::string(key.name) + " needs powers of two from 1 to 64 as divisions, but has '" + value + "'.");
  }
}

void check_interval(const Key& key, const std::string& value) {
  if (value == ">") return;
  const auto number = to_number(value, true);
  if (!number || !is_power_of_two(*number)) {
    refuse(std::string(key.name) + " needs intervals that are powers of two (in MiB) or '>', but has '" + value + "'.");
  }
}

struct Entry {
  const Key* key;
  double value;  // of Switch, Megabytes, Ratio
};

std::vector<Entry> parse(const std::string& text, bool skip_unknown) {
  const ConfigTokenizer tokens(text);
  std::vector<Entry> entries;
  size_t i = 0;
  const auto expect = [&](const char* token, const std::string& where) {
    if (i >= tokens.size() || tokens[i] != token) {
      refuse("expected '" + std::string(token) + "' " + where + ", but " +
             (i < tokens.size() ? "found '" + tokens[i] + "'." : "the text ends there."));
    }
    ++i;
  };
  while (i < tokens.size()) {
    const std::string name = tokens[i++];
    const Key* key = find_key(name);
    if (key == nullptr && !skip_unknown) {
      refuse("unknown key '" + name + "'; the keys are " + known_keys() + ".");
    }
    expect(":", "after " + name);
    if (i >= tokens.size() || tokens[i] == "," || tokens[i] == ":") refuse(name + " has no value.");
    Entry entry{key, 0};
    if (tokens[i] == "[") {
      if (key != nullptr && key->kind != Kind::Divisions) refuse(name + " takes one value, not a list.");
      ++i;
      while (true) {
        if (i >= tokens.size()) refuse(name + " has a '[' without its ']'.");
        if (key != nullptr) check_interval(*key, tokens[i]);
        ++i;
        expect(":", "between interval and divisions of " + name);
        if (i >= tokens.size()) refuse(name + " has a '[' without its ']'.");
        if (key != nullptr) check_divisions(*key, tokens[i]);
        ++i;
        if (i < tokens.size() && tokens[i] == "]") break;
        expect(",", "between the intervals of " + name);
      }
    } else if (key != nullptr) {
      switch (key->kind) {
        case Kind::Switch:
          entry.value = switch_value(*key, tokens[i]);
          break;
        case Kind::Megabytes:
        case Kind::Ratio:
          entry.value = number_value(*key, tokens[i]);
          break;
        case Kind::Divisions:
          check_divisions(*key, tokens[i]);
          break;
        case Kind::Accepted:
          break;
      }
    }
    ++i;
    if (key != nullptr) entries.push_back(entry);
    if (i < tokens.size()) expect(",", "after the value of " + name);
  }
  return entries;
}

double value_of(const std::vector<Entry>& entries, std::string_view name) {
  for (const Entry& entry : entries) {
    if (name == entry.key->name) return entry.value;
  }
  return 0;
}

void check_combinations(const std::vector<Entry>& entries) {
  if (value_of(entries, "expandable_segments") == 0) return;
  for (const char* other : {"max_split_size_mb", "garbage_collection_threshold"}) {
    if (value_of(entries, other) != 0) {
      refuse(std::string("expandable_segments:True cannot be combined with ") + other +
             ", which is about separate segments; leave one of the two out.");
    }
  }
  if (static_cast<size_t>(value_of(entries, "segment_size_mb")) % 2 != 0) {
    refuse("segment_size_mb must be even, because the device maps memory in pieces of 2 MiB.");
  }
}

std::mutex mutex;
bool loaded = false;
Settings current;

Settings combine(const std::string& text) {
  Settings settings;
  settings.large_segment_bytes = AcceleratorAllocatorConfig::large_segment_size();
  settings.expandable_granule_bytes = settings.large_segment_bytes;
  settings.max_split_bytes = AcceleratorAllocatorConfig::max_split_size();
  settings.max_non_split_rounding_bytes = AcceleratorAllocatorConfig::max_non_split_rounding_size();
  settings.garbage_collection_threshold = AcceleratorAllocatorConfig::garbage_collection_threshold();
  settings.expandable_segments = AcceleratorAllocatorConfig::use_expandable_segments();
  for (size_t divisions : AcceleratorAllocatorConfig::roundup_power2_divisions()) {
    if (divisions > 1) settings.roundup_divisions = AcceleratorAllocatorConfig::roundup_power2_divisions();
  }
  settings.caching = c10::utils::check_env("PYTORCH_NO_NPU_MEMORY_CACHING") != true;
  for (const Entry& entry : parse(text, /*skip_unknown=*/true)) {
    if (entry.key->apply != nullptr) entry.key->apply(settings, entry.value);
    if (entry.key->kind == Kind::Accepted) {
      TORCH_WARN("PYTORCH_NPU_ALLOC_CONF: ", entry.key->name, " is accepted and has no effect on this allocator.");
    }
  }
  return settings;
}

// c10 calls this after it parsed `text`, whoever gave it the text.
void settings_changed(const std::string& text) {
  validate_settings(text);
  Settings settings = combine(text);
  {
    std::lock_guard<std::mutex> lock(mutex);
    current = settings;
    loaded = true;
  }
  apply_settings(settings);
}

void register_hook() {
  static const bool registered = [] {
    // A torch built with CUDA has registered CUDA's keys, and a key cannot be registered twice.
    const auto& known = AcceleratorAllocatorConfig::getKeys();
    std::unordered_set<std::string> own;
    for (const Key& key : kKeys) {
      if (!key.shared && known.count(key.name) == 0) own.insert(key.name);
    }
    AcceleratorAllocatorConfig::registerDeviceConfigParserHook(&settings_changed, own);
    return true;
  }();
  static_cast<void>(registered);
}

}  // namespace

void validate_settings(const std::string& text) { check_combinations(parse(text, /*skip_unknown=*/false)); }

void set_allocator_settings(const std::string& text) {
  validate_settings(text);
  load_settings();
  c10::CachingAllocator::setAllocatorSettings(text);
}

Settings load_settings() {
  {
    std::lock_guard<std::mutex> lock(mutex);
    if (loaded) return current;
  }
  const auto npu = c10::utils::get_env("PYTORCH_NPU_ALLOC_CONF");
  const auto generic = c10::utils::get_env("PYTORCH_ALLOC_CONF");
  if (npu && generic && *npu != *generic) {
    refuse("PYTORCH_ALLOC_CONF is set too, and differently ('" + *generic + "' against '" + *npu + "'); set only one.");
  }
  if (npu) validate_settings(*npu);
  if (generic) validate_settings(*generic);
  // c10 reads PYTORCH_ALLOC_CONF or PYTORCH_CUDA_ALLOC_CONF by itself. The hook comes after that, because with a hook c10
  // refuses keys it does not know, and a setting for CUDA is no mistake here.
  AcceleratorAllocatorConfig::instance();
  const std::string parsed = c10::CachingAllocator::getAllocatorSettings();
  register_hook();
  const auto cuda = c10::utils::get_env("PYTORCH_CUDA_ALLOC_CONF");
  const bool set_by_program = !parsed.empty() && parsed != generic.value_or("") && parsed != cuda.value_or("");
  if (npu && !set_by_program) {
    c10::CachingAllocator::setAllocatorSettings(*npu);
  } else {
    Settings settings = combine(parsed);
    std::lock_guard<std::mutex> lock(mutex);
    current = settings;
    loaded = true;
  }
  std::lock_guard<std::mutex> lock(mutex);
  return current;
}

}  // namespace torch_npu::memory
