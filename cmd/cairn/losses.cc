#include "cmd/cairn/losses.h"

#include "vos/key_text.h"

namespace cairn::tool {

namespace {

/// A key of the config store: text.
std::string config_key_text(ByteView key) { return "'" + std::string(as_chars(key)) + "'"; }

Json key_json(const embed::StoreReport& store, ByteView key) {
  if (!store.is_shard) return {{"setting", std::string(as_chars(key))}};
  const vos::KeyText text = vos::key_text(key);
  Json json{{"path", text.text()}};
  if (text.container) {
    json["container"] = *text.container;
    const auto named = store.containers.find(*text.container);
    if (named != store.containers.end()) {
      json["container_uuid"] = to_string(named->second.uuid);
      json["container_label"] = named->second.label;
    }
  }
  if (!text.range.empty()) json["range"] = text.range;
  if (!text.object.empty()) json["object"] = text.object;
  if (!text.dkey.empty()) json["dkey"] = text.dkey;
  if (!text.akey.empty()) json["akey"] = text.akey;
  if (!text.record.empty()) json["record"] = text.record;
  json["cut"] = text.cut;
  return json;
}

/// " (container docs)", if it has a label.
std::string container_text(const embed::StoreReport& store, ByteView key) {
  const vos::KeyText text = vos::key_text(key);
  const auto named =
      text.container ? store.containers.find(*text.container) : store.containers.end();
  if (named == store.containers.end()) return "";
  return " (container " +
         (named->second.label.empty() ? to_string(named->second.uuid) : named->second.label) + ")";
}

}  // namespace

std::string store_title(const embed::StoreReport& store) {
  return store.label.empty() ? store.name : store.name + " (" + store.label + ")";
}

std::string loss_line(const embed::StoreReport& store, const vos::Loss& loss) {
  if (store.is_shard) return vos::loss_text(loss) + container_text(store, loss.low);
  const std::string from =
      loss.low.empty() ? "from the start" : "from " + config_key_text(loss.low);
  return "page " + std::to_string(loss.page) + " held every setting " + from +
         (loss.high.empty() ? " to the end" : " up to " + config_key_text(loss.high)) + ": " +
         loss.cause;
}

Json loss_json(const embed::StoreReport& store, const vos::Loss& loss) {
  if (loss.what == vos::Loss::What::page) {
    return {{"kind", "page"},
            {"page", loss.page},
            {"level", loss.level},
            {"from", loss.low.empty() ? Json(nullptr) : key_json(store, loss.low)},
            {"to", loss.high.empty() ? Json(nullptr) : key_json(store, loss.high)},
            {"cause", loss.cause}};
  }
  Json json{{"kind", loss.what == vos::Loss::What::data ? "data" : "record"},
            {"key", key_json(store, loss.low)}};
  if (loss.what == vos::Loss::What::data) {
    Json parts = Json::array();
    for (const model::Recx& part : loss.parts) {
      parts.push_back({{"from", part.index}, {"to", part.index + part.count - 1}});
    }
    json[loss.array ? "records" : "bytes"] = parts;
  }
  json["cause"] = loss.cause;
  return json;
}

Json stores_json(const std::vector<embed::StoreReport>& stores, bool losses) {
  Json parts = Json::array();
  for (const embed::StoreReport& store : stores) {
    Json part{{"name", store.name},
              {"pages", store.pages},
              {"records", store.records},
              {"blocks", store.blocks},
              {"problems", store.problems}};
    if (losses) {
      part["loss_count"] = store.loss_count;
      part["losses"] = Json::array();
      for (const vos::Loss& loss : store.losses) part["losses"].push_back(loss_json(store, loss));
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

size_t problem_count(const std::vector<embed::StoreReport>& stores) {
  size_t problems = 0;
  for (const embed::StoreReport& store : stores) {
    problems += std::max<size_t>(store.problems.size(), store.loss_count);
  }
  return problems;
}

}  // namespace cairn::tool
