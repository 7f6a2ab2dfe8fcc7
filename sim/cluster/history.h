// History: what clients asked of registers, when, and what they learned; and the check that it can
// be explained. A register holds a value, told apart by its number, or nothing (0). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/clock.h"

namespace cairn::sim {

using Value = uint64_t;
inline constexpr Value kNothing = 0;

/// One operation on one register.
struct RegisterOp {
  enum class Sees : uint8_t { any, value, something, nothing };
  Instant begin = 0;
  Instant end = kNever;   // kNever: nobody knows
  bool happened = false;  // else it may have, at any time from `begin` on
  Sees sees = Sees::any;  // at its moment
  Value seen = kNothing;  // Sees::value
  bool writes = false;
  Value written = kNothing;
  const char* name = "";
};

enum class Verdict : uint8_t { explained, impossible, too_hard };

/// Is there an order of the operations that keeps to their times (an operation that ended before
/// another one began comes first), in which each sees what it saw? By Wing and Gong's search with
/// Lowe's memory of places where it has been.
/// @param initial  the register's value before all of them
/// @param steps_max  of the search; beyond it: too_hard
Verdict explain(Value initial, const std::vector<RegisterOp>& ops, uint64_t steps_max = 2'000'000);

/// For people: one operation a line, in the order of their beginnings.
std::string describe(Value initial, std::vector<RegisterOp> ops);

}  // namespace cairn::sim
