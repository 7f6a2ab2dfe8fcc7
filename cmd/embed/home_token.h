// The secrets of a home, each 32 random bytes in a file of mode 0600 (64 hexadecimal digits and a
// line feed): `token`, which clients over TCP must know, and `secret`, which the system's own show
// to each other there.
#pragma once

#include <string>

#include "fabric/hello.h"

namespace cairn::embed {

inline constexpr const char* kTokenFile = "token";
inline constexpr const char* kSecretFile = "secret";

/// That of the file HOME/NAME, made if there is none. @error no_perm, no_space, io, format_invalid
/// one line on stderr
Result<fabric::Token> make_token(const std::string& home, const char* name = kTokenFile);
/// Durable on return. @error no_perm, no_space, io  one line on stderr
Result<void> store_token(const std::string& home, const char* name, const fabric::Token& token);
/// The bytes of a token that a peer has sent. @error protocol
Result<fabric::Token> token_of(ByteView bytes);
/// @error nonexistent, format_invalid, no_perm  one line on stderr
Result<fabric::Token> read_token(const std::string& path);

}  // namespace cairn::embed
