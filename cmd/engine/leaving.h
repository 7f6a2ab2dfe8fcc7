// Leaving: something that serves until it is told to go.
#pragma once

namespace cairn::engine_program {

class Leaving {
 public:
  virtual ~Leaving() = default;
  /// Makes it end soon. Any thread.
  virtual void leave() = 0;
};

}  // namespace cairn::engine_program
