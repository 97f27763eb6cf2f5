#include <c10/core/AllocatorConfig.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace c10 {
namespace CachingAllocator {

ConfigTokenizer::ConfigTokenizer(const std::string& text) {
  std::string word;
  const auto flush = [&] {
    if (!word.empty()) tokens_.push_back(std::move(word));
    word.clear();
  };
  for (const char c : text) {
    if (std::isspace(static_cast<unsigned char>(c))) continue;
    if (std::string(",:[]").find(c) == std::string::npos) {
      word += c;
      continue;
    }
    flush();
    tokens_.emplace_back(1, c);
  }
  flush();
}

AcceleratorAllocatorConfig& AcceleratorAllocatorConfig::instance() {
  static auto* config = new AcceleratorAllocatorConfig;  // leaked: allocators are used while the process exits
  return *config;
}

AcceleratorAllocatorConfig::AcceleratorAllocatorConfig() {
  for (const char* name : {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"}) {
    if (const char* value = std::getenv(name); value != nullptr) {
      parse(value);
      break;
    }
  }
}

void AcceleratorAllocatorConfig::registerDeviceConfigParserHook(Hook&& hook, const std::unordered_set<std::string>& keys) {
  instance().hook_ = std::move(hook);
  instance().other_keys_.insert(keys.begin(), keys.end());
}

void AcceleratorAllocatorConfig::set(const std::string& text) {
  parse(text);
  if (hook_) hook_(text);
}

void AcceleratorAllocatorConfig::parse(const std::string& text) {
  const ConfigTokenizer tokens(text);
  const auto mebibytes = [](const std::string& value) { return static_cast<size_t>(std::stoull(value)) << 20; };
  size_t i = 0;
  while (i < tokens.size()) {
    const std::string key = tokens[i];
    TORCH_CHECK_VALUE(i + 2 < tokens.size() && tokens[i + 1] == ":", "Allocator settings: expected ':' and a value after ", key);
    i += 2;
    const std::string& value = tokens[i];
    if (key == "large_segment_size_mb") {
      large_segment_size_ = mebibytes(value);
    } else if (key == "max_split_size_mb") {
      max_split_size_ = mebibytes(value);
    } else if (key == "max_non_split_rounding_mb") {
      max_non_split_rounding_size_ = mebibytes(value);
    } else if (key == "garbage_collection_threshold") {
      garbage_collection_threshold_ = std::stod(value);
    } else if (key == "expandable_segments") {
      expandable_segments_ = value == "True";
    } else if (key == "pinned_max_round_threshold_mb") {
      pinned_max_round_threshold_ = mebibytes(value);
    } else if (key == "pinned_max_cached_size_mb") {
      pinned_max_cached_size_ = mebibytes(value);
    } else if (key == "roundup_power2_divisions" && value != "[") {
      std::fill(divisions_.begin(), divisions_.end(), std::stoull(value));
    } else if (key == "roundup_power2_divisions") {
      // [256:1,512:2,>:4]: sizes up to the first interval divide like it, those above the last like '>'.
      size_t from = 0;
      while (++i + 2 < tokens.size() && tokens[i] != "]") {
        const std::string& interval = tokens[i];
        const size_t divisions = std::stoull(tokens[i + 2]);
        i += 2;
        size_t to = divisions_.size();
        if (interval != ">") {
          const unsigned long long number = std::stoull(interval);
          to = std::min<size_t>(number == 0 ? 0 : 63 - static_cast<size_t>(__builtin_clzll(number)), divisions_.size() - 1) + 1;
        }
        for (; from < to; ++from) divisions_[from] = divisions;
        if (i + 1 < tokens.size() && tokens[i + 1] == ",") ++i;
      }
    } else {
      TORCH_CHECK_VALUE(!hook_ || other_keys_.count(key) != 0 || key == "pinned_use_background_threads",
                        "Allocator settings: unknown key '", key, "'");
      if (value == "[") {
        while (i < tokens.size() && tokens[i] != "]") ++i;
      }
    }
    ++i;
    TORCH_CHECK_VALUE(i == tokens.size() || (i < tokens.size() && tokens[i] == ","), "Allocator settings: expected ',' after the value of ", key);
    ++i;
  }
  text_ = text;
}

}  // namespace CachingAllocator
}  // namespace c10
