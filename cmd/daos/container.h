// What the container commands share: property lists as users write and read them, and the facts
// that create and query print.
#pragma once

#include <cairn_worm.h>
#include <daos_prop.h>

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "cmd/daos/daos.h"

namespace cairn::tool {

/// Properties for the C interface; strings stay the list's.
class PropertyList {
 public:
  void add(uint32_t type, uint64_t value);
  void add_text(uint32_t type, const std::string& value);
  /// Null if empty. Valid until the next add.
  daos_prop_t* get();

 private:
  std::vector<daos_prop_entry> entries_;
  std::deque<std::string> texts_;
  daos_prop_t list_{};
};

/// A container type by name, in any case. Nullopt: unknown, also the word "unknown".
std::optional<uint16_t> layout_of(const std::string& name);
std::string layout_text(uint64_t layout);

/// `--properties` of create; a label goes to `*label`.
std::expected<PropertyList, Failure> parse_properties(const std::string& text, std::string* label);

/// "invalid argument for flag ..." in the words that scripts know; `kind` names its type there.
std::unexpected<Failure> bad_flag(const char* flag, const char* kind, const std::string& why);
std::unexpected<Failure> bad_chunk_size(const std::string& text);
/// Empty `text` leaves `out` alone.
std::expected<void, Failure> parse_class(const char* flag, const std::string& text,
                                         daos_oclass_id_t& out);

/// Negative DER code of an errno that libdfs or libduns gave.
int der_of_errno(int number);

/// An epoch's time for people, and the epoch as scripts know it.
std::string epoch_time(uint64_t epoch);
std::string epoch_hex(uint64_t epoch);

/// What create and query tell of a container. Times are epochs, 0: never.
struct ContainerFacts {
  std::string pool_uuid, uuid, label, type;
  uint64_t redundancy = 0, handles = 0, snapshots = 0, opened = 0, modified = 0, snapshot = 0;
  bool healthy = true;
  // Of POSIX containers only.
  bool posix = false;
  uint64_t chunk_bytes = 0;
  uint32_t mode = 0;
  std::string oclass, dir_oclass, file_oclass, hints;
  cairn_cont_worm_t worm{};  // told where it is sealed
};
std::expected<ContainerFacts, Failure> container_facts(const Pool& pool, const Cont& cont);
Json facts_json(const ContainerFacts& facts);
std::vector<std::pair<std::string, std::string>> facts_rows(const ContainerFacts& facts);

/// Of a container that is sealed, or about to be: when and by whom, and how far its flattening is.
Json seal_json(const cairn_cont_worm_t& worm);
std::vector<std::pair<std::string, std::string>> seal_rows(const cairn_cont_worm_t& worm);

/// `daos cont list`, also as `daos pool list-containers`.
Outcome list_containers(const std::string& pool_name, bool verbose);

}  // namespace cairn::tool
