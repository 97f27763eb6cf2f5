// Memory, physical memory, events and notifies shared between two processes.
#include <sys/socket.h>

#include <cstring>

#include "runtime_test.h"

constexpr size_t kMiB = size_t{1} << 20;

struct Offer {
  char memory[65], notify[65];
  uint64_t physical;
  aclrtIpcEventHandle event;
};

template <class T>
static void send(int socket, const T& value) {
  CHECK(write(socket, &value, sizeof(value)) == static_cast<ssize_t>(sizeof(value)));
}

template <class T>
static T receive(int socket) {
  T value{};
  CHECK(recv(socket, &value, sizeof(value), MSG_WAITALL) == static_cast<ssize_t>(sizeof(value)));
  return value;
}

static char first_byte(const void* p) {
  char byte = 0;
  CHECK(aclrtMemcpy(&byte, 1, p, 1, ACL_MEMCPY_DEVICE_TO_HOST) == ACL_SUCCESS);
  return byte;
}

static void importer(int socket) {
  CHECK(aclrtSetDevice(0) == ACL_SUCCESS);
  const Offer offer = receive<Offer>(socket);
  void *p = nullptr, *again = nullptr;
  CHECK(aclrtIpcMemImportByKey(&p, offer.memory, 0) == ACL_ERROR_RT_NO_PERMISSION);
  CHECK(contains(message(), "SetImportPid"));
  int32_t pid = 0;
  CHECK(aclrtDeviceGetBareTgid(&pid) == ACL_SUCCESS);
  send(socket, pid);
  receive<char>(socket);  // permitted now

  CHECK(aclrtIpcMemImportByKey(&p, offer.memory, 0) == ACL_SUCCESS);
  CHECK(aclrtIpcMemImportByKey(&again, offer.memory, 0) == ACL_SUCCESS && again == p);
  CHECK(first_byte(p) == 11);
  CHECK(aclrtMemset(p, 5000, 22, 5000) == ACL_SUCCESS);
  char host[6000];
  CHECK(aclrtMemcpy(host, 6000, p, 5001, ACL_MEMCPY_DEVICE_TO_HOST) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtFree(p) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(contains(message(), "aclrtIpcMemClose"));

  aclrtDrvMemHandle handle = nullptr;
  void* range = nullptr;
  CHECK(aclrtMemImportFromShareableHandle(offer.physical, 0, &handle) == ACL_SUCCESS);
  CHECK(aclrtReserveMemAddress(&range, 2 * kMiB, 0, nullptr, 1) == ACL_SUCCESS);
  CHECK(aclrtMapMem(range, 2 * kMiB, 0, handle, 0) == ACL_SUCCESS && first_byte(range) == 33);
  CHECK(aclrtMemset(range, 1, 44, 1) == ACL_SUCCESS);

  // The exporter's stream is held up by the importer's, and the other way round.
  aclrtEvent event = nullptr;
  aclrtNotify notify = nullptr;
  aclrtStream stream = nullptr, other = nullptr;
  CHECK(aclrtCreateStream(&stream) == ACL_SUCCESS && aclrtCreateStream(&other) == ACL_SUCCESS);
  CHECK(aclrtIpcOpenEventHandle(offer.event, &event) == ACL_SUCCESS);
  CHECK(aclrtNotifyImportByKey(&notify, offer.notify, 0) == ACL_SUCCESS);
  CHECK(aclrtStreamWaitEvent(stream, event) == ACL_SUCCESS);  // the exporter recorded it behind a gate
  CHECK(aclrtRecordNotify(notify, stream) == ACL_SUCCESS);
  CHECK(aclrtSynchronizeStreamWithTimeout(stream, 30) == ACL_ERROR_RT_STREAM_SYNC_TIMEOUT);
  aclrtEventRecordedStatus status{};
  CHECK(aclrtQueryEventStatus(event, &status) == ACL_SUCCESS && status == ACL_EVENT_RECORDED_STATUS_NOT_READY);
  aclrtEvent short_lived = nullptr;
  std::atomic<int> ran{0};
  CHECK(aclrtIpcOpenEventHandle(offer.event, &short_lived) == ACL_SUCCESS && aclrtStreamWaitEvent(other, short_lived) == ACL_SUCCESS);
  CHECK(aclrtLaunchHostFunc(other, [](void* p) { ++*static_cast<std::atomic<int>*>(p); }, &ran) == ACL_SUCCESS);
  CHECK(aclrtDestroyNotify(notify) == ACL_SUCCESS && aclrtDestroyEvent(short_lived) == ACL_SUCCESS);  // what uses them goes on
  CHECK(aclrtSynchronizeStreamWithTimeout(other, 30) == ACL_ERROR_RT_STREAM_SYNC_TIMEOUT && ran == 0);
  send(socket, 'o');
  CHECK(aclrtSynchronizeStream(stream) == ACL_SUCCESS);
  CHECK(aclrtSynchronizeStream(other) == ACL_SUCCESS && ran == 1);
  CHECK(aclrtQueryEventStatus(event, &status) == ACL_SUCCESS && status == ACL_EVENT_RECORDED_STATUS_COMPLETE);

  receive<char>(socket);  // the exporter freed its memory
  CHECK(first_byte(range) == 44);
  CHECK(aclrtUnmapMem(range) == ACL_SUCCESS && aclrtFreePhysical(handle) == ACL_SUCCESS && aclrtReleaseMemAddress(range) == ACL_SUCCESS);
  CHECK(aclrtIpcMemClose(offer.memory) == ACL_SUCCESS && aclrtIpcMemClose(offer.memory) == ACL_SUCCESS);
  CHECK(aclrtIpcMemClose(offer.memory) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtMemset(p, 1, 0, 1) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtIpcMemImportByKey(&p, offer.memory, 0) == ACL_ERROR_RT_IPC_ERROR);
  CHECK(contains(message(), "gone"));
  CHECK(aclrtIpcMemImportByKey(&p, "nonsense", 0) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtIpcMemImportByKey(&p, "sc:4000000:3:0:0", 0) == ACL_ERROR_RT_IPC_ERROR);
  CHECK(contains(message(), "has ended"));
  CHECK(aclrtDestroyEvent(event) == ACL_SUCCESS);
  CHECK(aclrtResetDevice(0) == ACL_SUCCESS);
}

static void exporter(int socket) {
  CHECK(aclrtSetDevice(0) == ACL_SUCCESS);
  Offer offer{};
  void *filler = nullptr, *p = nullptr, *range = nullptr;
  CHECK(aclrtMalloc(&filler, 1000, ACL_MEM_MALLOC_NORMAL_ONLY) == ACL_SUCCESS);  // so that p does not begin a page
  CHECK(aclrtMalloc(&p, 5000, ACL_MEM_MALLOC_NORMAL_ONLY) == ACL_SUCCESS);
  CHECK(aclrtMemset(p, 5000, 11, 5000) == ACL_SUCCESS);
  CHECK(aclrtIpcMemGetExportKey(p, 5001, offer.memory, sizeof(offer.memory), 0) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtIpcMemGetExportKey(p, 5000, offer.memory, 4, 0) == ACL_ERROR_INVALID_PARAM);
  CHECK(aclrtIpcMemGetExportKey(p, 5000, offer.memory, sizeof(offer.memory), 0) == ACL_SUCCESS);

  aclrtPhysicalMemProp properties{};
  properties.location.type = ACL_MEM_LOCATION_TYPE_DEVICE;
  aclrtDrvMemHandle handle = nullptr;
  CHECK(aclrtMallocPhysical(&handle, 2 * kMiB, &properties, 0) == ACL_SUCCESS);
  CHECK(aclrtReserveMemAddress(&range, 2 * kMiB, 0, nullptr, 1) == ACL_SUCCESS && aclrtMapMem(range, 2 * kMiB, 0, handle, 0) == ACL_SUCCESS);
  CHECK(aclrtMemset(range, 2 * kMiB, 33, 2 * kMiB) == ACL_SUCCESS);
  CHECK(aclrtMemExportToShareableHandle(handle, ACL_MEM_HANDLE_TYPE_NONE, ACL_RT_VMM_EXPORT_FLAG_DISABLE_PID_VALIDATION, &offer.physical) ==
        ACL_SUCCESS);

  aclrtEvent event = nullptr, plain = nullptr;
  aclrtNotify notify = nullptr;
  CHECK(aclrtCreateEventExWithFlag(&event, ACL_EVENT_IPC) == ACL_SUCCESS && aclrtCreateEvent(&plain) == ACL_SUCCESS);
  CHECK(aclrtIpcGetEventHandle(plain, &offer.event) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtIpcGetEventHandle(event, &offer.event) == ACL_SUCCESS);
  CHECK(aclrtCreateNotify(&notify, 0) == ACL_SUCCESS);
  CHECK(aclrtNotifyGetExportKey(notify, offer.notify, sizeof(offer.notify), ACL_RT_NOTIFY_EXPORT_FLAG_DISABLE_PID_VALIDATION) == ACL_SUCCESS);
  Gate gate;
  aclrtStream stream = nullptr;
  CHECK(aclrtCreateStream(&stream) == ACL_SUCCESS && gate.start(stream) == ACL_SUCCESS);
  CHECK(aclrtRecordEvent(event, stream) == ACL_SUCCESS && aclrtWaitAndResetNotify(notify, stream, 0) == ACL_SUCCESS);

  send(socket, offer);
  int32_t pid = receive<int32_t>(socket);
  CHECK(aclrtIpcMemSetImportPid(offer.memory, &pid, 1) == ACL_SUCCESS);
  send(socket, 'p');
  receive<char>(socket);
  gate.open();
  CHECK(aclrtSynchronizeStream(stream) == ACL_SUCCESS);
  CHECK(first_byte(p) == 22 && first_byte(range) == 44);
  CHECK(aclrtFree(p) == ACL_SUCCESS && aclrtUnmapMem(range) == ACL_SUCCESS);
  send(socket, 'f');
  receive<char>(socket);  // the importer is done with the physical memory
  CHECK(aclrtFreePhysical(handle) == ACL_SUCCESS);
  CHECK(aclrtResetDevice(0) == ACL_SUCCESS);
}

int main() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return 1;
  const pid_t child = fork();
  if (child == 0) {
    importer(ends[1]);
    send(ends[1], 'd');
    _exit(check_summary());
  }
  exporter(ends[0]);
  int status = 1;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  return check_summary();
}
