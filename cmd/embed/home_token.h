// The token of a home: 32 random bytes in the file `token` (mode 0600, 64 hexadecimal digits and a
// line feed), which clients over TCP must know.
#pragma once

#include <string>

#include "fabric/hello.h"

namespace cairn::embed {

/// The home's token, made if there is none. @error no_perm, no_space, io, format_invalid  one line
/// on stderr
Result<fabric::Token> make_token(const std::string& home);
/// @error nonexistent, format_invalid, no_perm  one line on stderr
Result<fabric::Token> read_token(const std::string& path);

}  // namespace cairn::embed
