#include "runtime/address.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(Address, What_people_write_is_read_and_printed_back) {
  // Goal: all kinds, every form of a host. Method: parse, look, print.
  const auto path = parse_address("unix:/run/cairn/a b.sock");
  ASSERT_TRUE(path.has_value());
  EXPECT_EQ(path->kind, Address::Kind::unix_path);
  EXPECT_EQ(path->host, "/run/cairn/a b.sock");
  const auto six = parse_address("tcp:[fe80::1]:65535");
  ASSERT_TRUE(six.has_value());
  EXPECT_EQ(six->kind, Address::Kind::tcp);
  EXPECT_EQ(six->host, "fe80::1");
  EXPECT_EQ(six->port, 65535);
  EXPECT_TRUE(is_numeric(*six));
  for (const char* text : {"unix:/x", "tcp:127.0.0.1:0", "tcp:[::]:1", "tcp:host:80",
                           "tcp:a-1.b_2.example:7077", "tcp:[::ffff:1.2.3.4]:9",
                           "ofi+tcp;ofi_rxm://127.0.0.1:0", "ofi+verbs;ofi_rxm://[fe80::1]:31416",
                           "ofi+cxi://host:1", "ofi+efa://10.0.0.1:2", "ofi+shm://Engine-0_a"}) {
    const auto address = parse_address(text);
    ASSERT_TRUE(address.has_value()) << text;
    EXPECT_EQ(to_string(*address), text);
  }
  EXPECT_FALSE(is_numeric(*parse_address("tcp:host:80")));
  EXPECT_FALSE(is_numeric(*parse_address("ofi+cxi://host:80")));
  EXPECT_TRUE(is_numeric(*parse_address("ofi+shm://host")));
  const auto ofi = parse_address("ofi+tcp;ofi_rxm://10.0.0.7:7077");
  EXPECT_EQ(ofi->kind, Address::Kind::ofi);
  EXPECT_EQ(ofi->provider, "tcp;ofi_rxm");
  EXPECT_EQ(ofi->host, "10.0.0.7");
  EXPECT_EQ(ofi->port, 7077);
}

TEST(Address, What_is_no_address_is_refused) {
  // Goal: no text gets further than the parser. Method: each kind of mistake.
  using namespace std::string_view_literals;
  for (const std::string_view text : {""sv,
                                      "unix:"sv,
                                      "tcp:"sv,
                                      "unix"sv,
                                      "/run/x"sv,
                                      "unix:relative"sv,
                                      "unix:@abstract"sv,
                                      "unix:\0abstract"sv,
                                      "unix:/a\0b"sv,
                                      "unix:/"sv,
                                      "unix:/dir/"sv,
                                      "udp:1.2.3.4:5"sv,
                                      "tcp:1.2.3.4"sv,
                                      "tcp:1.2.3.4:"sv,
                                      "tcp::80"sv,
                                      "tcp:1.2.3.4:65536"sv,
                                      "tcp:1.2.3.4:-1"sv,
                                      "tcp:1.2.3.4:+1"sv,
                                      "tcp:1.2.3.4: 1"sv,
                                      "tcp:1.2.3.4:080"sv,
                                      "tcp:1.2.3.4:99999999999"sv,
                                      "tcp:1.2.3:4"sv,
                                      "tcp:1.2.3.256:4"sv,
                                      "tcp:::1:80"sv,
                                      "tcp:[::1]"sv,
                                      "tcp:[::1]80"sv,
                                      "tcp:[::1:80"sv,
                                      "tcp:[]:80"sv,
                                      "tcp:[host]:80"sv,
                                      "tcp:[1.2.3.4]:80"sv,
                                      "tcp:[fe80::1%eth0]:80"sv,
                                      "ofi+tcp;ofi_rxm:127.0.0.1:1"sv,
                                      "ofi+tcp://127.0.0.1:1"sv,
                                      "ofi+://127.0.0.1:1"sv,
                                      "ofi+sockets://127.0.0.1:1"sv,
                                      "ofi+cxi://127.0.0.1"sv,
                                      "ofi+shm://"sv,
                                      "ofi+shm://a/b"sv,
                                      "ofi+shm://a:1"sv,
                                      "ofi+shm://abcdefghijklmnopqrstuvwxyz1234567"sv,
                                      "tcp:[:80"sv,
                                      "tcp:ho st:80"sv,
                                      "tcp:-host:80"sv,
                                      "tcp:host\0:80"sv}) {
    const auto address = parse_address(text);
    ASSERT_FALSE(address.has_value()) << text;
    EXPECT_EQ(address.error().code(), Errc::invalid) << text;
  }
  const std::string long_path = "unix:/" + std::string(kSocketPathBytesMax, 'x');
  EXPECT_FALSE(parse_address(long_path).has_value());
  EXPECT_TRUE(parse_address(long_path.substr(0, long_path.size() - 1)).has_value());
  EXPECT_FALSE(parse_address("tcp:" + std::string(kHostBytesMax + 1, 'h') + ":1").has_value());
}

TEST(Address, A_numeric_address_resolves_to_itself_and_a_name_to_numbers) {
  // Goal: the look-up. Method: localhost, which every machine knows; no name server is asked.
  for (const char* text :
       {"unix:/x", "tcp:127.0.0.1:80", "tcp:[::1]:80", "ofi+cxi://127.0.0.1:80", "ofi+shm://x"}) {
    const auto found = resolve_blocking(*parse_address(text));
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(*found, std::vector<Address>{*parse_address(text)});
  }
  const auto found = resolve_blocking(*parse_address("tcp:localhost:80"));
  ASSERT_TRUE(found.has_value());
  ASSERT_FALSE(found->empty());
  for (const Address& address : *found) {
    EXPECT_TRUE(is_numeric(address));
    EXPECT_EQ(address.port, 80);
  }
}

}  // namespace
}  // namespace cairn
