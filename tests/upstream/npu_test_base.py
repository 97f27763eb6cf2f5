"""The npu's class for the harness of torch 2.0, which has none for devices that register themselves. It runs this file with its own names."""


class NPUTestBase(DeviceTypeTestBase):  # noqa: F821
    device_type = "npu"

    @classmethod
    def get_primary_device(cls):
        return "npu:0"


TEST_CLASS = NPUTestBase
