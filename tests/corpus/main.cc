// The plain main of a fuzz program: runs each file of the given corpus once (what ./dev test does),
// or writes the program's seeds. Usage: NAME_fuzz DIR|FILE..., NAME_fuzz --seeds DIR
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/testing/fuzz.h"

namespace {

namespace fs = std::filesystem;

int write_seeds(const fs::path& dir) {
  fs::create_directories(dir);
  size_t number = 0;
  size_t bytes = 0;
  for (const cairn::Bytes& seed : fuzz_seeds()) {
    char name[32];
    std::snprintf(name, sizeof name, "seed-%02zu", number++);
    std::ofstream out(dir / name, std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(seed.data()),
              static_cast<std::streamsize>(seed.size()));
    if (!out.flush()) {
      std::fprintf(stderr, "cannot write %s\n", (dir / name).c_str());
      return 1;
    }
    bytes += seed.size();
  }
  std::printf("%zu seeds, %zu bytes, in %s\n", number, bytes, dir.c_str());
  return 0;
}

std::vector<fs::path> files_of(const fs::path& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 2 && arguments[0] == "--seeds") return write_seeds(arguments[1]);
  size_t count = 0;
  for (const std::string& argument : arguments) {
    for (const fs::path& path : files_of(argument)) {
      std::ifstream in(path, std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(in), {}};
      if (!in) {
        std::fprintf(stderr, "cannot read %s\n", path.c_str());
        return 1;
      }
      std::printf("%s\n", path.c_str());
      std::fflush(stdout);  // the last line names the input of a crash
      LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
      ++count;
    }
  }
  if (count == 0) {
    std::fprintf(stderr, "usage: %s CORPUS-DIR|FILE... or --seeds DIR\n", argv[0]);
    return 1;
  }
  std::printf("%zu inputs\n", count);
  return 0;
}
