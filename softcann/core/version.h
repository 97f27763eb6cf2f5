#pragma once

// The CANN release that this library says it is. Data, so that a tree of an older release can be made without a build:
// torch_npu/softcann/release.py writes another text into the file.
extern "C" [[gnu::visibility("default")]] const char softcannRelease[32];
