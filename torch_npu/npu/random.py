"""Random numbers: one generator per device, whose seed and state live on the host, so that none of this starts a device."""

from torch_npu import _library
from torch_npu.npu.devices import _existing_device_index, device_count

__all__ = [
    "get_rng_state",
    "get_rng_state_all",
    "initial_seed",
    "manual_seed",
    "manual_seed_all",
    "seed",
    "seed_all",
    "set_rng_state",
    "set_rng_state_all",
]


def _default_generators():
    return tuple(_library.bindings().default_generator(i) for i in range(device_count()))


def _get_generator(device):
    return _library.bindings().default_generator(_existing_device_index(device))


def get_rng_state(device="npu"):
    """State of the generator of ``device`` (default: the current device), a uint8 tensor on the CPU."""
    return _get_generator(device).get_state()


def get_rng_state_all():
    """States of all devices' generators, a list."""
    return [g.get_state() for g in _default_generators()]


def set_rng_state(new_state, device="npu"):
    """Gives the generator of ``device`` a state from :func:`get_rng_state`."""
    _get_generator(device).set_state(new_state.cpu())


def set_rng_state_all(new_states):
    """Gives each device's generator its state from :func:`get_rng_state_all`."""
    for i, state in enumerate(new_states):
        set_rng_state(state, i)


def manual_seed(seed):
    """Seeds the current device's generator. Does nothing where no npu can be used."""
    if device_count() > 0:
        _get_generator("npu").manual_seed(int(seed))


def manual_seed_all(seed):
    """Seeds all devices' generators; torch.manual_seed() calls it. Does nothing where no npu can be used."""
    for generator in _default_generators() if _library.loaded() else ():
        generator.manual_seed(int(seed))


def seed():
    """Seeds the current device's generator with a number from the operating system."""
    if device_count() > 0:
        _get_generator("npu").seed()


def seed_all():
    """Seeds all devices' generators with one number from the operating system."""
    generators = _default_generators() if _library.loaded() else ()
    if generators:
        manual_seed_all(generators[0].seed())


def initial_seed():
    """The seed of the current device's generator."""
    return _get_generator("npu").initial_seed()
