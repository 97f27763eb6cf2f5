// Events: order between streams, status, times, and what a wait is bound to.
#include <cmath>

#include "runtime_test.h"

static aclrtStream a, b;

static aclrtEvent make_event(uint32_t flags = ACL_EVENT_SYNC | ACL_EVENT_TIME_LINE) {
  aclrtEvent event = nullptr;
  CHECK(aclrtCreateEventExWithFlag(&event, flags) == ACL_SUCCESS);
  return event;
}

static bool is_complete(aclrtEvent event) {
  aclrtEventRecordedStatus status{};
  CHECK(aclrtQueryEventStatus(event, &status) == ACL_SUCCESS);
  return status == ACL_EVENT_RECORDED_STATUS_COMPLETE;
}

static void add(aclrtStream stream, std::atomic<int>* counter) {
  CHECK(aclrtLaunchHostFunc(stream, [](void* p) { ++*static_cast<std::atomic<int>*>(p); }, counter) == ACL_SUCCESS);
}

static void rest() { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }

static void test_cross_stream() {
  aclrtEvent event = make_event();
  Gate gate;
  std::atomic<int> ran{0};
  CHECK(gate.start(a) == ACL_SUCCESS && aclrtRecordEvent(event, a) == ACL_SUCCESS);
  CHECK(aclrtStreamWaitEvent(b, event) == ACL_SUCCESS);
  add(b, &ran);
  rest();
  CHECK(ran == 0 && !is_complete(event));
  aclrtEventWaitStatus waiting{};
  CHECK(aclrtQueryEventWaitStatus(event, &waiting) == ACL_SUCCESS && waiting == ACL_EVENT_WAIT_STATUS_NOT_READY);
  CHECK(aclrtSynchronizeEventWithTimeout(event, 20) == ACL_ERROR_RT_EVENT_SYNC_TIMEOUT);
  CHECK(contains(message(), "20 ms"));
  gate.open();
  CHECK(aclrtSynchronizeStream(b) == ACL_SUCCESS && ran == 1);
  CHECK(aclrtSynchronizeEvent(event) == ACL_SUCCESS && is_complete(event));
  CHECK(aclrtDestroyEvent(event) == ACL_SUCCESS);
}

// Nothing orders two streams but events.
static void test_no_hidden_order() {
  Gate gate;
  std::atomic<int> ran{0};
  CHECK(gate.start(a) == ACL_SUCCESS);
  add(b, &ran);
  CHECK(aclrtSynchronizeStream(b) == ACL_SUCCESS && ran == 1);
  gate.open();
  CHECK(aclrtSynchronizeStream(a) == ACL_SUCCESS);
}

static void test_never_recorded() {
  aclrtEvent event = make_event();
  std::atomic<int> ran{0};
  CHECK(!is_complete(event));
  CHECK(aclrtSynchronizeEvent(event) == ACL_SUCCESS);
  CHECK(aclrtStreamWaitEvent(b, event) == ACL_SUCCESS);  // no wait
  add(b, &ran);
  Gate gate;
  CHECK(gate.start(a) == ACL_SUCCESS && aclrtRecordEvent(event, a) == ACL_SUCCESS);
  CHECK(aclrtSynchronizeStream(b) == ACL_SUCCESS && ran == 1);
  gate.open();
  CHECK(aclrtSynchronizeStream(a) == ACL_SUCCESS);
  CHECK(aclrtDestroyEvent(event) == ACL_SUCCESS);
}

// A wait is for the record that was newest when it was asked for, whatever happens to the event then.
static void test_record_again() {
  aclrtEvent event = make_event();
  aclrtStream c = nullptr;
  CHECK(aclrtCreateStream(&c) == ACL_SUCCESS);
  Gate first, second;
  std::atomic<int> ran{0};
  CHECK(first.start(a) == ACL_SUCCESS && aclrtRecordEvent(event, a) == ACL_SUCCESS);
  CHECK(aclrtStreamWaitEvent(b, event) == ACL_SUCCESS);
  add(b, &ran);
  CHECK(aclrtRecordEvent(event, c) == ACL_SUCCESS);  // reached at once, and no help to b
  CHECK(aclrtSynchronizeEvent(event) == ACL_SUCCESS && is_complete(event));
  rest();
  CHECK(ran == 0);
  CHECK(second.start(c) == ACL_SUCCESS && aclrtRecordEvent(event, c) == ACL_SUCCESS);
  CHECK(!is_complete(event));
  first.open();
  CHECK(aclrtSynchronizeStream(b) == ACL_SUCCESS && ran == 1);  // not held up by the newer record
  CHECK(aclrtStreamWaitEvent(b, event) == ACL_SUCCESS);
  CHECK(aclrtDestroyEvent(event) == ACL_SUCCESS);  // waits go on without it
  CHECK(aclrtSynchronizeStreamWithTimeout(b, 20) == ACL_ERROR_RT_STREAM_SYNC_TIMEOUT);
  second.open();
  CHECK(aclrtSynchronizeStream(b) == ACL_SUCCESS);
  CHECK(aclrtDestroyEvent(event) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtRecordEvent(event, a) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtDestroyStream(c) == ACL_SUCCESS);
}

static void test_times() {
  aclrtEvent start = make_event(), end = make_event(), untimed = make_event(ACL_EVENT_SYNC);
  float ms = -1;
  CHECK(aclrtEventElapsedTime(&ms, start, end) == ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID);
  CHECK(aclrtRecordEvent(start, a) == ACL_SUCCESS);
  CHECK(aclrtLaunchHostFunc(a, [](void*) { std::this_thread::sleep_for(std::chrono::milliseconds(30)); }, nullptr) == ACL_SUCCESS);
  CHECK(aclrtRecordEvent(end, a) == ACL_SUCCESS && aclrtRecordEvent(untimed, a) == ACL_SUCCESS);
  CHECK(aclrtEventElapsedTime(&ms, start, end) == ACL_ERROR_RT_EVENT_NOT_COMPLETE);
  CHECK(aclrtSynchronizeEvent(untimed) == ACL_SUCCESS);
  CHECK(aclrtEventElapsedTime(&ms, start, end) == ACL_SUCCESS && ms >= 30 && ms < 1000);
  float back = 0;
  CHECK(aclrtEventElapsedTime(&back, end, start) == ACL_SUCCESS && std::fabs(back + ms) < 1e-3f);
  CHECK(aclrtEventElapsedTime(&ms, start, start) == ACL_SUCCESS && ms == 0);
  uint64_t t0 = 0, t1 = 0;
  CHECK(aclrtEventGetTimestamp(start, &t0) == ACL_SUCCESS && aclrtEventGetTimestamp(end, &t1) == ACL_SUCCESS);
  CHECK(t1 - t0 >= 30000);
  CHECK(aclrtEventElapsedTime(&ms, start, untimed) == ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID);
  CHECK(contains(message(), "ACL_EVENT_TIME_LINE"));
  // A record that never was reached has no time, and not that of the record before.
  Gate gate;
  CHECK(gate.start(a) == ACL_SUCCESS);
  gate.until_entered();
  CHECK(aclrtRecordEvent(end, a) == ACL_SUCCESS);
  std::thread opener([&] { rest(), gate.open(); });
  CHECK(aclrtStreamAbort(a) == ACL_SUCCESS);
  opener.join();
  CHECK(aclrtEventElapsedTime(&ms, start, end) == ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID);
  CHECK(contains(message(), "aborted"));
  for (aclrtEvent event : {start, end, untimed}) CHECK(aclrtDestroyEvent(event) == ACL_SUCCESS);
}

static void test_arguments() {
  aclrtEvent event = nullptr;
  int32_t other = 0;
  CHECK(aclrtCreateEventExWithFlag(&event, 0x8000) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtCreateEvent(nullptr) == ACL_ERROR_INVALID_PARAM);
  CHECK(aclrtRecordEvent(nullptr, a) == ACL_ERROR_INVALID_PARAM);
  CHECK(aclrtRecordEvent(&other, a) == ACL_ERROR_RT_PARAM_INVALID);
  event = make_event();
  CHECK(aclrtRecordEvent(event, &other) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtResetEvent(event, a) == ACL_SUCCESS && aclrtDestroyEvent(event) == ACL_SUCCESS);
}

// Failures show at the event that follows them.
static void test_failure() {
  aclrtEvent blocked = make_event(), after = make_event();
  Gate gate;
  CHECK(gate.start(a) == ACL_SUCCESS && aclrtRecordEvent(blocked, a) == ACL_SUCCESS);
  CHECK(aclrtStreamWaitEventWithTimeout(b, blocked, 20) == ACL_SUCCESS && aclrtRecordEvent(after, b) == ACL_SUCCESS);
  CHECK(aclrtSynchronizeEvent(after) == ACL_ERROR_RT_WAIT_TIMEOUT);
  CHECK(aclrtSynchronizeStream(b) == ACL_SUCCESS);
  gate.open();
  CHECK(aclrtSynchronizeDevice() == ACL_SUCCESS);
  CHECK(aclrtDestroyEvent(blocked) == ACL_SUCCESS && aclrtDestroyEvent(after) == ACL_SUCCESS);
}

// Two streams that hand a counter to and fro, through one pair of events recorded again and again.
static void test_ping_pong() {
  aclrtEvent ping = make_event(ACL_EVENT_SYNC), pong = make_event(ACL_EVENT_SYNC);
  static int value;
  value = 0;
  for (int i = 0; i < 2000; ++i) {
    CHECK(aclrtLaunchHostFunc(a, [](void*) { value = value * 3 + 1; }, nullptr) == ACL_SUCCESS);
    CHECK(aclrtRecordEvent(ping, a) == ACL_SUCCESS && aclrtStreamWaitEvent(b, ping) == ACL_SUCCESS);
    CHECK(aclrtLaunchHostFunc(b, [](void*) { value = value % 1000 + 2; }, nullptr) == ACL_SUCCESS);
    CHECK(aclrtRecordEvent(pong, b) == ACL_SUCCESS && aclrtStreamWaitEvent(a, pong) == ACL_SUCCESS);
  }
  CHECK(aclrtSynchronizeDevice() == ACL_SUCCESS);
  int expected = 0;
  for (int i = 0; i < 2000; ++i) expected = (expected * 3 + 1) % 1000 + 2;
  CHECK(value == expected);
  CHECK(aclrtDestroyEvent(ping) == ACL_SUCCESS && aclrtDestroyEvent(pong) == ACL_SUCCESS);
}

// One event recorded more often than a stream holds tasks: the recorder waits for room, which only the records make.
static void test_records_fill_the_stream() {
  aclrtEvent event = make_event();
  Gate gate;
  CHECK(gate.start(a) == ACL_SUCCESS);
  std::atomic<int> recorded{0};
  std::thread recorder([&] {
    CHECK(aclrtSetDevice(0) == ACL_SUCCESS);
    for (int i = 0; i < 70000; ++i) recorded += aclrtRecordEvent(event, a) == ACL_SUCCESS;
  });
  for (int before = -1; before != recorded; rest()) before = recorded;
  CHECK(recorded < 70000 && !is_complete(event));
  gate.open();
  recorder.join();
  CHECK(aclrtSynchronizeEvent(event) == ACL_SUCCESS && recorded == 70000);
  CHECK(aclrtDestroyEvent(event) == ACL_SUCCESS);
}

int main() {
  CHECK(aclInit(nullptr) == ACL_SUCCESS && aclrtSetDevice(0) == ACL_SUCCESS);
  CHECK(aclrtCreateStream(&a) == ACL_SUCCESS && aclrtCreateStream(&b) == ACL_SUCCESS);
  test_cross_stream();
  test_no_hidden_order();
  test_never_recorded();
  test_record_again();
  test_times();
  test_arguments();
  test_failure();
  test_ping_pong();
  test_records_fill_the_stream();
  CHECK(aclrtResetDevice(0) == ACL_SUCCESS && aclFinalize() == ACL_SUCCESS);
  return check_summary();
}
