#include "cmd/server/config_keys.h"

#include <array>

namespace cairn::server {

namespace {

using enum Handling;

constexpr auto kRules = std::to_array<KeyRule>({
    {"name", honoured, "the name of the system: daos_server, no other"},
    {"mgmt_svc_replicas", honoured,
     "the host of the system service, HOST or HOST:PORT: this one, or another one whose system is "
     "joined; no second one yet"},
    {"access_points", honoured, "the old name of mgmt_svc_replicas"},
    {"control_metadata.path", honoured,
     "the system's state is below it, and metadata is on the devices by bdev_roles"},
    {"control_metadata.device", refused,
     "mount the device yourself and give control_metadata.path"},
    {"port", honoured, "TCP port for dmg and clients; 10001"},
    {"control_iface", honoured, "listens at this interface's first IPv4 address only"},
    {"transport_config.allow_insecure", honoured,
     "must be true: certificates are not supported yet"},
    {"transport_config.client_cert_dir", noted, "certificates are not supported yet"},
    {"transport_config.ca_cert", noted, "certificates are not supported yet"},
    {"transport_config.cert", noted, "certificates are not supported yet"},
    {"transport_config.key", noted, "certificates are not supported yet"},
    {"fault_path", noted, "all engines of one host are one fault domain"},
    {"fault_cb", refused, "give fault_path; no program is run for it"},
    {"provider", honoured,
     "ofi+tcp: TCP of our own; by libfabric: ofi+tcp;ofi_rxm, ofi+shm, and untested "
     "ofi+verbs;ofi_rxm, ofi+cxi, ofi+efa"},
    {"fabric_auth_key", noted, "TCP has no key"},
    {"crt_timeout", noted, "CAIRN_RECONNECT_GRACE of a client says how long it waits"},
    {"disable_srx", noted, "there are no receive queues to share"},
    {"core_dump_filter", honoured, "of all engines; the kernel's default without it"},
    {"bdev_exclude", noted, "PCI addresses are not used"},
    {"disable_vfio", noted, "the kernel drives the devices"},
    {"disable_vmd", noted, "the kernel drives the devices"},
    {"disable_hotplug", noted, "the kernel drives the devices"},
    {"hyperthreads", noted, "first_core says where an engine's threads run"},
    {"socket_dir", noted, "sockets are in the system's directory"},
    {"nr_hugepages", noted, "no huge pages are needed"},
    {"disable_hugepages", noted, "no huge pages are needed"},
    {"allow_numa_imbalance", noted, "engines are not bound to NUMA nodes"},
    {"allow_thp", noted, "transparent huge pages do no harm"},
    {"kernel_config_path", noted, "the kernel's configuration does not matter"},
    {"system_ram_reserved", noted, "there is no RAM disk to size"},
    {"control_log_mask", honoured, "least severity that is logged"},
    {"control_log_file", honoured, "the server's log; stderr without it"},
    {"control_log_json", noted, "the log is text"},
    {"helper_log_file", noted, "there is no privileged helper"},
    {"telemetry_port", noted, "there is no telemetry endpoint yet"},
    {"disable_engine_auto_restart", honoured,
     "an engine that died stays away until dmg system start"},
    {"engine_auto_restart_min_delay", honoured,
     "least seconds from one start of an engine to the next; without it 0.1 to 10 s"},
    {"client_env_vars", noted, "clients have their own environment"},
    {"support_config.file_transfer_exec", noted, "there is no collect-log yet"},
    {"engines", honoured, "one process each, ranks in this order"},
    {"engines.targets", honoured, "shards of a pool on the engine, 1 to 64; the same for all"},
    {"engines.nr_xs_helpers", noted,
     "there are no helper threads; CAIRN_CORES in env_vars says how many threads the targets are "
     "dealt over"},
    {"engines.pinned_numa_node", noted, "first_core says where an engine runs"},
    {"engines.first_core", honoured, "the engine runs on this core and the next `targets` - 1"},
    {"engines.bypass_health_chk", noted, "the kernel drives the devices"},
    {"engines.fabric_iface", honoured, "the engine listens at its first IPv4 address"},
    {"engines.fabric_iface_port", honoured, "and at this port"},
    {"engines.provider", honoured, "as provider"},
    {"engines.log_mask", honoured, "least severity that is logged"},
    {"engines.log_file", honoured, "the engine's log; the server's without it"},
    {"engines.env_vars", honoured, "NAME=value, set for the engine"},
    {"engines.env_pass_through", noted, "an engine has the server's whole environment"},
    {"engines.modules", noted, "there is one program"},
    {"engines.bdev_auto_faulty.enable", noted, "a shard stops at its first failed write"},
    {"engines.bdev_auto_faulty.max_io_errs", noted, "a shard stops at its first failed write"},
    {"engines.bdev_auto_faulty.max_csum_errs", noted, "cairn check --losses lists what is damaged"},
    {"engines.spdk_iobuf.small_pool_count", noted, "SPDK is not used"},
    {"engines.spdk_iobuf.large_pool_count", noted, "SPDK is not used"},
    {"engines.acceleration.engine", noted, "SPDK is not used"},
    {"engines.acceleration.options", noted, "SPDK is not used"},
    {"engines.spdk_rpc_server.enable", noted, "SPDK is not used"},
    {"engines.spdk_rpc_server.sock_addr", noted, "SPDK is not used"},
    {"engines.storage", honoured, "tiers: first ram, then file or kdev"},
    {"engines.storage.class", honoured,
     "ram, file or kdev; for NVMe give kdev and the block device, for DCPM ram"},
    {"engines.storage.scm_mount", honoured,
     "a directory, which need not be a mount point; without control_metadata.path metadata lies "
     "there"},
    {"engines.storage.scm_size", noted,
     "no RAM disk is made; dmg pool create --mem-ratio bounds memory"},
    {"engines.storage.scm_list", refused,
     "persistent memory is not supported: leave it out, class: ram"},
    {"engines.storage.scm_hugepages_disabled", noted, "no RAM disk is made"},
    {"engines.storage.bdev_list", honoured, "absolute paths of files or block devices"},
    {"engines.storage.bdev_size", honoured, "GB of each file that is made"},
    {"engines.storage.bdev_number", noted, "bdev_list says which devices there are"},
    {"engines.storage.bdev_busid_range", refused,
     "PCI addresses are not used: class: kdev and bdev_list"},
    {"engines.storage.bdev_roles", honoured, "wal, meta, data: each on one tier"},
});

}  // namespace

std::span<const KeyRule> key_rules() { return kRules; }

}  // namespace cairn::server
