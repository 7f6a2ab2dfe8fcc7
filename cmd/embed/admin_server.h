// AdminServer: what the system's own ask of one engine (wire/engine_admin.proto), executed on its
// shards. Requests of services count only from the session that joined last: a server that has been
// replaced changes nothing any more. Copies are recognised by sequence. Bytes are hostile. Home:
// the reactor given.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "cmd/embed/local_engine.h"
#include "wire/engine_admin.h"

namespace cairn::embed {

class AdminServer {
 public:
  struct Hooks {
    /// A service has joined; its session.
    std::function<void(uint64_t session)> joined = {};
    std::function<void()> leave = {};
    /// Addresses of an engine of the system; only where the services are.
    std::function<std::vector<std::string>(uint32_t rank)> locate = {};
  };
  /// `engine` is borrowed. @param is_member  services may join; else only engines ask
  AdminServer(Reactor& reactor, const Uuid& system, uint32_t rank, LocalEngine& engine,
              bool is_member, Hooks hooks);

  /// For StreamServer::set_admin().
  fabric::Service& door() { return door_; }
  /// Told to those who join.
  void set_addresses(std::vector<std::string> addresses) { addresses_ = std::move(addresses); }
  /// A session has lost its last connection. What a service asked for is still recognised when it
  /// comes again, until the next service joins.
  void end_session(uint64_t session);
  /// Requests without an end get one. Before stop().
  void release();
  /// Refuses new requests, waits for those inside. Before destruction.
  Task<void> stop();

 private:
  class Inside;
  Task<Result<Bytes>> handle(engine::ControlCall call);
  Task<Result<wire::AdminReply>> join(uint64_t session);
  Task<Result<wire::AdminReply>> watch(uint64_t session);
  Result<wire::AdminReply> locate(uint32_t rank) const;
  Task<Result<wire::AdminReply>> run(wire::AdminRequest request);
  Task<Result<wire::AdminReply>> run_pool(wire::AdminRequest request);
  Task<Result<wire::AdminReply>> run_container(wire::AdminRequest request);
  Task<Result<wire::AdminReply>> run_handles(wire::AdminRequest request);
  Task<Result<wire::AdminReply>> run_peer(wire::AdminRequest request);
  wire::AdminReply about() const;

  const uint32_t rank_;
  LocalEngine& engine_;
  const bool is_member_;
  Hooks hooks_;
  engine::Engine door_;                // has no shards: it parses, and recognises copies
  std::vector<std::string> addresses_;
  uint64_t service_ = 0;               // the session that joined last
  bool serving_ = false;
  bool released_ = false;
  std::map<uint64_t, size_t> inside_;  // requests of services, by session
  std::set<uint64_t> watching_;        // sessions of watch()
  WaitList left_;                      // inside_ or watching_ lost one, or release()
};

}  // namespace cairn::embed
