"""Streams and events: order, waiting, state, timing, and what torch's own generic classes make of them."""
import ctypes
import os
import threading

import pytest
import torch
import torch_npu  # noqa: F401

pytestmark = pytest.mark.skipif(not torch.npu.is_available(), reason="no npu")


def long_work(n=20):
    x = torch.randn(1_000_000).npu()
    for _ in range(n):
        x = x * x
    return x


def test_default_stream_is_current():
    s = torch.npu.current_stream()
    assert s == torch.npu.default_stream()
    assert s.stream_id == 0
    assert s.device == torch.device("npu:0")


def test_stream_context_restores():
    before = torch.npu.current_stream()
    s = torch.npu.Stream()
    with torch.npu.stream(s):
        assert torch.npu.current_stream() == s
    assert torch.npu.current_stream() == before


def test_current_stream_is_per_thread():
    s = torch.npu.Stream()
    seen = []
    with torch.npu.stream(s):
        t = threading.Thread(target=lambda: seen.append(torch.npu.current_stream()))
        t.start()
        t.join()
    assert seen == [torch.npu.default_stream()]


def test_pool_wraps_after_32_streams():
    streams = [torch.npu.Stream() for _ in range(33)]
    assert len({s.stream_id for s in streams[:32]}) == 32
    assert streams[32].stream_id == streams[0].stream_id
    handles = {s.npu_stream for s in streams}
    assert len(handles) == 32 and 0 not in handles


def cann():
    """CANN's own functions, of the library that torch_npu uses."""
    torch.npu.current_stream().synchronize()
    return ctypes.CDLL("libascendcl.so", mode=os.RTLD_NOLOAD | os.RTLD_NOW)


def test_priorities():
    least, greatest = torch.npu.Stream.priority_range()
    assert (least, greatest) == (0, -1)
    assert torch.npu.Stream().priority == 0
    assert torch.npu.Stream(priority=-1).priority == -1
    # And on the device, where 0 is the highest.
    lowest, given = ctypes.c_int32(), {}
    assert cann().aclrtDeviceGetStreamPriorityRange(ctypes.byref(lowest), None) == 0
    for priority in (0, -1):
        value = ctypes.c_uint32()
        assert cann().aclrtStreamGetPriority(ctypes.c_void_p(torch.npu.Stream(priority=priority).npu_stream), ctypes.byref(value)) == 0
        given[priority] = value.value
    assert given == {0: lowest.value, -1: 0}


def test_streams_of_different_priority_are_different():
    handles = {torch.npu.Stream(priority=priority).npu_stream for priority in (0, -1) for _ in range(32)}
    assert len(handles) == 64


def test_set_stream_and_nested_contexts():
    outer, inner, before = torch.npu.Stream(), torch.npu.Stream(), torch.npu.current_stream()
    with torch.npu.stream(outer):
        with torch.npu.stream(None):
            assert torch.npu.current_stream() == outer
        with pytest.raises(KeyError), torch.npu.stream(inner):
            assert torch.npu.current_stream() == inner
            raise KeyError
        assert torch.npu.current_stream() == outer
        torch.npu.set_stream(None)
        assert torch.npu.current_stream() == outer
        torch.npu.set_stream(inner)
        assert torch.npu.current_stream() == inner
    assert torch.npu.current_stream() == before
    seen = []

    def other_thread():
        torch.npu.set_stream(inner)
        seen.append(torch.npu.current_stream())

    t = threading.Thread(target=other_thread)
    t.start()
    t.join()
    assert seen == [inner] and torch.npu.current_stream() == before


def test_threads_work_on_streams_of_their_own():
    x = torch.arange(50_000.0).npu()
    torch.npu.synchronize()
    results = {}

    def work(number):
        s = torch.npu.Stream()
        with torch.npu.stream(s):
            y = x
            for _ in range(20):
                y = y + number
            results[number] = y.cpu()  # of this thread's stream

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for number in range(4):
        assert torch.equal(results[number], torch.arange(50_000.0) + 20 * number)


def test_work_runs_on_another_stream():
    x = torch.ones(64).npu()
    s = torch.npu.Stream()
    s.wait_stream(torch.npu.current_stream())
    with torch.npu.stream(s):
        y = x + 1
    torch.npu.current_stream().wait_stream(s)
    assert (y * 2).tolist() == [4.0] * 64


def test_stream_query_and_synchronize():
    s = torch.npu.Stream()
    with torch.npu.stream(s):
        long_work()
    s.synchronize()
    assert s.query() is True


def test_event_states():
    e = torch.npu.Event()
    assert e.query() is True      # never recorded: nothing to wait for
    e.synchronize()
    e.wait()
    long_work()
    e.record()
    e.synchronize()
    assert e.query() is True
    e.record()                    # again
    e.synchronize()


def test_event_query_counts_records_still_queued():
    e = torch.npu.Event()
    long_work(60)
    e.record()
    states = [e.query()]
    e.synchronize()
    states.append(e.query())
    assert states == [False, True]


def test_wait_event_orders_streams():
    s = torch.npu.Stream()
    for _ in range(20):
        x = long_work(3)
        e = torch.npu.current_stream().record_event()
        s.wait_event(event=e)
        with torch.npu.stream(s):
            y = x + 1
        torch.npu.current_stream().wait_stream(stream=s)
        assert torch.equal(y.cpu(), x.cpu() + 1)


def test_elapsed_time():
    start, end = torch.npu.Event(enable_timing=True), torch.npu.Event(enable_timing=True)
    start.record()
    long_work()
    end.record()
    end.synchronize()
    ms = start.elapsed_time(end)
    assert 0 < ms < 60_000
    assert end.elapsed_time(end) == pytest.approx(0)


def test_elapsed_time_needs_timing_and_records():
    timed = torch.npu.Event(enable_timing=True)
    timed.record()
    timed.synchronize()
    with pytest.raises((RuntimeError, ValueError), match="recorded before calculating elapsed time"):
        timed.elapsed_time(torch.npu.Event(enable_timing=True))
    plain = torch.npu.Event()
    plain.record()
    plain.synchronize()
    with pytest.raises((RuntimeError, ValueError), match="enable_timing=True"):
        timed.elapsed_time(plain)


def test_events_may_die_before_they_are_reached():
    for _ in range(50):
        long_work(1)
        torch.npu.Event().record()
        e = torch.npu.Event()
        e.record()
        e.wait(torch.npu.Stream())
        del e
    torch.npu.synchronize()


def test_generic_stream_and_event():
    s = torch.Stream("npu")
    e = torch.Event("npu", enable_timing=True)
    x = torch.ones(8).npu()
    s.wait_stream(torch.accelerator.current_stream())
    with s:
        y = x + 1
        e.record(s)
    e.synchronize()
    s.synchronize()
    assert s.query()
    assert y.tolist() == [2.0] * 8
    assert s.native_handle != 0


def test_torchs_and_npus_streams_and_events_mix():
    plain, own = torch.Stream("npu", priority=-1), torch.npu.Stream()
    x = long_work(3)
    began = torch.Event("npu", enable_timing=True)
    began.record()
    plain.wait_event(began)
    with torch.npu.stream(plain):
        y = x + 1
        made = torch.npu.Event(enable_timing=True)
        made.record(plain)
    own.wait_event(made)
    with own:
        assert torch.accelerator.current_stream() == own
        z = y + 1
    finished = own.record_event(torch.npu.Event(enable_timing=True))
    finished.wait()
    w = z + 1
    assert torch.equal(w.cpu(), x.cpu() + 1 + 1 + 1)
    assert made.elapsed_time(finished) >= 0
    torch.accelerator.set_stream(own)
    try:
        assert torch.npu.current_stream() == own
    finally:
        torch.accelerator.set_stream(torch.npu.default_stream())


def test_accelerator_api():
    assert torch.accelerator.current_accelerator() == torch.device("npu")
    assert torch.accelerator.device_count() == torch.npu.device_count()
    torch.accelerator.synchronize()
    dtypes = torch.accelerator.get_device_capability()["supported_dtypes"]
    assert {torch.float32, torch.float16, torch.int64, torch.bool} <= dtypes


@pytest.mark.skipif(torch.npu.device_count() < 2, reason="one device")
def test_record_on_a_stream_of_another_device():
    e = torch.npu.Event()
    e.record(torch.npu.Stream("npu:0"))
    with pytest.raises(RuntimeError, match="does not match recording stream's device"):
        e.record(torch.npu.Stream("npu:1"))


@pytest.mark.parametrize("queue", [{}, {"TASK_QUEUE_ENABLE": "0"}, {"ASCEND_LAUNCH_BLOCKING": "1"}], ids=["queue", "no-queue", "blocking"])
def test_two_devices(queue, run_python):
    done = run_python("""
import torch, torch_npu
a = torch.arange(1000.0).to("npu:0")
b = torch.arange(1000.0).to("npu:1")
for _ in range(20):
    a = a + b.to("npu:0")
    b = a.to("npu:1") * 0.5
assert torch.npu.current_device() == 0
there = torch.npu.Stream("npu:1")
with torch.npu.stream(there):
    assert torch.npu.current_device() == 1 and torch.npu.current_stream() == there
    assert torch.npu.current_stream("npu:0") == torch.npu.default_stream("npu:0")
assert torch.npu.current_device() == 0 and torch.npu.current_stream("npu:1") == torch.npu.default_stream("npu:1")
with torch.npu.device(1):
    assert torch.npu.current_stream().device_index == 1
    e = torch.npu.Event()
    c = b + 1
    e.record()
e.wait(torch.npu.Stream("npu:0"))
x, y = torch.arange(1000.0), torch.arange(1000.0)
for _ in range(20):
    x = x + y
    y = x * 0.5
print(torch.allclose(a.cpu(), x), torch.allclose(c.cpu(), y + 1))
""", SOFTCANN_DEVICE_COUNT=2, TORCH_NPU_BACKEND="softcann", ASCEND_RT_VISIBLE_DEVICES=None, **queue)
    assert done.stdout.split() == ["True", "True"]


def test_fork_is_possible_until_the_device_is_used(run_python):
    done = run_python("""
import os, torch, torch_npu
torch.npu.is_available(), torch.npu.device_count(), torch.npu.get_device_name(), torch.manual_seed(1)
assert not torch.npu.is_initialized()
for used in (False, True):
    if used:
        torch.ones(2).npu()
    child = os.fork()
    if child == 0:
        try:
            result = (torch.ones(2).npu() + 1).tolist()
            threads = [open(f"/proc/self/task/{t}/comm").read().strip() for t in os.listdir("/proc/self/task")]
            print("child", result, "npu0_queue" in threads, flush=True)
        except RuntimeError as e:
            print("child", e, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
print("parent", (torch.ones(2).npu() + 1).tolist())
""", TASK_QUEUE_ENABLE=None, ASCEND_LAUNCH_BLOCKING=None)
    lines = done.stdout.splitlines()
    assert lines[0] == "child [2.0, 2.0] True"  # with a queue of its own
    assert lines[1] == ("child Cannot re-initialize NPU in forked subprocess. To use NPU with multiprocessing, you must use the "
                        "'spawn' start method")
    assert lines[2] == "parent [2.0, 2.0]"


def test_exit_with_work_in_flight(run_python):
    done = run_python("""
import torch, torch_npu
x = torch.randn(300, 300).npu()
for _ in range(50):
    x = x * x
e = torch.npu.Event(); e.record()
""")
    assert done.stderr == ""


def test_external_stream_is_the_same_queue():
    made = torch.npu.Stream()
    external = torch.npu.ExternalStream(made.npu_stream)
    assert external.npu_stream == made.npu_stream and external.device == made.device
    with torch.npu.stream(external):
        assert torch.npu.current_stream().npu_stream == made.npu_stream
        x = torch.ones(1000, device="npu") * 3
    made.synchronize()
    assert external.query()
    assert x.sum().item() == 3000
    with pytest.raises(RuntimeError, match="Not a stream handle"):
        torch.npu.ExternalStream(0)


def test_external_stream_of_other_code():
    handle = ctypes.c_void_p()
    assert cann().aclrtCreateStream(ctypes.byref(handle)) == 0
    external = torch.npu.ExternalStream(handle.value, device="npu:0")
    assert external.npu_stream == handle.value and external != torch.npu.current_stream()
    x = long_work()
    external.wait_stream(torch.npu.current_stream())
    with torch.npu.stream(external):
        y = x * 2
        assert y.sum().item() == pytest.approx((x.double().cpu() * 2).sum().item(), rel=1e-3)  # waits for this stream
        z = y + 1
    done = external.record_event()
    x.record_stream(external)
    del x
    torch.npu.current_stream().wait_event(done)
    z.record_stream(torch.npu.current_stream())
    assert torch.equal((z - 1).cpu(), (y + 1 - 1).cpu())
    del y, z
    external.synchronize()
    assert external.query()
    torch.npu.synchronize()
    torch.npu.empty_cache()
    assert cann().aclrtDestroyStream(handle) == 0
    with torch.npu.stream(external), pytest.raises(RuntimeError, match="does not exist"):
        torch.ones(2, device="npu")
        external.synchronize()
    assert (torch.ones(2, device="npu") + 1).tolist() == [2.0, 2.0]


def test_memory_used_on_an_external_stream_that_is_gone():
    handle = ctypes.c_void_p()
    assert cann().aclrtCreateStream(ctypes.byref(handle)) == 0
    external = torch.npu.ExternalStream(handle.value, device="npu:0")
    x = torch.ones(3_000_000, device="npu")
    host = torch.ones(1000).pin_memory()
    external.wait_stream(torch.npu.current_stream())
    with torch.npu.stream(external):
        y = host.npu(non_blocking=True) + x[:1000]
    x.record_stream(external)
    external.synchronize()
    assert cann().aclrtDestroyStream(handle) == 0
    address = x.data_ptr()
    del x, host
    torch.npu.synchronize()
    assert torch.empty(3_000_000, device="npu").data_ptr() == address
    assert y.sum().item() == 2000
    torch.ones(1000).pin_memory()  # asks for events of pinned memory
    torch.npu.synchronize()


def test_backward_on_external_streams_and_after_they_are_gone():
    handle = ctypes.c_void_p()
    assert cann().aclrtCreateStream(ctypes.byref(handle)) == 0
    external = torch.npu.ExternalStream(handle.value, device="npu:0")
    x = torch.ones(1 << 16, device="npu", requires_grad=True)
    for backward_inside in (True, False):
        external.wait_stream(torch.npu.current_stream())
        with torch.npu.stream(external):
            y = (x * 3).exp().sum()
            if backward_inside:
                y.backward()
        if not backward_inside:
            y.backward()
        torch.npu.current_stream().wait_stream(external)
        with torch.npu.stream(external):
            external.synchronize()
            assert torch.allclose(x.grad.cpu(), 3 * torch.full((1 << 16,), 3.0).exp(), rtol=1e-3)
        x.grad = None
    del y
    torch.npu.synchronize()
    assert cann().aclrtDestroyStream(handle) == 0
    (x * x).sum().backward()
    torch.npu.synchronize()
    assert torch.equal(x.grad.cpu(), torch.full((1 << 16,), 2.0))


def test_wait_stream_orders_streams():
    side = torch.npu.Stream(priority=-1)
    x = long_work()
    expected = (x * 2).sum().cpu()
    side.wait_stream(torch.npu.current_stream())
    with torch.npu.stream(side):
        y = x * 2
    torch.npu.current_stream().wait_stream(side)
    x.record_stream(side)
    assert torch.equal(y.sum().cpu(), expected)


def test_executors_are_reused():
    x, y = torch.ones(7, 3, device="npu"), torch.ones(7, 3, device="npu")
    z = x + y
    torch.npu.synchronize()
    before = torch.npu.executor_stats()
    for _ in range(100):
        z = x + y
    torch.npu.synchronize()
    after = torch.npu.executor_stats()
    assert after["hits"] - before["hits"] == 100 and after["misses"] == before["misses"]
    assert z.sum().item() == 42


# ---- external events: a wait may come before its record ---------------------------------------------------------------------------


def test_external_event_waits_for_a_later_record():
    event, waiting, recording = torch.npu.ExternalEvent(), torch.npu.Stream(), torch.npu.Stream()
    assert event.device is None and event.query()
    x = torch.zeros(1000, device="npu")
    torch.npu.synchronize()
    event.wait(waiting)
    with torch.npu.stream(waiting):
        y = x + 1
    assert not waiting.query()
    with torch.npu.stream(recording):
        long_work()
        x.fill_(41)
        event.record()
    waiting.synchronize()
    recording.synchronize()  # the event is seen by streams before its own stream has got past the record
    assert event.query() and event.device == torch.device("npu:0") and "npu:0" in repr(event)
    event.synchronize()
    assert y.tolist() == [42.0] * 1000


def test_external_event_is_used_up_by_its_wait():
    event, s = torch.npu.ExternalEvent(), torch.npu.Stream()
    event.record()
    event.wait(s)
    s.synchronize()
    event.wait(s)
    assert not s.query()
    event.record()
    s.synchronize()
    event.record()
    event.reset()            # nobody waited for it
    event.wait(s)
    torch.npu.default_stream().synchronize()
    assert not s.query()
    event.record(torch.npu.Stream())
    s.synchronize()


def test_external_event_does_not_lose_records():
    """Neither records that come faster than the waits for them, nor those of several streams."""
    event, s, others = torch.npu.ExternalEvent(), torch.npu.Stream(), [torch.npu.Stream() for _ in range(4)]
    for i in range(200):
        if i % 3:
            event.wait(s)
        event.record(others[i % 4])
        if not i % 3:
            event.wait(s)
    s.synchronize()


def test_external_events_are_made_and_dropped_by_the_hundred():
    s = torch.npu.Stream()
    for i in range(400):
        event = torch.npu.ExternalEvent()
        if i % 2:
            event.wait(s)
            event.record()
        else:
            event.record()
    s.synchronize()
    fresh = torch.npu.ExternalEvent()
    fresh.wait(s)
    assert not s.query()     # not through an old record
    fresh.record()
    s.synchronize()


def test_external_event_checks():
    event = torch.npu.ExternalEvent()
    with pytest.raises(TypeError, match="Expected a torch.npu.Stream, got int"):
        event.record(3)
    if torch.npu.device_count() > 1:
        event.record(torch.npu.Stream("npu:0"))
        with pytest.raises(RuntimeError, match="The event is on npu:0 and the stream on npu:1"):
            event.wait(torch.npu.Stream("npu:1"))


EXTERNAL_EVENTS = """
import random, torch, torch_npu
draw = random.Random(SEED)
streams = [torch.npu.Stream() for _ in range(3)]
events = [torch.npu.ExternalEvent() for _ in range(2)]
x = torch.zeros(64, device="npu")
torch.npu.synchronize()
value = 0
for i in range(120):
    # One stream changes x and records, another waits and changes it again: in either order of the host's calls.
    first, second = draw.sample(streams, 2)
    event = draw.choice(events)
    if draw.random() < 0.1:
        event.record(first); event.reset(second)
    def change():
        with torch.npu.stream(first):
            x.mul_(3).add_(1)
            event.record()
    def use():
        event.wait(second)
        with torch.npu.stream(second):
            x.remainder_(1000).add_(2)
    for call in ((change, use) if draw.random() < 0.5 else (use, change)):
        call()
    value = (value * 3 + 1) % 1000 + 2
    for s in streams:
        if s is not second:
            s.wait_stream(second)
    if draw.random() < 0.05:
        events[draw.randrange(2)] = torch.npu.ExternalEvent()
torch.npu.synchronize()
assert x.tolist() == [float(value)] * 64, (x[0].item(), value)
print("ok")
"""


@pytest.mark.parametrize("seed", range(1, 9))
def test_external_events_under_schedules(run_python, seed):
    done = run_python(f"SEED = {seed}\n" + EXTERNAL_EVENTS, SOFTCANN_SCHEDULE=seed, TASK_QUEUE_ENABLE=(0, 2)[seed % 2])
    assert done.stdout == "ok\n"


def test_process_ends_with_a_wait_that_nobody_ends(run_python):
    done = run_python("""
import torch, torch_npu
event = torch.npu.ExternalEvent()
event.wait(torch.npu.Stream())
torch.npu.default_stream().synchronize()
del event
""")
    assert done.stderr == ""


# ---- more of events and streams ------------------------------------------------------------------------------------------------------


def test_recorded_time():
    first, second = torch.npu.Event(enable_timing=True), torch.npu.Event(enable_timing=True)
    with pytest.raises(ValueError, match="must be recorded before its time"):
        first.recorded_time()
    first.record()
    long_work()
    second.record()
    assert isinstance(first.recorded_time(), int)
    assert (second.recorded_time() - first.recorded_time()) / 1000 == pytest.approx(first.elapsed_time(second), abs=0.01)
    plain = torch.npu.Event()
    plain.record()
    with pytest.raises(ValueError, match="enable_timing=True"):
        plain.recorded_time()


def test_reset_makes_an_event_new():
    event, s = torch.npu.Event(enable_timing=True), torch.npu.Stream()
    event.reset()
    gate = torch.npu.ExternalEvent()
    gate.wait()
    x = torch.zeros(100, device="npu").add_(1)
    event.record()
    event.wait(s)
    with torch.npu.stream(s):
        y = x + 1
    event.reset(torch.npu.current_stream())
    assert event.query() and event.npu_event == 0
    event.synchronize()
    assert not s.query()      # a wait asked for before stays
    gate.record(torch.npu.Stream())
    s.synchronize()
    assert y.tolist() == [2.0] * 100
    with pytest.raises(ValueError, match="must be recorded"):
        event.recorded_time()
    event.record()
    assert event.recorded_time() > 0
    shared = torch.npu.Event(interprocess=True)
    with pytest.raises(RuntimeError, match="An event that other processes use cannot be reset"):
        shared.reset()


def test_sync_launch_stream_makes_its_calls_on_the_calling_thread(run_python):
    done = run_python("""
import os, torch, torch_npu
streams = [torch.npu.SyncLaunchStream() for _ in range(5)]
assert len({s.stream_id for s in streams}) == 4 and streams[4] == streams[0]
assert {s.stream_id for s in streams}.isdisjoint({torch.npu.Stream().stream_id for _ in range(40)})
assert torch.npu.SyncLaunchStream(priority=-1).priority == -1 and isinstance(streams[0], torch.npu.Stream)
def queue_threads():
    return [t for t in os.listdir("/proc/self/task") if "queue" in open(f"/proc/self/task/{t}/comm").read()]
with torch.npu.stream(streams[0]):
    x = torch.ones(100, device="npu")
    for _ in range(50):
        x = x + 1
    assert torch.npu.current_stream() == streams[0]
    streams[0].synchronize()
assert not queue_threads()
y = x * 2                      # the default stream: queued again
torch.npu.synchronize()
assert queue_threads() and y[0].item() == 102
for i in range(30):            # by turns, ordered by events
    s = streams[i % 4]
    s.wait_stream(torch.npu.default_stream())
    with torch.npu.stream(s):
        y = y + 1
    torch.npu.default_stream().wait_stream(s)
    y = y * 1
print(y[0].item())
""", TASK_QUEUE_ENABLE=2, SOFTCANN_SCHEDULE=3, ASCEND_LAUNCH_BLOCKING=None)
    assert done.stdout == "132.0\n"


def test_host_functions_run_in_order(run_python):
    done = run_python("""
import threading, torch, torch_npu
s, seen = torch.npu.Stream(), []
def note(argument):
    seen.append((argument, threading.current_thread() is threading.main_thread()))
try:
    torch.npu._launch_host_func(s, note, 0)
except RuntimeError as e:
    print("call torch.npu._subscribe_report(stream) first" in str(e))
torch.npu._subscribe_report(s)
try:
    torch.npu._subscribe_report(s)
except RuntimeError as e:
    print("subscribed for the host functions of this stream already" in str(e))
pinned = torch.zeros(1).pin_memory()
with torch.npu.stream(s):
    x = torch.zeros(1, device="npu")
    for i in range(20):
        x = x + 1
        pinned.copy_(x, non_blocking=True)
        torch.npu._launch_host_func(s, lambda n: note((n, pinned.item())), i)
    torch.npu._launch_host_func(s, lambda _: 1 / 0, None)
s.synchronize()
print(seen == [((i, i + 1.0), False) for i in range(20)])
torch.npu._unsubscribe_report(s)
try:
    torch.npu._unsubscribe_report(s)
except RuntimeError as e:
    print("No thread is subscribed" in str(e))
torch.npu._subscribe_report(s)
torch.npu._launch_host_func(s, note, "last")   # under way when the program ends
""", SOFTCANN_SCHEDULE=5)
    assert done.stdout.split() == ["True"] * 4
    assert "ZeroDivisionError" in done.stderr and "Fatal" not in done.stderr
