// The home of a system: what a configuration makes of directories, files and devices, and whether a
// home that is there is that of the configuration. Everything here blocks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "client/home.h"
#include "cmd/embed/home_format.h"
#include "cmd/embed/launch_file.h"
#include "cmd/server/config.h"
#include "cmd/server/replica.h"

namespace cairn::server {

/// The first IPv4 address of an interface; empty text: of all of them, 0.0.0.0.
/// @error nonexistent  there is no such interface, or it has none
Result<std::string> address_of(const std::string& interface);

/// The devices of every engine, with their roles.
std::vector<client::HomeDevice> devices_of(const ServerConfig& config);

/// What the home says; nullopt: the storage has to be formatted first. It may have fewer engines
/// than the configuration: grow_system(). A line on stderr for errors.
/// @param elsewhere  the system's services are on another machine
/// @error invalid  the home has more engines, or other targets, than the configuration, or was
/// formatted with its services elsewhere   Others: embed::load_home()
Result<std::optional<embed::HomeFile>> look_at_home(const ServerConfig& config, bool elsewhere);

/// Makes directories, files of class `file`, and the home. @param wipe  takes devices that hold
/// something, and a home that is there  Errors have had their line on stderr.
Result<void> format_home(const ServerConfig& config, bool wipe);

/// The services are not there yet: try again.
bool may_come(const Error& error);

/// The same for a machine whose services are elsewhere: it joins the system. Errors but those of
/// may_come() have had their line on stderr.
Result<void> join_home(const ServerConfig& config, const ServicePlace& services, bool wipe);

/// Formats the engines that the home has not got yet. Errors have had their line on stderr.
Result<void> grow_system(const ServerConfig& config, const embed::HomeFile& home, bool wipe);

/// How the engines are started; the first one has that rank. @error nonexistent  an interface is
/// not there; a line on stderr
Result<embed::LaunchFile> launch_of(const ServerConfig& config, uint32_t first_rank);

/// CAIRN_LOG for a mask such as "ERR,mgmt=DEBUG".
std::string log_level(std::string_view mask);

}  // namespace cairn::server
