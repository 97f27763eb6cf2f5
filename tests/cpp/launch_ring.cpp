// The launcher's ring under many producers: every record arrives once, whole and in its producer's order; waiting for a
// position waits for exactly that; a consumer that went to sleep is woken.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "launch/ring.h"

// The class is internal to libtorch_npu.so, so the test compiles it itself.
#include "csrc/launch/ring.cpp"

using torch_npu::launch::Ring;

namespace {

struct Record {
  uint32_t producer, sequence, words, sum;
};

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::exit(1);
}

void many_producers() {
  constexpr uint32_t kProducers = 6, kRecords = 20'000;
  Ring ring;
  std::thread consumer([&] {
    std::vector<uint32_t> next(kProducers, 0);
    for (uint32_t seen = 0; seen < kProducers * kRecords; ++seen) {
      auto* r = static_cast<Record*>(ring.next());
      require(r != nullptr, "a record is there");
      require(r->sequence == next[r->producer]++, "records of a producer keep their order");
      uint32_t sum = 0;
      const auto* words = reinterpret_cast<const uint32_t*>(r + 1);
      for (uint32_t i = 0; i < r->words; ++i) sum += words[i];
      require(sum == r->sum, "a record arrives whole");
      ring.release();
    }
  });
  std::vector<std::thread> producers;
  for (uint32_t p = 0; p < kProducers; ++p) {
    producers.emplace_back([&, p] {
      std::mt19937 random(p);
      for (uint32_t i = 0; i < kRecords; ++i) {
        // Now and then a record of the largest size, so that the ring wraps and fills.
        const uint32_t words = (i % 997 == 0 ? (Ring::kMaxRecord - sizeof(Record)) / 4 : random() % 200) & ~1u;
        auto* r = static_cast<Record*>(ring.reserve(sizeof(Record) + words * 4));
        *r = {p, i, words, 0};
        auto* out = reinterpret_cast<uint32_t*>(r + 1);
        for (uint32_t w = 0; w < words; ++w) r->sum += out[w] = random();
        ring.publish();
      }
    });
  }
  for (auto& t : producers) t.join();
  consumer.join();
}

void waiting_and_sleeping() {
  Ring ring;
  std::atomic<int> done{0};
  std::thread consumer([&] {
    while (ring.next() != nullptr) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      ++done;
      ring.release();
    }
  });
  for (int round = 1; round <= 20; ++round) {
    ring.reserve(8);
    ring.publish();
    ring.wait_reached(ring.published());
    require(done == round, "wait_reached waits until the consumer is through");
    if (round % 5 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the consumer falls asleep
  }
  ring.stop();
  consumer.join();
}

}  // namespace

int main() {
  many_producers();
  waiting_and_sleeping();
  std::puts("ring: ok");
}
