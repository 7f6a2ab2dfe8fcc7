// Listing directories.
#include "dfs/mount.h"

namespace cairn::dfs {

Task<FsResult<DirPage>> Mount::list(const Node& dir, PageRequest request) {
  if (!dir.is_dir()) co_return fs_fail(ENOTDIR, "dfs: not a directory");
  model::ListRequest wanted{.what = model::ListRequest::What::dkeys};
  wanted.count_max = request.names_max;
  wanted.bytes_max = request.bytes_max;
  wanted.position = std::move(request.position);
  CO_TRY(listed, co_await container_->list(dir.oid, std::move(wanted)));
  if (listed.too_small) co_return fs_fail(E2BIG, "dfs: the buffer does not hold one name");
  DirPage page;
  page.names.reserve(listed.lengths.size());
  size_t at = 0;
  for (const uint64_t length : listed.lengths) {
    const std::string_view name = as_chars(ByteView{listed.keys}.subspan(at, length));
    // Callers make C strings and paths of names; nobody but a foreign writer makes such ones.
    if (name.empty() || name.size() > kNameBytesMax ||
        name.find_first_of(std::string_view{"/\0", 2}) != std::string_view::npos) {
      co_return fs_fail(EIO, "dfs: a directory holds a key that is no name: damaged");
    }
    page.names.emplace_back(name);
    at += length;
  }
  page.position = std::move(listed.position);
  page.eof = listed.eof;
  co_return std::move(page);
}

Task<FsResult<Bytes>> Mount::position_of(const Node& dir, const std::string& name) {
  if (!dir.is_dir() || name.empty()) {
    co_return fs_fail(EINVAL, "dfs: a listing starts at a name in a directory");
  }
  CO_TRY(position, co_await container_->position_of(dir.oid, model::ListRequest::What::dkeys,
                                                    as_bytes(name)));
  co_return std::move(position);
}

}  // namespace cairn::dfs
