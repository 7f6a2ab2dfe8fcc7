#include "vos/loss.h"

#include "vos/key_text.h"

namespace cairn::vos {

std::string loss_text(const Loss& loss) {
  if (loss.what == Loss::What::page) {
    return "page " + std::to_string(loss.page) + " of level " + std::to_string(loss.level) +
           " held everything " + key_range_text(loss.low, loss.high) + ": " + loss.cause;
  }
  std::string out = key_text(loss.low).text();
  if (loss.what == Loss::What::data) {
    out += loss.array ? ": records" : ": bytes";
    for (const model::Recx& part : loss.parts) {
      out += " " + std::to_string(part.index) + "-" + std::to_string(part.index + part.count - 1);
    }
  }
  return out + ": " + loss.cause;
}

}  // namespace cairn::vos
