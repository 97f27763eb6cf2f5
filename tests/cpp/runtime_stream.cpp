// Streams: order, what is in flight, timeouts, failures, aborts; callbacks.
#include <pthread.h>

#include <cstdlib>
#include <vector>

#include "runtime_test.h"

static void* allocate(size_t size) {
  void* p = nullptr;
  CHECK(aclrtMalloc(&p, size, ACL_MEM_MALLOC_HUGE_FIRST) == ACL_SUCCESS);
  return p;
}

static aclrtStream make_stream() {
  aclrtStream stream = nullptr;
  CHECK(aclrtCreateStreamWithConfig(&stream, 0, ACL_STREAM_FAST_LAUNCH | ACL_STREAM_FAST_SYNC) == ACL_SUCCESS);
  return stream;
}

static bool is_busy(aclrtStream stream) {
  aclrtStreamStatus status = ACL_STREAM_STATUS_RESERVED;
  CHECK(aclrtStreamQuery(stream, &status) == ACL_SUCCESS);
  return status == ACL_STREAM_STATUS_NOT_READY;
}

static void test_order() {
  // More than any queue holds. With a schedule, every other task gives its core away: as many would take minutes.
  const int kTasks = std::getenv("SOFTCANN_SCHEDULE") == nullptr ? 100000 : 5000;
  static std::vector<int> order;
  struct Task {
    int number;
  };
  std::vector<Task> tasks(kTasks);
  aclrtStream stream = make_stream();
  for (int i = 0; i < kTasks; ++i) {
    tasks[i].number = i;
    CHECK(aclrtLaunchHostFunc(stream, [](void* p) { order.push_back(static_cast<Task*>(p)->number); }, &tasks[i]) == ACL_SUCCESS);
  }
  CHECK(aclrtSynchronizeStream(stream) == ACL_SUCCESS);
  CHECK(order.size() == static_cast<size_t>(kTasks));
  bool in_order = true;
  for (int i = 0; i < kTasks; ++i) in_order = in_order && order[i] == i;
  CHECK(in_order);
  CHECK(aclrtDestroyStream(stream) == ACL_SUCCESS);
}

static void test_in_flight() {
  aclrtStream stream = make_stream();
  CHECK(!is_busy(stream));
  Gate gate;
  CHECK(gate.start(stream) == ACL_SUCCESS);
  gate.until_entered();
  CHECK(is_busy(stream));  // nothing is queued, but the last task runs
  CHECK(aclrtSynchronizeStreamWithTimeout(stream, 20) == ACL_ERROR_RT_STREAM_SYNC_TIMEOUT);
  CHECK(contains(message(), "20 ms"));
  CHECK(aclrtSynchronizeDeviceWithTimeout(20) == ACL_ERROR_RT_STREAM_SYNC_TIMEOUT);
  gate.open();
  CHECK(aclrtSynchronizeStreamWithTimeout(stream, 5000) == ACL_SUCCESS);
  CHECK(!is_busy(stream));
  CHECK(aclrtDestroyStream(stream) == ACL_SUCCESS);
}

static void test_handles() {
  int32_t not_a_stream = 0;
  aclrtStream stream = make_stream();
  CHECK(aclrtDestroyStream(stream) == ACL_SUCCESS);
  CHECK(aclrtDestroyStream(stream) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtSynchronizeStream(stream) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(contains(message(), "destroyed"));
  CHECK(aclrtSynchronizeStream(&not_a_stream) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtDestroyStream(nullptr) == ACL_ERROR_INVALID_PARAM);
  CHECK(aclrtCreateStreamWithConfig(&stream, 8, 0) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtSynchronizeStream(nullptr) == ACL_SUCCESS);  // the default stream
  aclrtStream standard = nullptr;
  CHECK(aclrtCtxGetCurrentDefaultStream(&standard) == ACL_SUCCESS && standard != nullptr);
  CHECK(aclrtDestroyStream(standard) == ACL_ERROR_RT_PARAM_INVALID);

  aclrtStreamConfigHandle* config = aclrtCreateStreamConfigHandle();
  const uint32_t priority = 3;
  CHECK(aclrtSetStreamConfigOpt(config, ACL_RT_STREAM_PRIORITY, &priority, sizeof(priority)) == ACL_SUCCESS);
  CHECK(aclrtSetStreamConfigOpt(config, ACL_RT_STREAM_PRIORITY, &priority, 1) == ACL_ERROR_INVALID_PARAM);
  CHECK(aclrtCreateStreamV2(&stream, config) == ACL_SUCCESS);
  uint32_t answer = 0;
  CHECK(aclrtStreamGetPriority(stream, &answer) == ACL_SUCCESS && answer == 3);
  CHECK(aclrtDestroyStreamConfigHandle(config) == ACL_SUCCESS);
  aclrtStreamAttrValue value{};
  value.failureMode = ACL_STOP_ON_FAILURE;
  CHECK(aclrtSetStreamAttribute(stream, ACL_STREAM_ATTR_FAILURE_MODE, &value) == ACL_SUCCESS);
  value = {};
  CHECK(aclrtGetStreamAttribute(stream, ACL_STREAM_ATTR_FAILURE_MODE, &value) == ACL_SUCCESS && value.failureMode == ACL_STOP_ON_FAILURE);
  CHECK(aclrtSetStreamFailureMode(stream, 2) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtDestroyStreamForce(stream) == ACL_SUCCESS);
}

// A wait that times out fails its stream; what comes after it runs, or not, as the failure mode says.
static void fail_then_count(aclrtStream stream, aclrtStream blocked, std::atomic<int>* ran) {
  Gate gate;
  aclrtEvent event = nullptr;
  CHECK(aclrtCreateEventExWithFlag(&event, ACL_EVENT_SYNC) == ACL_SUCCESS);
  CHECK(gate.start(blocked) == ACL_SUCCESS && aclrtRecordEvent(event, blocked) == ACL_SUCCESS);
  CHECK(aclrtStreamWaitEventWithTimeout(stream, event, 20) == ACL_SUCCESS);
  CHECK(aclrtLaunchHostFunc(stream, [](void* p) { ++*static_cast<std::atomic<int>*>(p); }, ran) == ACL_SUCCESS);
  std::thread([&] {  // another thread sees the failure, with the text of the task
    CHECK(aclrtSynchronizeStream(stream) == ACL_ERROR_RT_WAIT_TIMEOUT);
    CHECK(contains(message(), "within 20 ms"));
    CHECK(aclrtPeekAtLastError(ACL_RT_THREAD_LEVEL) == ACL_ERROR_RT_WAIT_TIMEOUT);
  }).join();
  CHECK(aclrtSynchronizeStream(stream) == ACL_SUCCESS);  // reported once
  gate.open();
  CHECK(aclrtSynchronizeStream(blocked) == ACL_SUCCESS);
  CHECK(aclrtDestroyEvent(event) == ACL_SUCCESS);
}

static void test_failures() {
  aclrtStream stream = make_stream(), blocked = make_stream();
  std::atomic<int> ran{0};
  fail_then_count(stream, blocked, &ran);
  CHECK(ran == 1);
  CHECK(aclrtSetStreamFailureMode(stream, ACL_STOP_ON_FAILURE) == ACL_SUCCESS);
  fail_then_count(stream, blocked, &ran);
  CHECK(ran == 1);
  CHECK(aclrtLaunchHostFunc(stream, [](void* p) { ++*static_cast<std::atomic<int>*>(p); }, &ran) == ACL_SUCCESS);
  CHECK(aclrtSynchronizeDevice() == ACL_SUCCESS);  // usable again
  CHECK(ran == 2);
  CHECK(aclrtDestroyStream(stream) == ACL_SUCCESS && aclrtDestroyStream(blocked) == ACL_SUCCESS);
}

static void test_abort() {
  aclrtStream stream = make_stream(), waiting = make_stream();
  static std::atomic<int> ran{0};
  Gate gate;
  aclrtEvent event = nullptr;
  CHECK(aclrtCreateEvent(&event) == ACL_SUCCESS);
  CHECK(gate.start(stream) == ACL_SUCCESS && aclrtRecordEvent(event, stream) == ACL_SUCCESS);
  gate.until_entered();
  CHECK(aclrtStreamWaitEvent(waiting, event) == ACL_SUCCESS);
  for (int i = 0; i < 10; ++i) CHECK(aclrtLaunchHostFunc(waiting, [](void*) { ++ran; }, nullptr) == ACL_SUCCESS);
  std::thread synchronising([&] { CHECK(aclrtSynchronizeStream(waiting) == ACL_ERROR_RT_STREAM_ABORT); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(aclrtStreamAbort(waiting) == ACL_SUCCESS);  // although what it waits for has not come
  synchronising.join();
  CHECK(ran == 0 && !is_busy(waiting) && is_busy(stream));
  CHECK(aclrtLaunchHostFunc(waiting, [](void*) { ++ran; }, nullptr) == ACL_SUCCESS);
  CHECK(aclrtSynchronizeStream(waiting) == ACL_SUCCESS && ran == 1);
  CHECK(aclrtDeviceTaskAbort(0, 20) == ACL_ERROR_RT_WAIT_TIMEOUT);  // the running task does not listen
  gate.open();
  CHECK(aclrtDeviceTaskAbort(0, 5000) == ACL_SUCCESS);
  CHECK(!is_busy(stream));
  uint64_t* word = nullptr;
  CHECK(aclrtMallocHost(reinterpret_cast<void**>(&word), sizeof(*word)) == ACL_SUCCESS);
  *word = 0;
  CHECK(aclrtValueWait(word, 5, ACL_STREAM_WAIT_VALUE_GEQ, waiting) == ACL_SUCCESS);
  CHECK(aclrtDestroyStreamForce(waiting) == ACL_SUCCESS);  // also gives up
  CHECK(aclrtDestroyStream(stream) == ACL_SUCCESS && aclrtDestroyEvent(event) == ACL_SUCCESS && aclrtFreeHost(word) == ACL_SUCCESS);
}

static void test_values_and_notifies() {
  aclrtStream a = make_stream(), b = make_stream();
  uint64_t* word = nullptr;
  CHECK(aclrtMallocHost(reinterpret_cast<void**>(&word), sizeof(*word)) == ACL_SUCCESS);
  *word = 0;
  static std::atomic<int> ran;
  ran = 0;
  CHECK(aclrtValueWait(word, 7, ACL_STREAM_WAIT_VALUE_EQ, a) == ACL_SUCCESS);
  CHECK(aclrtLaunchHostFunc(a, [](void*) { ++ran; }, nullptr) == ACL_SUCCESS);
  CHECK(aclrtSynchronizeStreamWithTimeout(a, 20) == ACL_ERROR_RT_STREAM_SYNC_TIMEOUT && ran == 0);
  CHECK(aclrtValueWrite(word, 7, 0, b) == ACL_SUCCESS);
  CHECK(aclrtSynchronizeStream(a) == ACL_SUCCESS && ran == 1);
  CHECK(aclrtValueWait(reinterpret_cast<char*>(word) + 1, 7, 0, a) == ACL_ERROR_RT_ADDR_UNALIGNED);

  aclrtNotify notify = nullptr;
  CHECK(aclrtCreateNotify(&notify, 0) == ACL_SUCCESS);
  CHECK(aclrtWaitAndResetNotify(notify, a, 0) == ACL_SUCCESS);
  CHECK(aclrtSynchronizeStreamWithTimeout(a, 20) == ACL_ERROR_RT_STREAM_SYNC_TIMEOUT);
  CHECK(aclrtRecordNotify(notify, b) == ACL_SUCCESS);
  CHECK(aclrtSynchronizeStream(a) == ACL_SUCCESS);
  CHECK(aclrtWaitAndResetNotify(notify, a, 20) == ACL_SUCCESS);  // it was reset
  CHECK(aclrtSynchronizeStream(a) == ACL_ERROR_RT_WAIT_TIMEOUT);
  // What uses a destroyed notify does not meet a new one's flag.
  Gate gate;
  aclrtNotify other = nullptr;
  CHECK(gate.start(b) == ACL_SUCCESS && aclrtRecordNotify(notify, b) == ACL_SUCCESS);
  CHECK(aclrtDestroyNotify(notify) == ACL_SUCCESS && aclrtDestroyNotify(notify) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtCreateNotify(&other, 0) == ACL_SUCCESS);
  gate.open();
  CHECK(aclrtSynchronizeStream(b) == ACL_SUCCESS);
  CHECK(aclrtWaitAndResetNotify(other, a, 20) == ACL_SUCCESS && aclrtSynchronizeStream(a) == ACL_ERROR_RT_WAIT_TIMEOUT);
  CHECK(aclrtWaitAndResetNotify(other, a, 50) == ACL_SUCCESS && aclrtDestroyNotify(other) == ACL_SUCCESS);
  CHECK(aclrtCreateNotify(&notify, 0) == ACL_SUCCESS && aclrtRecordNotify(notify, b) == ACL_SUCCESS);
  CHECK(aclrtSynchronizeStream(b) == ACL_SUCCESS && aclrtSynchronizeStream(a) == ACL_ERROR_RT_WAIT_TIMEOUT);
  CHECK(aclrtDestroyNotify(notify) == ACL_SUCCESS);
  CHECK(aclrtDestroyStream(a) == ACL_SUCCESS && aclrtDestroyStream(b) == ACL_SUCCESS && aclrtFreeHost(word) == ACL_SUCCESS);
}

static void test_callbacks() {
  aclrtStream stream = make_stream();
  static std::atomic<int> ran;
  static std::atomic<bool> stop;
  static pthread_t runner;
  ran = 0;
  stop = false;
  const aclrtCallback count = [](void*) {
    CHECK(pthread_equal(pthread_self(), runner));
    ++ran;
  };
  CHECK(aclrtLaunchCallback(count, nullptr, ACL_CALLBACK_BLOCK, stream) == ACL_ERROR_RT_STREAM_NO_CB_REG);
  CHECK(aclrtProcessReport(1) == ACL_ERROR_RT_THREAD_SUBSCRIBE);
  std::atomic<bool> subscribed{false}, waited{false};
  std::thread thread([&] {
    while (!subscribed) std::this_thread::yield();
    CHECK(aclrtProcessReport(10) == ACL_ERROR_RT_REPORT_TIMEOUT);
    waited = true;
    while (!stop) aclrtProcessReport(100);
  });
  runner = thread.native_handle();
  const auto id = static_cast<uint64_t>(runner);
  CHECK(aclrtSubscribeReport(id, stream) == ACL_SUCCESS);
  CHECK(aclrtSubscribeReport(id, stream) == ACL_ERROR_RT_STREAM_SUBSCRIBE);
  subscribed = true;
  while (!waited) std::this_thread::yield();
  for (int i = 0; i < 5; ++i) CHECK(aclrtLaunchCallback(count, nullptr, ACL_CALLBACK_BLOCK, stream) == ACL_SUCCESS);
  CHECK(aclrtSynchronizeStream(stream) == ACL_SUCCESS);
  CHECK(ran == 5);  // the stream waited for each
  CHECK(aclrtLaunchCallback(count, nullptr, ACL_CALLBACK_NO_BLOCK, stream) == ACL_SUCCESS);
  while (ran != 6) std::this_thread::yield();
  stop = true;
  thread.join();
  CHECK(aclrtUnSubscribeReport(id, stream) == ACL_SUCCESS);
  CHECK(aclrtUnSubscribeReport(id, stream) == ACL_ERROR_RT_THREAD_SUBSCRIBE);
  CHECK(aclrtDestroyStream(stream) == ACL_SUCCESS);
}

// What would wait for itself says so.
static void test_calls_from_tasks() {
  static aclrtStream stream;
  static aclError synchronise, destroy, reset;
  static char* p;
  stream = make_stream();
  p = static_cast<char*>(allocate(64));
  CHECK(aclrtLaunchHostFunc(stream, [](void*) {
    synchronise = aclrtSynchronizeStream(stream);
    destroy = aclrtDestroyStream(stream);
    reset = aclrtResetDevice(0);
    CHECK(aclrtFree(p) == ACL_SUCCESS);
  }, nullptr) == ACL_SUCCESS);
  CHECK(aclrtSynchronizeStream(stream) == ACL_SUCCESS);
  CHECK(synchronise == ACL_ERROR_RT_STREAM_CONTEXT && destroy == ACL_ERROR_RT_STREAM_CONTEXT && reset == ACL_ERROR_RT_STREAM_CONTEXT);
  CHECK(aclrtDestroyStream(stream) == ACL_SUCCESS);
}

// Many producers of one stream, and streams that are made and destroyed all the time.
static void test_threads() {
  aclrtContext context = nullptr;
  CHECK(aclrtGetCurrentContext(&context) == ACL_SUCCESS);
  static std::atomic<int> ran;
  ran = 0;
  aclrtStream shared = make_stream();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      CHECK(aclrtSetCurrentContext(context) == ACL_SUCCESS);
      for (int i = 0; i < 50; ++i) {
        aclrtStream own = make_stream();
        for (int j = 0; j < 20; ++j) {
          CHECK(aclrtLaunchHostFunc(j % 2 ? own : shared, [](void*) { ++ran; }, nullptr) == ACL_SUCCESS);
        }
        if (i % 2) CHECK(aclrtSynchronizeStream(own) == ACL_SUCCESS);
        CHECK(aclrtDestroyStream(own) == ACL_SUCCESS);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(aclrtSynchronizeDevice() == ACL_SUCCESS);
  CHECK(ran == 4 * 50 * 20);
  CHECK(aclrtDestroyStream(shared) == ACL_SUCCESS);
}

int main() {
  CHECK(aclInit(nullptr) == ACL_SUCCESS && aclrtSetDevice(0) == ACL_SUCCESS);
  test_order();
  test_in_flight();
  test_handles();
  test_failures();
  test_abort();
  test_values_and_notifies();
  test_callbacks();
  test_calls_from_tasks();
  test_threads();
  CHECK(aclrtResetDevice(0) == ACL_SUCCESS && aclFinalize() == ACL_SUCCESS);
  return check_summary();
}
