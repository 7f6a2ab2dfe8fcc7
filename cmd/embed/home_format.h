// cmd/embed/home_format.h - the file `home`, which makes a directory a home, formats 1 to 4.
// Little-endian. Newer versions keep these 64 bytes as they are, so that older programs can
// say "newer".
//
//   offset  size  field       meaning
//        0     8  magic       "CAIRNHOM"
//        8     4  format      1; with several targets 2; with several engines 3; of a machine that
//                             belongs to a system of another one 4; greater = written by a newer
//                             version
//       12     4  target_count  of each engine: 1 in format 1, 2..64 in format 2, 1..64 from 3 on
//       16    16  uuid        of the home (the system)
//       32     8  created_ns  wall clock at creation, ns since 1970
//       40     4  engine_count  2..64 in format 3, 1..64 in format 4; before: zero, which means 1
//       44     4  first_rank  in format 4: of the engines, at least 1, all below 1,024
//                             (model::kEnginesMax); before: zero
//       48    12  reserved    zero
//       60     4  checksum    CRC32C of bytes [0, 60)
//
// Valid iff: 64 bytes, magic and checksum match, the counts fit the format. A file that only
// lacks the magic, its checksum fitting the right one, is a damaged home, not a foreign file.
#pragma once

#include <array>
#include <cstddef>
#include <type_traits>

#include "base/bytes.h"
#include "base/endian.h"
#include "base/result.h"
#include "base/uuid.h"

namespace cairn::embed {

struct HomeHeader {
  std::array<char, 8> magic;
  U32le format, target_count;
  std::array<uint8_t, 16> uuid;
  U64le created_ns;
  U32le engine_count, first_rank;
  std::array<uint8_t, 12> reserved;
  U32le checksum;
};
static_assert(sizeof(HomeHeader) == 64);
static_assert(offsetof(HomeHeader, uuid) == 16);
static_assert(offsetof(HomeHeader, checksum) == 60);
static_assert(std::has_unique_object_representations_v<HomeHeader>);

inline constexpr std::array<char, 8> kHomeMagic = {'C', 'A', 'I', 'R', 'N', 'H', 'O', 'M'};
/// The newest. A home is written in the oldest format that can say what it has.
inline constexpr uint32_t kHomeFormat = 4;
/// Of the engine of a home: more shards than that share a core's time badly.
inline constexpr uint32_t kHomeTargetsMax = 64;
/// Processes of one machine.
inline constexpr uint32_t kHomeEnginesMax = 64;

struct HomeFile {
  Uuid uuid;  // of the system
  uint64_t created_ns = 0;
  uint32_t target_count = 1;  // of each engine, 1..kHomeTargetsMax
  uint32_t engine_count = 1;  // of this machine, 1..kHomeEnginesMax
  uint32_t first_rank = 0;    // not 0: the services are on another machine

  bool has_services() const { return first_rank == 0; }
  uint32_t end_rank() const { return first_rank + engine_count; }
  bool has_rank(uint32_t rank) const { return rank >= first_rank && rank < end_rank(); }
};
std::array<std::byte, sizeof(HomeHeader)> encode_home(const HomeFile& home);
/// @error format_invalid  not a home's file   @error format_newer
/// @error checksum  cut short or damaged
Result<HomeFile> parse_home(ByteView bytes);

}  // namespace cairn::embed
