"""torch.npu: names that programs use, and what they do."""

import csv
import gc
import importlib
import inspect
import pathlib
import re
import warnings

import pytest
import torch
import torch_npu

HERE = pathlib.Path(__file__).parent

#: Every public name of the vendor's adapter that belongs to devices, streams, memory, random numbers, mixed precision and helpers: kind,
#: and the parameters that programs pass by name or place, ``name=`` where they may be left out. Of an option, a value that it takes.
API = list(csv.DictReader((HERE / "public_api.csv").read_text().splitlines()))
#: Those that are not there, or not that way, and why: a name, or a beginning that ends in ``.*``.
ABSENT = {row["name"]: row["reason"] for row in csv.DictReader((HERE / "public_api_absent.csv").read_text().splitlines())}


def absence(name):
    for key in ABSENT:
        if name == key or key.endswith(".*") and (name + ".").startswith(key[:-1]):
            return key
    return None


def resolve(name):
    """The thing of that name, as ``import`` and attributes find it, and the class that it is an attribute of."""
    parts = name.split(".")
    thing, owner = importlib.import_module(parts[0]), None
    for i, part in enumerate(parts[1:], 2):
        owner = thing if inspect.isclass(thing) else None
        try:
            thing = inspect.getattr_static(thing, part) if owner is not None and i == len(parts) else getattr(thing, part)
        except AttributeError:
            if owner is not None or not inspect.ismodule(thing):
                raise
            thing = importlib.import_module(".".join(parts[:i]))
    return thing, owner


def complaint(row):
    """What is wrong with a row of the table, or ``None``."""
    name, kind = row["name"], row["kind"]
    if kind == "option":
        key = name[name.index("[") + 1:-1]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.npu.set_option({key: row["parameters"]})
        except ValueError as e:
            return str(e)
        return None
    try:
        thing, owner = resolve(name)
    except (AttributeError, ImportError) as e:
        return str(e)
    if kind == "module":
        return None if inspect.ismodule(thing) else "is no module"
    if kind not in ("function", "class", "method", "enum"):
        return None
    if kind in ("class", "enum") and not inspect.isclass(thing):
        return "is no class"
    itself = [None] if owner is not None and not isinstance(thing, (staticmethod, classmethod)) else []
    if isinstance(thing, (staticmethod, classmethod)):
        thing = thing.__get__(None, owner)
    if not callable(thing):
        return "cannot be called"
    if not row["parameters"] or kind == "enum":
        return None
    try:
        signature = inspect.signature(thing)
    except ValueError:  # of C
        return None
    wanted = row["parameters"].replace("()", "").split()
    named = [p.rstrip("=") for p in wanted if not p.startswith("*")]
    placed = named[:wanted.index("*")] if "*" in wanted else named
    needed = [p for p in wanted if not p.startswith("*") and not p.endswith("=")]
    if not named and wanted:  # only *args or **kwargs
        return None
    try:
        for arguments, keywords in ((placed, named[len(placed):]), ([], named), ([], needed)):
            bound = signature.bind(*itself, *arguments, **dict.fromkeys(keywords)).arguments
            # Each is bound to its own name, which says that they come in that order.
            if any(bound[n] != n for n in arguments if n in bound):
                return f"takes {', '.join(bound)} in another order"
    except TypeError as e:
        return f"{e}: has {signature}"
    return None


@pytest.mark.parametrize("row", [r for r in API if absence(r["name"]) is None], ids=lambda r: r["name"])
def test_has(row):
    assert complaint(row) is None


def test_absent_names_are_absent_for_a_reason():
    assert [n for n, reason in ABSENT.items() if len(reason) < 20] == []
    used = {}
    for row in API:
        key = absence(row["name"])
        if key is not None:
            used.setdefault(key, []).append(row)
    assert sorted(set(ABSENT) - set(used)) == [], "no name in public_api.csv is meant"
    stale = [r["name"] for rows in used.values() for r in rows if complaint(r) is None]
    assert stale == [], "there now"


def test_everything_public_is_documented():
    names = [n for n in torch.npu.__all__ if inspect.isroutine(getattr(torch.npu, n)) or inspect.isclass(getattr(torch.npu, n))]
    assert len(names) > 50
    assert [n for n in names if not getattr(torch.npu, n).__doc__] == []


def test_absent_names_say_so():
    with pytest.raises(AttributeError, match="module 'torch.npu' has no attribute 'no_such_thing'"):
        torch.npu.no_such_thing


# ---- devices -------------------------------------------------------------------------------------------------------


def test_tensor_methods():
    x = torch.ones(2)
    assert x.npu().is_npu and not x.is_npu
    assert x.npu(0).device == x.npu("npu:0").device == x.npu(torch.device("npu")).device == torch.device("npu:0")
    assert next(torch.nn.Linear(2, 2).npu().parameters()).is_npu
    assert x.untyped_storage().npu().device == torch.device("npu:0")


def test_device_properties():
    properties = torch.npu.get_device_properties("npu:0")
    assert properties.name == torch.npu.get_device_name() == torch.npu.get_device_name(0)
    assert properties.name.startswith("Ascend")
    assert properties.total_memory == torch.npu.mem_get_info()[1] > 2**20
    assert properties.name in repr(properties)
    assert torch.npu.get_device_capability() is None


@pytest.mark.parametrize("device, error, text", [
    (99, ValueError, "npu:99 does not exist: there "),
    ("npu:99", ValueError, "npu:99 does not exist: there "),
    (-1, ValueError, "npu:-1 does not exist: there "),
    ("cpu", ValueError, "Expected an npu device, got cpu"),
])
def test_devices_that_are_not_there(device, error, text):
    with pytest.raises(error, match=text):
        torch.npu.get_device_name(device)


def test_set_device_that_is_not_there():
    with pytest.raises(RuntimeError):
        torch.npu.set_device(99)
    assert torch.npu.current_device() == 0


MANY = {"SOFTCANN_DEVICE_COUNT": "2"}


def test_several_devices(run_python):
    run_python("""
import torch
assert torch.npu.device_count() == 2
x = torch.ones(2, device="npu:1")
with torch.npu.device(1) as _:
    assert torch.npu.current_device() == 1
    assert torch.ones(1).npu().device.index == 1
    with torch.npu.device(None), torch.npu.device(-1):
        assert torch.npu.current_device() == 1
assert torch.npu.current_device() == 0
with torch.npu.device_of(x):
    assert torch.npu.current_device() == 1
with torch.npu.device_of(torch.ones(1)):
    assert torch.npu.current_device() == 0
torch.npu.set_device("npu:1")
assert torch.npu.current_device() == 1
assert not hasattr(torch, "accelerator") or torch.accelerator.current_device_index() == 1
assert torch.npu.current_stream().device_index == 1
assert torch.npu.current_stream(0).device_index == 0
assert x.to("npu:0").device.index == 0 and x.to("npu:0").tolist() == [1.0, 1.0]
assert torch.npu.memory_allocated(0) == 0 < torch.npu.memory_allocated(1)
torch.npu.manual_seed_all(5)
assert [g.initial_seed() for g in torch.npu.default_generators] == [5, 5]
torch.npu.manual_seed(6)
assert [g.initial_seed() for g in torch.npu.default_generators] == [5, 6]
assert isinstance(torch.npu.can_device_access_peer(0, 1), bool)
""", **MANY)


# ---- streams and events --------------------------------------------------------------------------------------------


def test_streams():
    default = torch.npu.default_stream()
    assert torch.npu.current_stream() == default
    s = torch.npu.Stream(priority=-1)
    assert isinstance(s, torch.Stream) and s != default and s.priority == -1
    with torch.npu.stream(s):
        assert torch.npu.current_stream() == s
        assert isinstance(torch.npu.current_stream(), torch.npu.Stream)
        with torch.npu.stream(None):
            assert torch.npu.current_stream() == s
        x = torch.ones(3, device="npu") + 1
    assert torch.npu.current_stream() == default
    default.wait_stream(s)
    assert (x + 1).tolist() == [3.0, 3.0, 3.0]
    torch.npu.set_stream(s)
    assert torch.npu.current_stream() == s
    torch.npu.set_stream(default)
    assert s.npu_stream != default.npu_stream and s.npu_stream != 0
    s.synchronize()
    assert s.query()
    assert "npu:0" in repr(s)


def test_events():
    begin, end = torch.npu.Event(enable_timing=True), torch.npu.Event(enable_timing=True)
    x = torch.ones(64, 64, device="npu")
    begin.record()
    for _ in range(10):
        x = x @ x / 64
    end.record()
    end.synchronize()
    assert begin.query() and end.query()
    assert begin.elapsed_time(end) > 0
    assert begin.npu_event != 0 and begin.npu_event != end.npu_event
    with pytest.raises(TypeError, match="Expected a torch.npu.Event, got int"):
        begin.elapsed_time(1)
    with pytest.raises(ValueError, match="must be recorded"):
        begin.elapsed_time(torch.npu.Event(enable_timing=True))
    s = torch.npu.Stream()
    event = s.record_event()
    assert isinstance(event, torch.npu.Event)
    event.wait()
    assert len(torch.npu.Event(interprocess=True).ipc_handle()) == 64


# ---- random numbers ------------------------------------------------------------------------------------------------


def test_generators():
    torch.manual_seed(11)
    assert torch.npu.initial_seed() == 11
    state = torch.npu.get_rng_state()
    assert state.device.type == "cpu" and state.dtype == torch.uint8
    a = torch.rand(5, device="npu")
    b = torch.rand(5, device="npu")
    assert not torch.equal(a, b)
    torch.npu.set_rng_state(state)
    assert torch.equal(torch.rand(5, device="npu"), a)
    torch.npu.manual_seed(11)
    assert torch.equal(torch.rand(5, device="npu"), a)
    states = torch.npu.get_rng_state_all()
    assert len(states) == torch.npu.device_count()
    torch.npu.set_rng_state_all(states)
    assert torch.equal(torch.rand(5, device="npu"), b)
    with torch.random.fork_rng(devices=[0], device_type="npu"):
        torch.rand(5, device="npu")
    torch.npu.seed()
    torch.npu.seed_all()
    assert torch.npu.initial_seed() != 11
    g = torch.Generator("npu").manual_seed(3)
    assert g.device == torch.device("npu:0") and g.initial_seed() == 3


# ---- memory --------------------------------------------------------------------------------------------------------


def test_memory_counters():
    gc.collect()
    before = torch.npu.memory_allocated()
    torch.npu.reset_peak_memory_stats()
    x = torch.empty(1 << 20, dtype=torch.uint8, device="npu")
    assert torch.npu.memory_allocated() == before + (1 << 20)
    assert torch.npu.max_memory_allocated() == before + (1 << 20)
    assert torch.npu.memory_reserved() >= torch.npu.memory_allocated()
    del x
    assert torch.npu.memory_allocated() == before
    assert torch.npu.max_memory_allocated() == before + (1 << 20)
    torch.npu.reset_peak_memory_stats()
    assert torch.npu.max_memory_allocated() == before
    assert torch.npu.memory_allocated("npu:0") == torch.npu.memory_stats()["allocated_bytes.all.current"]
    assert torch.npu.memory_stats_as_nested_dict()["allocated_bytes"]["all"]["current"] == torch.npu.memory_allocated()
    torch.npu.reset_accumulated_memory_stats()
    torch.npu.synchronize()
    torch.npu.empty_cache()
    free, total = torch.npu.mem_get_info()
    assert 0 < free <= total


def test_memory_summary():
    x = torch.empty(3 << 20, dtype=torch.uint8, device="npu")
    text = torch.npu.memory_summary()
    assert "npu:0 memory" in text and "Allocated memory" in text and "large pool" in text
    assert "large pool" not in torch.npu.memory_summary(abbreviated=True)
    assert len({len(line) for line in text.splitlines()[:-2]}) == 1
    del x


def test_raw_allocation():
    before = torch.npu.memory_allocated()
    address = torch.npu.caching_allocator_alloc(4096)
    assert address != 0 and torch.npu.memory_allocated() == before + 4096
    torch.npu.caching_allocator_delete(address)
    assert torch.npu.memory_allocated() == before


@pytest.mark.parametrize("fraction, error", [("half", TypeError), (1.5, ValueError), (-0.1, ValueError)])
def test_memory_fraction_checks(fraction, error):
    with pytest.raises(error, match="fraction has to be"):
        torch.npu.set_per_process_memory_fraction(fraction)


def test_memory_fraction(run_python):
    done = run_python("""
import torch
total = torch.npu.mem_get_info()[1]
torch.npu.set_per_process_memory_fraction(0.25)
try:
    torch.empty(total // 2, dtype=torch.uint8, device="npu")
except torch.OutOfMemoryError as e:
    print("refused")
torch.npu.set_per_process_memory_fraction(1.0)
torch.empty(total // 2, dtype=torch.uint8, device="npu")
""")
    assert done.stdout == "refused\n"


def test_nothing_is_started_by_asking_for_memory(run_python):
    run_python("""
import torch
assert torch.npu.memory_allocated() == torch.npu.max_memory_reserved() == 0
assert torch.npu.memory_stats() == {} and torch.npu.memory_stats_as_nested_dict() == {}
torch.npu.empty_cache(); torch.npu.reset_peak_memory_stats()
assert not torch.npu.is_initialized()
torch.npu.init()
assert torch.npu.is_initialized()
""")


# ---- mixed precision -----------------------------------------------------------------------------------------------


def test_autocast():
    a, b = torch.randn(4, 4, device="npu"), torch.randn(4, 4, device="npu")
    with torch.autocast("npu"):
        assert torch.mm(a, b).dtype == torch.float16
        assert torch.nn.functional.softmax(torch.mm(a, b), dim=-1).dtype == torch.float32
        with torch.npu.amp.autocast(enabled=False):
            assert torch.mm(a, b).dtype == torch.float32
    with torch.npu.amp.autocast(dtype=torch.bfloat16):
        assert torch.mm(a, b).dtype == torch.bfloat16
    assert torch.mm(a, b).dtype == torch.float32
    assert torch.float16 in torch.npu.get_amp_supported_dtype()


@pytest.mark.filterwarnings("ignore:.*has no npu kernel")
def test_grad_scaler():
    model = torch.nn.Linear(4, 1).npu()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for scaler, scale in ((torch.npu.amp.GradScaler(init_scale=8.0, growth_interval=1), 16.0),
                          (torch.npu.amp.GradScaler(init_scale=8.0, growth_interval=1, dynamic=False), 8.0)):
        assert isinstance(scaler, getattr(torch.amp, "GradScaler", torch.cuda.amp.GradScaler))
        before = model.weight.detach().clone()
        scaler.scale(model(torch.ones(2, 4, device="npu")).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        assert not torch.equal(model.weight, before)
        assert scaler.get_scale() == scale


# ---- switches ------------------------------------------------------------------------------------------------------


def test_switches(recwarn):
    torch.npu.set_compile_mode(jit_compile=False)
    torch.npu.config.allow_internal_format = False
    torch.npu.matmul.allow_hf32 = False
    torch.npu.set_option({"ALLOW_CONV_HF32": "disable", "jitCompile": "disable"})
    assert torch.npu.conv.allow_hf32 is False
    assert torch.npu.is_jit_compile_false()
    assert len(recwarn) == 0
    torch.npu.set_compile_mode(jit_compile=True)
    assert "has no effect: operators are compiled already" in str(recwarn.pop().message)
    with pytest.raises(ValueError, match="knows no 'nonsense'"):
        torch.npu.set_option({"nonsense": "enable"})
    with pytest.raises(ValueError, match="takes 'enable' or 'disable'"):
        torch.npu.set_option({"jitCompile": True})
    with pytest.raises(AttributeError, match="torch.npu.matmul has no attribute 'allow_tf32'"):
        torch.npu.matmul.allow_tf32 = True
    with pytest.raises(TypeError, match="takes a bool"):
        torch.npu.matmul.allow_hf32 = "yes"


@pytest.mark.skipif(not torch.npu.get_device_name().endswith("(softcann)"), reason="looks at softcann's trace")
def test_products_in_less_than_float32(run_python, tmp_path):
    """What is allowed reaches CANN as cubeMathType; nothing is until the program says so."""
    run_python("""
import torch
a = torch.ones(2, 2, device="npu")
image, kernel = torch.ones(1, 1, 4, 4, device="npu"), torch.ones(1, 1, 2, 2, device="npu")
def both():
    a @ a
    torch.nn.functional.conv2d(image, kernel)
    torch.npu.synchronize()
assert not torch.npu.matmul.allow_hf32 and torch.npu.conv.allow_hf32
both()
torch.npu.matmul.allow_hf32 = True
assert torch.npu.matmul.cube_math_type == torch.npu.CubeMathType.USE_HF32 == 3
torch.npu.conv.allow_hf32 = True
both()
torch.npu.matmul.cube_math_type = torch.npu.CubeMathType.USE_FP32_ADD
torch.npu.set_option({"ALLOW_CONV_HF32": "disable"})
assert not torch.npu.matmul.allow_hf32 and not torch.npu.conv.allow_hf32
both()
torch.npu.set_option({"CUBE_MATH_TYPE": "0"})
both()
""", SOFTCANN_TRACE=tmp_path / "calls", TORCH_NPU_REUSE_EXECUTORS=0, TORCH_NPU_BACKEND="softcann")
    types = {"aclnnMm": [], "aclnnConvolution": []}
    for line in (tmp_path / "calls").read_text().splitlines():
        found = re.search(r"(aclnnMm|aclnnConvolution)GetWorkspaceSize\(.*cubeMathType=\"(\d+)", line)
        if found:
            types[found[1]].append(int(found[2]))
    assert types == {"aclnnMm": [0, 3, 4, 0], "aclnnConvolution": [0, 3, 0, 0]}
    with pytest.raises(TypeError, match="torch.npu.matmul.cube_math_type takes a CubeMathType, got int"):
        torch.npu.matmul.cube_math_type = 3
    with pytest.raises(ValueError, match="CUBE_MATH_TYPE takes a number from 0 to 4, got '7'"):
        torch.npu.set_option({"CUBE_MATH_TYPE": "7"})


# ---- through torch.accelerator and the rest of torch ---------------------------------------------------------------


def test_accelerator_is_the_npu():
    assert torch.accelerator.current_accelerator() == torch.device("npu")
    assert torch.accelerator.device_count() == torch.npu.device_count()
    torch.accelerator.synchronize()
    assert torch.accelerator.memory_allocated() == torch.npu.memory_allocated()
    assert torch.float32 in torch.accelerator.get_device_capability()["supported_dtypes"]
    s = torch.npu.Stream()
    with torch.npu.stream(s):
        assert torch.accelerator.current_stream() == s


def test_names_of_the_device():
    from torch.profiler import ProfilerActivity

    assert torch.utils.backend_registration._privateuse1_backend_name == "npu"
    assert ProfilerActivity.NPU
    assert torch.get_device_module("npu") is torch.npu
    with torch.device("npu"):
        assert torch.empty(1).is_npu


def test_default_device_and_storage_moves():
    x = torch.arange(4.0, device="npu")
    storage = x.untyped_storage()
    assert storage.cpu().device.type == "cpu" and storage.is_npu
    storage.resize_(32)
    assert storage.nbytes() == 32
    assert x.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_unavailable_reason_is_none_when_available():
    assert torch.npu.is_available() and torch_npu.unavailable_reason() is None
