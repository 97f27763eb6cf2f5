"""Generators of the npu device: Philox seed and offset, as torch.cuda's."""
import pytest
import torch
import torch_npu  # noqa: F401

pytestmark = pytest.mark.skipif(not torch.npu.is_available(), reason="no npu")


@pytest.fixture(autouse=True)
def keep_state():
    state = torch.npu.get_rng_state()
    yield
    torch.npu.set_rng_state(state)


def draw(**options):
    return torch.rand(5, device="npu", **options).tolist()


def test_seed_repeats():
    torch.manual_seed(7)
    first = draw()
    assert draw() != first
    torch.manual_seed(7)
    assert draw() == first
    torch.npu.manual_seed(8)
    assert draw() != first
    assert torch.npu.initial_seed() == 8


def test_state_is_seed_and_offset():
    torch.npu.manual_seed(0x0123456789ABCDEF)
    state = torch.npu.get_rng_state()
    assert state.dtype == torch.uint8 and state.shape == (16,) and state.is_cpu
    assert state.view(torch.int64).tolist() == [0x0123456789ABCDEF, 0]
    draw()
    seed, offset = torch.npu.get_rng_state().view(torch.int64).tolist()
    assert seed == 0x0123456789ABCDEF
    assert offset > 0 and offset % 4 == 0


def test_state_round_trip():
    draw()
    state = torch.npu.get_rng_state()
    first = draw()
    torch.npu.set_rng_state(state)
    assert draw() == first


def test_state_with_seed_only_and_wrong_states():
    g = torch.Generator("npu")
    g.set_state(torch.tensor([5], dtype=torch.int64).view(torch.uint8))
    assert g.initial_seed() == 5 and g.get_offset() == 0
    with pytest.raises(RuntimeError, match="RNG state is wrong size.*16 bytes, got 12"):
        g.set_state(torch.zeros(12, dtype=torch.uint8))
    with pytest.raises(TypeError, match="ByteTensor"):
        g.set_state(torch.zeros(16))


def test_own_generator():
    g = torch.Generator("npu").manual_seed(3)
    assert g.device == torch.device("npu:0")
    before = torch.npu.get_rng_state()
    first = draw(generator=g)
    assert torch.equal(torch.npu.get_rng_state(), before)
    assert draw(generator=g.manual_seed(3)) == first


def test_offset():
    g = torch.Generator("npu").manual_seed(3)
    first, second = draw(generator=g), draw(generator=g)
    offset = g.get_offset()
    g.set_offset(0)
    assert draw(generator=g) == first
    assert draw(generator=g) == second
    assert g.get_offset() == offset
    with pytest.raises(RuntimeError, match="multiple of 4"):
        g.set_offset(3)


def test_clone_is_independent_and_graphsafe_state_is_shared():
    g = torch.Generator("npu").manual_seed(3)
    copy = g.clone_state()
    draw(generator=g)
    assert copy.get_offset() == 0
    shared = g.graphsafe_get_state()
    draw(generator=g)
    assert shared.get_offset() == g.get_offset()
    other = torch.Generator("npu")
    other.graphsafe_set_state(copy)
    assert other.initial_seed() == 3


def test_fork_rng():
    torch.manual_seed(1)
    with torch.random.fork_rng(device_type="npu"):
        inside = draw()
    assert draw() == inside


def test_device_that_does_not_exist():
    with pytest.raises(RuntimeError, match="Invalid device npu:63"):
        torch.Generator("npu:63")


def test_wrong_generator():
    with pytest.raises(RuntimeError, match="Expected a 'npu' device type for generator but found 'cpu'"):
        draw(generator=torch.Generator())


def test_seeding_starts_no_device(run_python):
    done = run_python("""
import torch, torch_npu
torch.manual_seed(3); torch.npu.manual_seed_all(4); state = torch.npu.get_rng_state(); torch.npu.set_rng_state(state)
print(torch.npu.is_initialized(), torch.npu.initial_seed())
""")
    assert done.stdout.split() == ["False", "4"]
