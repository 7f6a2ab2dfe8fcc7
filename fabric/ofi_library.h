// OfiLibrary: libfabric, opened when it is used, so that no program of ours needs it at load. Only
// these functions are symbols of the library; the rest of its interface goes through what they
// give. A value after open(); any thread.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"

struct fi_info;
struct fi_fabric_attr;
struct fid_fabric;

namespace cairn::fabric {

struct OfiLibrary {
  int (*getinfo)(uint32_t version, const char* node, const char* service, uint64_t flags,
                 const fi_info* hints, fi_info** info) = nullptr;
  void (*freeinfo)(fi_info* info) = nullptr;
  fi_info* (*dupinfo)(const fi_info* info) = nullptr;
  int (*fabric)(fi_fabric_attr* attr, fid_fabric** fabric, void* context) = nullptr;
  const char* (*strerror)(int error) = nullptr;
  uint32_t (*version)() = nullptr;

  /// The library stays open until the process ends: it has handlers that must not go.
  /// @error not_supported  it is not installed, or too old, or lacks a function
  static Result<OfiLibrary> open();
};

/// An info of the library's, freed by it.
struct OfiInfoFree {
  void (*freeinfo)(fi_info* info) = nullptr;
  void operator()(fi_info* info) const { freeinfo(info); }
};
using OfiInfo = std::unique_ptr<fi_info, OfiInfoFree>;

}  // namespace cairn::fabric
