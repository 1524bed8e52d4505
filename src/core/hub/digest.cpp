// libcrypto's digests by EVP; CRC-32C, which it lacks, by base/crc32c.h.
#include "hub/digest.h"

#include <fmt/format.h>
#include <nestvit/error.h>
#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <fstream>
#include <memory>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/file.h"

namespace nestvit {
namespace {

constexpr size_t kPiece = 1 << 18;

const EVP_MD* algorithm(DigestKind kind) {
  switch (kind) {
    case DigestKind::kMd5:
      return EVP_md5();
    case DigestKind::kSha1:
      return EVP_sha1();
    case DigestKind::kSha256:
      return EVP_sha256();
    case DigestKind::kCrc32c:
      return nullptr;
  }
  return nullptr;
}

class Digest {
 public:
  explicit Digest(DigestKind kind) : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    // A system that allows approved algorithms only (FIPS) may refuse MD5.
    if (!context_ || EVP_DigestInit_ex(context_.get(), algorithm(kind), nullptr) != 1)
      throw Error(
          fmt::format("this system's libcrypto does not offer {}", Checksum{kind, ""}.name()));
  }
  void update(std::string_view bytes) {
    NESTVIT_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
  }
  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
    unsigned size = 0;
    NESTVIT_CHECK(EVP_DigestFinal_ex(context_.get(), bytes.data(), &size) == 1);
    std::string text;
    for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", bytes[i]);
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

std::string crc_hex(std::span<const std::byte> bytes) {
  return fmt::format("{:08x}", crc32c(bytes));
}

}  // namespace

std::string Checksum::name() const {
  if (git_blob) return "git SHA-1";
  switch (kind) {
    case DigestKind::kMd5:
      return "MD5";
    case DigestKind::kSha1:
      return "SHA-1";
    case DigestKind::kSha256:
      return "SHA-256";
    case DigestKind::kCrc32c:
      return "CRC32C";
  }
  return "?";
}

std::string digest_text(DigestKind kind, std::string_view text) {
  if (kind == DigestKind::kCrc32c) return crc_hex(std::as_bytes(std::span(text)));
  Digest digest(kind);
  digest.update(text);
  return digest.hex();
}

std::string digest_file(const Checksum& kind, const std::filesystem::path& path) {
  if (kind.kind == DigestKind::kCrc32c) return crc_hex(MappedFile::open(path)->bytes());
  // Read in pieces: a mapping would count as our memory.
  std::ifstream file(path, std::ios::binary);
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (!file || error) throw Error(fmt::format("cannot read {}", path.string()), "check the path");
  Digest digest(kind.kind);
  if (kind.git_blob) digest.update(fmt::format("blob {}", size) + '\0');
  std::string piece(kPiece, '\0');
  while (file.read(piece.data(), std::ssize(piece)) || file.gcount() > 0)
    digest.update(std::string_view(piece).substr(0, static_cast<size_t>(file.gcount())));
  if (file.bad()) throw Error(fmt::format("cannot read {}", path.string()));
  return digest.hex();
}

std::string hex_of_base64(std::string_view text) {
  static constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string hex;
  uint32_t bits = 0;
  int count = 0;
  while (text.ends_with('=')) text.remove_suffix(1);
  for (char letter : text) {
    const size_t value = kLetters.find(letter);
    if (value == std::string_view::npos)
      throw Error(fmt::format("\"{}\" is not base64", text.substr(0, 64)));
    bits = (bits << 6) | static_cast<uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    hex += fmt::format("{:02x}", (bits >> count) & 0xff);
  }
  return hex;
}

}  // namespace nestvit
