// Portable handles as another process gets them. A blob that names another process as its maker
// takes the way of a foreign one; the home is a real one, in this process.
#include "capi/daos/global.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "capi/daos/library.h"

namespace cairn::capi {
namespace {

namespace fs = std::filesystem;

class GlobalTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "cairn_global_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    setenv("CAIRN_LOG", "off", 1);
    setenv("CAIRN_HOME", (root_ + "/home").c_str(), 1);
    ASSERT_EQ(daos_init(), 0);
    client::System& sys = *capi::system().value();
    ASSERT_TRUE(sys.context().run(sys.pool_create({.label = "p", .bytes = 128u << 20})));
    ASSERT_EQ(daos_pool_connect2("p", nullptr, DAOS_PC_RW, &pool_, nullptr, nullptr), 0);
    ASSERT_EQ(daos_cont_create_with_label(pool_, "c", nullptr, nullptr, nullptr), 0);
    ASSERT_EQ(daos_cont_open2(pool_, "c", DAOS_COO_RW, &cont_, nullptr, nullptr), 0);
  }
  void TearDown() override {
    EXPECT_EQ(daos_fini(), 0);
    fs::remove_all(root_);
  }

  /// What another process would have sent; `change` may damage it in a way that its checksum hides.
  template <class Change>
  d_iov_t foreign(int (*export_handle)(daos_handle_t, d_iov_t*), daos_handle_t handle,
                  GlobalKind kind, Change change) {
    d_iov_t iov{};
    d_iov_set(&iov, bytes_, sizeof bytes_);
    EXPECT_EQ(export_handle(handle, &iov), 0);
    GlobalBlob blob = import_blob(iov, kind).value();
    blob.process ^= 1;
    change(blob);
    EXPECT_TRUE(export_blob(blob, &iov));
    return iov;
  }
  template <class Change>
  d_iov_t foreign_pool(Change change) {
    return foreign(daos_pool_local2global, pool_, GlobalKind::pool, change);
  }
  template <class Change>
  d_iov_t foreign_cont(Change change) {
    return foreign(daos_cont_local2global, cont_, GlobalKind::container, change);
  }
  static void nothing(GlobalBlob&) {}

  std::string root_;
  char bytes_[sizeof(GlobalBlob)] = {};
  daos_handle_t pool_{}, cont_{};
};

TEST_F(GlobalTest, A_foreign_handle_is_attached_and_closed_without_its_original) {
  // Goal: local2global and global2local between processes. Method: pool and container; an array of
  // the container through the copy; close copies first, then the originals under a copy.
  daos_handle_t pool{}, cont{}, array{}, array_copy{};
  ASSERT_EQ(daos_pool_global2local(foreign_pool(nothing), &pool), 0);
  ASSERT_EQ(daos_cont_global2local(pool, foreign_cont(nothing), &cont), 0);
  daos_cont_info_t info{};
  ASSERT_EQ(daos_cont_query(cont, &info, nullptr, nullptr), 0);
  EXPECT_EQ(info.ci_nhandles, 1u);

  daos_obj_id_t oid{};
  ASSERT_EQ(daos_array_generate_oid(cont_, &oid, true, 0, 0, 0), 0);
  ASSERT_EQ(daos_array_create(cont_, oid, DAOS_TX_NONE, 1, 4096, &array, nullptr), 0);
  d_iov_t iov{};
  d_iov_set(&iov, bytes_, sizeof bytes_);
  ASSERT_EQ(daos_array_local2global(array, &iov), 0);
  ASSERT_EQ(daos_array_global2local(cont, iov, 0, &array_copy), 0);
  EXPECT_EQ(daos_array_set_size(array_copy, DAOS_TX_NONE, 77, nullptr), 0);
  daos_size_t size = 0;
  EXPECT_EQ(daos_array_get_size(array, DAOS_TX_NONE, &size, nullptr), 0);
  EXPECT_EQ(size, 77u);

  EXPECT_EQ(daos_cont_close(cont, nullptr), 0);
  EXPECT_EQ(daos_cont_query(cont_, &info, nullptr, nullptr), 0);
  ASSERT_EQ(daos_cont_global2local(pool, foreign_cont(nothing), &cont), 0);
  EXPECT_EQ(daos_cont_close(cont_, nullptr), 0);
  EXPECT_NE(daos_array_get_size(array_copy, DAOS_TX_NONE, &size, nullptr), 0);
  EXPECT_EQ(daos_pool_disconnect(pool_, nullptr), 0);
  EXPECT_EQ(daos_pool_query(pool, nullptr, nullptr, nullptr, nullptr), -DER_NO_HDL);
  EXPECT_EQ(daos_cont_close(cont, nullptr), 0);
  EXPECT_EQ(daos_pool_disconnect(pool, nullptr), 0);
  EXPECT_EQ(daos_pool_disconnect(pool, nullptr), -DER_NO_HDL);
}

TEST_F(GlobalTest, A_blob_that_names_nothing_here_is_refused) {
  // Goal: hostile and stale blobs. Method: another home, an unknown handle, another owner, both
  // also from this process; the originals stay.
  daos_handle_t out{};
  const auto other_home = [](GlobalBlob& blob) { blob.oid[0] ^= 1; };
  const auto unknown = [](GlobalBlob& blob) { blob.extra ^= 1; };
  const auto other_owner = [](GlobalBlob& blob) { blob.owner.bytes[0] ^= 1; };
  const auto own = [](GlobalBlob& blob) {
    blob.process ^= 1;
    blob.oid[1] ^= 1;
  };
  EXPECT_EQ(daos_pool_global2local(foreign_pool(other_home), &out), -DER_INVAL);
  EXPECT_EQ(daos_pool_global2local(foreign_pool(own), &out), -DER_INVAL);
  EXPECT_EQ(daos_pool_global2local(foreign_pool(unknown), &out), -DER_NO_HDL);
  EXPECT_EQ(daos_pool_global2local(foreign_pool(other_owner), &out), -DER_INVAL);
  EXPECT_EQ(daos_cont_global2local(pool_, foreign_cont(other_home), &out), -DER_INVAL);
  EXPECT_EQ(daos_cont_global2local(pool_, foreign_cont(unknown), &out), -DER_NO_HDL);
  EXPECT_EQ(daos_cont_global2local(pool_, foreign_cont(other_owner), &out), -DER_INVAL);
  EXPECT_EQ(daos_pool_global2local(foreign_cont(nothing), &out), -DER_INVAL);
  EXPECT_EQ(daos_cont_query(cont_, nullptr, nullptr, nullptr), 0);
}

}  // namespace
}  // namespace cairn::capi
