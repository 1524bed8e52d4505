// CRC-32C (Castagnoli, RFC 3720), and the masked form that TFRecord files and TensorBoard events
// hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace nestvit {

uint32_t crc32c(std::span<const std::byte> bytes);

// rotr(crc, 15) + 0xa282ead8: so that the CRC of data that itself holds CRCs stays meaningful.
uint32_t masked_crc32c(std::span<const std::byte> bytes);

}  // namespace nestvit
