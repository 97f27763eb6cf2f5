"""The doctor's report, verdict and exit code."""

import json
from pathlib import Path

import pytest
import torch
import torch_npu
from torch_npu import doctor

from test_import import BROKEN


def test_healthy(run_module):
    done = run_module("torch_npu.doctor")
    assert f"{torch.__version__}" in done.stdout
    assert torch.npu.get_device_name(0) in done.stdout
    assert "\nHealthy: " in done.stdout
    assert "Next step" not in done.stdout


def test_json(run_module):
    report = json.loads(run_module("torch_npu.doctor", "--json").stdout)
    assert report["healthy"] is True and report["next_step"] is None
    assert report["torch"] == {"version": torch.__version__, "path": str(Path(torch.__file__).parent), "fits": True}
    assert report["adapter"]["loaded"] is True and report["adapter"]["version"] == torch_npu.__version__
    assert len(report["devices"]) == torch.npu.device_count()


def test_library_that_cannot_be_loaded(run_python):
    done = run_python(BROKEN.format(error="ImportError('libc10.so: cannot open shared object file')") + """
from torch_npu import doctor
sys.exit(doctor.main([]))
""", check=False)
    assert done.returncode == 1
    assert "its library cannot be loaded" in done.stdout
    assert "Not healthy: torch_npu's library cannot be loaded: libc10.so: cannot open shared object file" in done.stdout
    assert "Next step: Install the wheel again" in done.stdout


def test_cann_that_is_not_there(run_module, tmp_path):
    done = run_module("torch_npu.doctor", "--json", check=False, ASCEND_HOME_PATH=tmp_path / "no")
    report = json.loads(done.stdout)
    assert done.returncode == 1 and report["healthy"] is False
    assert report["cann"][0]["exists"] is False
    assert report["next_step"].startswith(f"$ASCEND_HOME_PATH names {tmp_path / 'no'}, which does not exist")


def installation(tmp_path, libraries, version):
    home = tmp_path / "cann"
    (home / "lib64").mkdir(parents=True)
    for name in libraries:
        (home / "lib64" / name).write_bytes(b"")
    (home / "x86_64-linux").mkdir()
    (home / "x86_64-linux" / "ascend_toolkit_install.info").write_text(f"package_name=Ascend-cann-toolkit\nversion={version}\n")
    return home


def test_cann_with_a_library_missing(run_module, tmp_path):
    home = installation(tmp_path, ["libascendcl.so", "libnnopbase.so"], "9.1.0")
    report = json.loads(run_module("torch_npu.doctor", "--json", check=False, ASCEND_HOME_PATH=home).stdout)
    assert report["healthy"] is False
    assert report["cann"][0]["version"] == "9.1.0"
    assert report["cann"][0]["missing_libraries"] == ["libopapi.so"]
    assert "missing: libopapi.so" in report["next_step"]


@pytest.mark.parametrize("version, fits", [
    ("9.1.0", True), ("8.0.RC1", True), ("7.0.0", True), ("6.3.RC3", False), ("5.1.RC2", False), ("99.0.0", None), ("8.0.7", None), ("", None)])
def test_versions(version, fits):
    assert doctor.judge_cann(version, doctor.version_table())[0] is fits


def test_order_of_versions():
    ordered = ["7.0.0", "8.0.RC1", "8.0.RC2", "8.0.0", "8.1.RC1", "8.5.0", "9.0.0", "10.0.0"]
    assert sorted(reversed(ordered), key=doctor._release) == ordered


def test_ships_the_version_table():
    assert (Path(torch_npu.__path__[0]) / "versions.csv").exists()
    assert {"cann", "torch", "vendor_adapter", "python"} <= set(doctor.version_table()[0])
