//! CRC-32C (Castagnoli), the checksum at the end of every numbered message body.

/// Castagnoli polynomial, bits reversed. Source: RFC 3720, section 12.1.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// Bytes taken in one step: a test checks gigabytes.
const STEP: usize = 8;

/// Remainder of every byte that has `n` bytes of zeros behind it, for `n` below [`STEP`].
const TABLES: [[u32; 256]; STEP] = tables();

const fn tables() -> [[u32; 256]; STEP] {
    let mut tables = [[0; 256]; STEP];
    let mut byte = 0_u32;
    while byte < 256 {
        let mut remainder = byte;
        let mut bit = 0;
        while bit < 8 {
            let carry = if remainder & 1 == 1 { POLYNOMIAL } else { 0 };
            remainder = (remainder >> 1) ^ carry;
            bit += 1;
        }
        tables[0][byte as usize] = remainder;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < STEP {
        let mut byte = 0;
        while byte < 256 {
            let shorter: u32 = tables[zeros - 1][byte];
            tables[zeros][byte] = (shorter >> 8) ^ tables[0][(shorter & 0xff) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

/// CRC-32C of `bytes`.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    let (steps, rest) = bytes.as_chunks::<STEP>();
    for step in steps {
        let [a, b, c, d] = sum.to_le_bytes();
        sum = TABLES[7][usize::from(a ^ step[0])]
            ^ TABLES[6][usize::from(b ^ step[1])]
            ^ TABLES[5][usize::from(c ^ step[2])]
            ^ TABLES[4][usize::from(d ^ step[3])]
            ^ TABLES[3][usize::from(step[4])]
            ^ TABLES[2][usize::from(step[5])]
            ^ TABLES[1][usize::from(step[6])]
            ^ TABLES[0][usize::from(step[7])];
    }
    for byte in rest {
        sum = (sum >> 8) ^ TABLES[0][usize::from(sum.to_le_bytes()[0] ^ byte)];
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sums() {
        assert_eq!(crc32c(b""), 0);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }
}
