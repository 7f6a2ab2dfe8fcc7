// Records as text and as JSON.
#include "cmd/ddb/ddb.h"
#include "cmd/tool/format.h"
#include "vos/key_text.h"
#include "vos/value_format.h"

namespace cairn::ddb {

namespace {

using tool::Json;

const char* form_text(vos::Form form) {
  switch (form) {
    case vos::Form::mark:
      return "mark";
    case vos::Form::inlined:
      return "inline";
    case vos::Form::packed:
      return "packed";
    case vos::Form::data:
      return "data";
  }
  return "unknown";
}

Json runs_json(const vos::BlockData& data) {
  Json runs = Json::array();
  for (const media::Extent& run : data.runs) {
    runs.push_back({{"block", run.block}, {"count", run.count}});
  }
  return runs;
}

void add_value(Json& json, vos::Kind kind, ByteView bytes) {
  const auto value = vos::parse_value(kind, bytes);
  if (!value) {
    json["damaged"] = value.error().what();
    return;
  }
  json["form"] = form_text(value->form);
  if (value->minor_epoch != 0) json["minor_epoch"] = value->minor_epoch;
  if (kind == vos::Kind::present) {
    json["type"] = value->present_type == model::ValueType::single ? "single" : "array";
  }
  if (kind == vos::Kind::checksums) json["checksums"] = value->inlined.size() / 4;
  if (kind == vos::Kind::extent) {
    json["count"] = value->count;
    json["joined"] = value->joined;
  }
  if (value->record_bytes != 0) json["record_bytes"] = value->record_bytes;
  if (value->payload_bytes != 0) json["bytes"] = value->payload_bytes;
  if (value->form != vos::Form::data) return;
  const auto data = vos::parse_data(*value);
  if (!data) {
    json["damaged"] = data.error().what();
    return;
  }
  json["skip"] = data->skip;
  json["runs"] = runs_json(*data);
}

void add_policy(Json& json, ByteView bytes) {
  const auto policy = vos::parse_policy(bytes);
  if (!policy) {
    json["damaged"] = policy.error().what();
    return;
  }
  json["worm_inline_max"] = policy->inline_bytes_max;
  json["worm_object_max"] = policy->object_bytes_max;
  json["worm_compress"] = policy->compress;
  json["worm_cold_after"] = policy->cold_after_s;
  if (policy->seal.is_set()) json["sealed"] = model::seal_text(policy->seal);
}

}  // namespace

Json record_json(ByteView key, ByteView value) {
  const vos::KeyText text = vos::key_text(key);
  Json json{{"key", text.text()}, {"range", text.range}};
  if (value.size() < index::kStampBytes) {
    json["damaged"] = "the value is shorter than an epoch";
    return json;
  }
  json["epoch"] = vos::epoch_of(value);
  json["value_bytes"] = value.size();
  const auto range = key.size() > 4 ? static_cast<vos::Range>(key[4]) : vos::Range::session;
  if (range == vos::Range::marker || range == vos::Range::session) return json;
  if (range == vos::Range::policy) {
    add_policy(json, value);
    return json;
  }
  const auto parsed = vos::parse_key(key);
  if (!parsed) {
    // Versions have a longer key, whose end says which; the rest of it is alike.
    if (text.record.empty() || text.cut) json["damaged"] = parsed.error().what();
    return json;
  }
  json["kind"] = vos::kind_text(parsed->kind);
  add_value(json, parsed->kind, value);
  return json;
}

std::string record_line(const Json& record) {
  std::string out = record["key"].get<std::string>();
  if (record.contains("epoch")) {
    out += "  epoch " + std::to_string(record["epoch"].get<uint64_t>());
  }
  for (const char* name : {"type", "form", "count", "record_bytes", "bytes", "checksums"}) {
    if (!record.contains(name)) continue;
    const Json& field = record[name];
    out += std::string("  ") + name + " " +
           (field.is_string() ? field.get<std::string>() : field.dump());
  }
  if (record.contains("runs")) {
    out += "  blocks";
    for (const Json& run : record["runs"]) {
      const auto block = run["block"].get<uint64_t>();
      out += " " + std::to_string(block) + "-" +
             std::to_string(block + run["count"].get<uint64_t>() - 1);
    }
  }
  if (record.contains("damaged")) out += "  DAMAGED: " + record["damaged"].get<std::string>();
  return out;
}

}  // namespace cairn::ddb
