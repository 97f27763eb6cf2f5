// Host functions in stream order: run by the stream's own thread, or by a thread of the client that subscribed for them.
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>

#include <pthread.h>

#include "softcann/api_ascendcl.h"
#include "softcann/runtime/context.h"
#include "softcann/runtime/stream.h"

namespace softcann::runtime {
namespace {

// A callback on its way to the thread that runs it, and back to a stream that waits for it.
struct Report {
  aclrtCallback call;
  void* argument;
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
};

// What a thread has to run.
struct Subscriber {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::shared_ptr<Report>> reports;
  size_t streams = 0;
};

struct Subscriptions {
  std::mutex mutex;
  std::map<uint64_t, std::shared_ptr<Subscriber>> by_thread;
  std::map<Stream*, std::pair<uint64_t, int32_t>> thread_of;  // and the id of the stream, since objects are recycled
};

Subscriptions& subscriptions() {
  static auto* all = new Subscriptions;
  return *all;
}

std::shared_ptr<Subscriber> subscriber_of(Stream* stream) {
  auto& all = subscriptions();
  std::lock_guard<std::mutex> lock(all.mutex);
  const auto it = all.thread_of.find(stream);
  if (it == all.thread_of.end() || it->second.second != stream->id()) return nullptr;
  return all.by_thread.at(it->second.first);
}

struct Launch {
  std::shared_ptr<Subscriber> subscriber;
  std::shared_ptr<Report> report;
  bool wait;
};

int hand_over(void* p) {
  const auto* launch = static_cast<Launch*>(p);
  {
    std::lock_guard<std::mutex> lock(launch->subscriber->mutex);
    launch->subscriber->reports.push_back(launch->report);
  }
  launch->subscriber->changed.notify_one();
  if (!launch->wait) return ACL_SUCCESS;
  Report& report = *launch->report;
  std::unique_lock<std::mutex> lock(report.mutex);
  // Looks up now and then, for the stream may be aborted while nobody processes reports.
  while (!report.done && !task_aborted()) report.changed.wait_for(lock, std::chrono::milliseconds(20));
  return ACL_SUCCESS;
}

}  // namespace
}  // namespace softcann::runtime

namespace softcann {
using namespace runtime;

aclError api::aclrtLaunchHostFunc(aclrtStream stream, aclrtHostFunc fn, void* args) {
  if (fn == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtLaunchHostFunc: fn is null");
  int code = ACL_SUCCESS;
  Stream* s = find_stream_of_context(stream, "aclrtLaunchHostFunc", &code);
  return s == nullptr ? code : enqueue_call(*s, "aclrtLaunchHostFunc", [=] { return fn(args), 0; });
}

aclError api::aclrtSubscribeReport(uint64_t threadId, aclrtStream stream) {
  int code = ACL_SUCCESS;
  Stream* s = find_stream(stream, "aclrtSubscribeReport", &code);
  if (s == nullptr) return code;
  auto& all = subscriptions();
  std::lock_guard<std::mutex> lock(all.mutex);
  const auto known = all.thread_of.find(s);
  if (known != all.thread_of.end() && known->second.second == s->id()) {
    return fail(ACL_ERROR_RT_STREAM_SUBSCRIBE, "aclrtSubscribeReport: a thread is subscribed for stream %d already", s->id());
  }
  all.thread_of[s] = {threadId, s->id()};
  auto& subscriber = all.by_thread[threadId];
  if (subscriber == nullptr) subscriber = std::make_shared<Subscriber>();
  ++subscriber->streams;
  return ACL_SUCCESS;
}

aclError api::aclrtUnSubscribeReport(uint64_t threadId, aclrtStream stream) {
  int code = ACL_SUCCESS;
  Stream* s = find_stream(stream, "aclrtUnSubscribeReport", &code);
  if (s == nullptr) return code;
  auto& all = subscriptions();
  std::lock_guard<std::mutex> lock(all.mutex);
  const auto known = all.thread_of.find(s);
  if (known == all.thread_of.end() || known->second != std::make_pair(threadId, s->id())) {
    return fail(ACL_ERROR_RT_THREAD_SUBSCRIBE, "aclrtUnSubscribeReport: thread %llu is not subscribed for stream %d",
                static_cast<unsigned long long>(threadId), s->id());
  }
  all.thread_of.erase(known);
  const auto subscriber = all.by_thread.find(threadId);
  if (--subscriber->second->streams == 0) all.by_thread.erase(subscriber);
  return ACL_SUCCESS;
}

aclError api::aclrtLaunchCallback(aclrtCallback fn, void* userData, aclrtCallbackBlockType blockType, aclrtStream stream) {
  constexpr const char* kName = "aclrtLaunchCallback";
  if (fn == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: fn is null", kName);
  if (blockType != ACL_CALLBACK_NO_BLOCK && blockType != ACL_CALLBACK_BLOCK) {
    return fail(ACL_ERROR_INVALID_PARAM, "%s: blockType is %d, allowed are 0 and 1", kName, static_cast<int>(blockType));
  }
  int code = ACL_SUCCESS;
  Stream* s = find_stream_of_context(stream, kName, &code);
  if (s == nullptr) return code;
  auto subscriber = subscriber_of(s);
  if (subscriber == nullptr) {
    return fail(ACL_ERROR_RT_STREAM_NO_CB_REG, "%s: no thread is subscribed for stream %d (aclrtSubscribeReport)", kName, s->id());
  }
  auto report = std::make_shared<Report>();
  report->call = fn;
  report->argument = userData;
  return s->enqueue({&hand_over, [](void* p) { delete static_cast<Launch*>(p); },
                     new Launch{std::move(subscriber), std::move(report), blockType == ACL_CALLBACK_BLOCK}, kName});
}

aclError api::aclrtProcessReport(int32_t timeout) {
  constexpr const char* kName = "aclrtProcessReport";
  if (const int code = check_fork(kName)) return code;
  std::shared_ptr<Subscriber> subscriber;
  {
    auto& all = subscriptions();
    std::lock_guard<std::mutex> lock(all.mutex);
    const auto it = all.by_thread.find(static_cast<uint64_t>(pthread_self()));
    if (it != all.by_thread.end()) subscriber = it->second;
  }
  if (subscriber == nullptr) {
    return fail(ACL_ERROR_RT_THREAD_SUBSCRIBE, "%s: this thread is subscribed for no stream (aclrtSubscribeReport)", kName);
  }
  std::shared_ptr<Report> report;
  {
    std::unique_lock<std::mutex> lock(subscriber->mutex);
    const auto ready = [&] { return !subscriber->reports.empty(); };
    const Deadline deadline = deadline_after(timeout);
    if (deadline == kNever) {
      subscriber->changed.wait(lock, ready);
    } else if (!subscriber->changed.wait_until(lock, deadline, ready)) {
      return fail(ACL_ERROR_RT_REPORT_TIMEOUT, "%s: nothing to run within %d ms", kName, timeout);
    }
    report = std::move(subscriber->reports.front());
    subscriber->reports.pop_front();
  }
  report->call(report->argument);
  {
    std::lock_guard<std::mutex> lock(report->mutex);
    report->done = true;
  }
  report->changed.notify_all();
  return ACL_SUCCESS;
}

}  // namespace softcann
