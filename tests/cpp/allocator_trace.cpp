// Fragmentation: the allocations of training a transformer on batches of varying length, replayed through the device cache.
#include <random>
#include <vector>

#include "allocator_backend.h"
#include "check.h"
#include "memory/device_cache.h"

using torch_npu::memory::Block;
using torch_npu::memory::DeviceCache;
using torch_npu::memory::Settings;

namespace {

struct Result {
  double fragmentation;  // most memory reserved / most memory in use
  size_t left;           // held after everything was freed and the cache emptied
};

class Training {
 public:
  explicit Training(DeviceCache& cache) : cache_(cache) {}

  // Weights with their gradients and two moments stay; activations live from forward to backward; what an operator needs
  // only while it runs is gone at once.
  void run(int steps) {
    std::vector<Block*> kept;
    for (int layer = 0; layer < kLayers; ++layer) {
      for (size_t parameters : {4 * kWidth * kWidth, 8 * kWidth * kWidth, 4 * kWidth}) {
        for (int copy = 0; copy < 4; ++copy) kept.push_back(cache_.malloc(4 * parameters, 0));
      }
    }
    std::mt19937 random(7);
    for (int step = 0; step < steps; ++step) {
      const size_t tokens = 8 * (128 + random() % 1920);
      std::vector<std::vector<Block*>> saved;
      for (int layer = 0; layer < kLayers; ++layer) saved.push_back(forward(tokens));
      Block* gradient = cache_.malloc(2 * tokens * kWidth, 0);
      while (!saved.empty()) {
        gradient = backward(tokens, gradient, saved.back());
        saved.pop_back();
      }
      cache_.free(gradient);
    }
    for (Block* block : kept) cache_.free(block);
  }

 private:
  static constexpr int kLayers = 12;
  static constexpr size_t kWidth = 1024;

  std::vector<Block*> forward(size_t tokens) {
    std::vector<Block*> saved;
    const auto keep = [&](size_t bytes) { saved.push_back(cache_.malloc(bytes, 0)); };
    keep(2 * tokens * kWidth);      // normalised input
    keep(4 * tokens);               // its statistics
    keep(2 * tokens * 3 * kWidth);  // queries, keys, values
    Block* scores = cache_.malloc(2 * tokens * 512, 0);
    keep(2 * tokens * kWidth);
    cache_.free(scores);
    keep(2 * tokens * 4 * kWidth);  // hidden units before and after the activation function
    keep(2 * tokens * 4 * kWidth);
    Block* sum = cache_.malloc(2 * tokens * kWidth, 0);
    keep(tokens * kWidth);  // dropout mask
    cache_.free(sum);
    return saved;
  }

  Block* backward(size_t tokens, Block* gradient, std::vector<Block*>& saved) {
    while (!saved.empty()) {
      Block* next = cache_.malloc(2 * tokens * kWidth, 0);
      Block* wide = cache_.malloc(2 * tokens * 4 * kWidth, 0);
      cache_.free(gradient);
      cache_.free(saved.back());
      cache_.free(wide);
      saved.pop_back();
      gradient = next;
    }
    return gradient;
  }

  DeviceCache& cache_;
};

Result replay(bool expandable) {
  FakeDevice device;
  device.total = size_t{64} << 30;
  Settings settings;
  settings.expandable_segments = expandable;
  DeviceCache cache(0, std::make_unique<FakeBackend>(device), settings);
  Training(cache).run(60);
  const auto stats = cache.stats();
  cache.empty_cache({0, 0});
  return {static_cast<double>(device.peak_held) / static_cast<double>(stats.active_bytes[0].peak), device.held};
}

}  // namespace

int main() {
  const Result separate = replay(false);
  const Result expandable = replay(true);
  std::printf("reserved / in use at the peak: separate segments %.3f, expandable segments %.3f\n", separate.fragmentation,
              expandable.fragmentation);
  CHECK(expandable.fragmentation <= 1.10);
  CHECK(expandable.fragmentation <= separate.fragmentation);
  CHECK(separate.left == 0 && expandable.left == 0);
  return check_summary();
}
