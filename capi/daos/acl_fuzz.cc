// Fuzzer of what programs and stored objects hand to libdaos as bytes: access control lists (binary
// and text), properties as text, the sizes record of an array. A valid list is walked, copied,
// changed and written as text that gives the same list back. Input: a byte that chooses, then it.
#include <daos_cont.h>
#include <daos_security.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "base/check.h"
#include "base/testing/fuzz.h"
#include "capi/daos/array_attr_format.h"
#include "capi/daos/prop_table.h"

namespace {

using namespace cairn;

/// On the heap with its exact size, so that a read behind its end is seen.
daos_acl* acl_of(ByteView entries) {
  const size_t bytes = entries.size() / 8 * 8;
  auto* const acl = static_cast<daos_acl*>(std::calloc(1, sizeof(daos_acl) + bytes));
  CHECK(acl != nullptr);
  acl->dal_ver = DAOS_ACL_VERSION;
  acl->dal_len = static_cast<uint32_t>(bytes);
  if (bytes != 0) std::memcpy(acl->dal_ace, entries.data(), bytes);
  return acl;
}

bool same(const daos_acl* a, const daos_acl* b) {
  return a->dal_len == b->dal_len && std::memcmp(a->dal_ace, b->dal_ace, a->dal_len) == 0;
}

void to_text_and_back(daos_acl* acl) {
  char** texts = nullptr;
  size_t count = 0;
  if (daos_acl_to_strs(acl, &texts, &count) != 0) return;
  if (count != 0) {
    daos_acl* again = nullptr;
    CHECK(daos_acl_from_strs(const_cast<const char**>(texts), count, &again) == 0);
    char** second = nullptr;
    size_t second_count = 0;
    CHECK(daos_acl_to_strs(again, &second, &second_count) == 0 && second_count == count);
    for (size_t i = 0; i < count; ++i) {
      CHECK(std::strcmp(texts[i], second[i]) == 0);
      std::free(second[i]);
    }
    std::free(second);
    daos_acl_free(again);
  }
  for (size_t i = 0; i < count; ++i) std::free(texts[i]);
  std::free(texts);
}

void binary(ByteView entries) {
  daos_acl* acl = acl_of(entries);
  if (daos_acl_validate(acl) == 0) {
    daos_acl* const copy = daos_acl_dup(acl);
    CHECK(copy != nullptr && same(acl, copy));
    daos_acl_free(copy);
    to_text_and_back(acl);
    daos_ace* const added = daos_ace_create(DAOS_ACL_USER, "somebody@");
    added->dae_access_types = DAOS_ACL_ACCESS_ALLOW;
    if (daos_acl_add_ace(&acl, added) == 0) {
      CHECK(daos_acl_validate(acl) == 0);
      daos_ace* found = nullptr;
      CHECK(daos_acl_get_ace_for_principal(acl, DAOS_ACL_USER, "somebody@", &found) == 0);
      CHECK(daos_acl_remove_ace(&acl, DAOS_ACL_USER, "somebody@") == 0);
      CHECK(daos_acl_validate(acl) == 0);
    }
    daos_ace_free(added);
  }
  daos_acl_free(acl);
}

void text(const std::string& line) {
  daos_ace* ace = nullptr;
  if (daos_ace_from_str(line.c_str(), &ace) == 0) {
    CHECK(daos_ace_is_valid(ace));
    char out[DAOS_ACL_MAX_ACE_STR_LEN + 1];
    CHECK(daos_ace_to_str(ace, out, sizeof out) == 0);
    char words[4 * sizeof out];
    CHECK(daos_ace_str_get_verbose(out, words, sizeof words) == 0);
    daos_ace_free(ace);
  }
  enum daos_acl_principal_type type = DAOS_ACL_OWNER;
  char* name = nullptr;
  if (daos_acl_principal_from_str(line.c_str(), &type, &name) == 0) std::free(name);
}

void property(std::string_view line) {
  const size_t colon = std::min(line.find(':'), line.size());
  const auto parsed =
      capi::parse_cont_prop(line.substr(0, colon), line.substr(std::min(colon + 1, line.size())));
  if (!parsed) return;
  const capi::PropRule* const rule = capi::cont_prop_rule(parsed->type);
  CHECK(rule != nullptr);
  if (rule->kind == capi::ValueKind::number) CHECK(capi::number_is_valid(*rule, parsed->number));
}

void array(ByteView bytes) {
  const auto attr = capi::parse_array_attr(bytes);
  if (!attr) return;
  const auto again = capi::encode(*attr);
  CHECK(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  testing::FuzzInput in(data, size);
  switch (in.u8() % 4) {
    case 0:
      binary(in.rest());
      break;
    case 1:
      text(std::string(as_chars(in.rest())));
      break;
    case 2:
      property(as_chars(in.rest()));
      break;
    default:
      array(in.rest());
      break;
  }
  return 0;
}

cairn::testing::FuzzSeeds fuzz_seeds() {
  testing::FuzzSeeds seeds;
  const auto add = [&seeds](uint8_t choice, ByteView bytes) {
    seeds.push_back({static_cast<std::byte>(choice)});
    testing::append(seeds.back(), bytes);
  };
  const char* lines[] = {"A::OWNER@:rwdtTaAo", "A::user1@:r",   "A:G:GROUP@:rwtT",
                         "A:G:readers@:r",     "A::EVERYONE@:", "UL:SF:user2@:rw"};
  daos_acl* acl = nullptr;
  CHECK(daos_acl_from_strs(lines, std::size(lines), &acl) == 0);
  add(0, view_of(acl->dal_ace, acl->dal_len));
  daos_acl_free(acl);
  for (const char* line : lines) add(1, as_bytes(line));
  for (const char* line : {"u:user1@", "g:readers@", "rd_fac:1", "label:docs", "cksum:crc32",
                           "srv_cksum:on", "ec_cell_sz:131072"}) {
    add(2, as_bytes(line));
  }
  add(3, capi::encode({.cell_bytes = 8, .chunk_cells = 1u << 20}));
  return seeds;
}
