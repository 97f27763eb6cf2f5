// The settings that all devices' allocators share.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <limits>
#include <string>
#include <unordered_set>
#include <vector>

#define TORCH_COMPAT_API __attribute__((visibility("default")))

namespace c10 {
namespace CachingAllocator {

constexpr size_t kMinBlockSize = 512;
constexpr size_t kSmallSize = size_t{1} << 20;        // requests up to this are small
constexpr size_t kSmallBuffer = size_t{2} << 20;      // of which small requests are cut
constexpr size_t kMinLargeAlloc = size_t{10} << 20;   // requests from this on get segments of their own size
constexpr size_t kRoundLarge = size_t{2} << 20;       // to which those are rounded

// "key:value,key:[a:b,c:d]" as words and the characters , : [ ].
class ConfigTokenizer {
 public:
  explicit ConfigTokenizer(const std::string& text);
  size_t size() const { return tokens_.size(); }
  const std::string& operator[](size_t i) const { return tokens_.at(i); }

 private:
  std::vector<std::string> tokens_;
};

class TORCH_COMPAT_API AcceleratorAllocatorConfig {
 public:
  using Hook = std::function<void(const std::string&)>;

  // The first call reads PYTORCH_ALLOC_CONF or PYTORCH_CUDA_ALLOC_CONF.
  static AcceleratorAllocatorConfig& instance();

  static size_t large_segment_size() { return instance().large_segment_size_; }
  static size_t max_split_size() { return instance().max_split_size_; }
  static size_t max_non_split_rounding_size() { return instance().max_non_split_rounding_size_; }
  static double garbage_collection_threshold() { return instance().garbage_collection_threshold_; }
  static bool use_expandable_segments() { return instance().expandable_segments_; }
  // By power of two from 1 MiB.
  static const std::vector<size_t>& roundup_power2_divisions() { return instance().divisions_; }
  static size_t pinned_max_round_threshold() { return instance().pinned_max_round_threshold_; }
  static size_t pinned_max_cached_size() { return instance().pinned_max_cached_size_; }

  // `hook` is called with every new text; only with one it is known which other keys there are.
  static void registerDeviceConfigParserHook(Hook&& hook, const std::unordered_set<std::string>& keys);

  // The keys that hooks brought.
  static const std::unordered_set<std::string>& getKeys() { return instance().other_keys_; }

  void set(const std::string& text);
  std::string text() const { return text_; }

 private:
  AcceleratorAllocatorConfig();
  void parse(const std::string& text);

  std::atomic<size_t> large_segment_size_{size_t{20} << 20};
  std::atomic<size_t> max_split_size_{std::numeric_limits<size_t>::max()};
  std::atomic<size_t> max_non_split_rounding_size_{std::numeric_limits<size_t>::max()};
  std::atomic<double> garbage_collection_threshold_{0};
  std::atomic<bool> expandable_segments_{false};
  std::atomic<size_t> pinned_max_round_threshold_{std::numeric_limits<size_t>::max()};
  std::atomic<size_t> pinned_max_cached_size_{std::numeric_limits<size_t>::max()};
  std::vector<size_t> divisions_ = std::vector<size_t>(16);
  std::string text_;
  Hook hook_;
  std::unordered_set<std::string> other_keys_;
};

inline void setAllocatorSettings(const std::string& text) { AcceleratorAllocatorConfig::instance().set(text); }
inline std::string getAllocatorSettings() { return AcceleratorAllocatorConfig::instance().text(); }

}  // namespace CachingAllocator
}  // namespace c10
