/// Inflates one gzip file (RFC 1952, RFC 1951) within a bound, checking its CRC and its length. Written for strangers' files: every index is checked,
/// every loop consumes input or produces bounded output.
enum Gunzip {
    static func isGzip(_ bytes: [UInt8]) -> Bool { bytes.starts(with: [0x1f, 0x8b]) }

    static func inflate(_ bytes: [UInt8], limit: Int) throws(Refusal) -> [UInt8] {
        var reader = BitReader(bytes: bytes, at: try headerEnd(bytes))
        var out: [UInt8] = []
        var isLast = false
        while !isLast {
            isLast = try reader.bits(1) == 1
            switch try reader.bits(2) {
            case 0: try stored(&reader, &out, limit)
            case 1: try compressed(&reader, &out, limit, Huffman.fixedLiterals, Huffman.fixedDistances)
            case 2:
                let (literals, distances) = try dynamicTables(&reader)
                try compressed(&reader, &out, limit, literals, distances)
            default: throw broken("a block of no known kind")
            }
        }
        let at = reader.byteAligned()
        guard at + 8 <= bytes.count else { throw broken("it ends early") }
        func word(_ at: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) } }
        guard word(at) == crc32(out) else { throw broken("its checksum does not fit") }
        guard word(at + 4) == UInt32(truncatingIfNeeded: out.count) else { throw broken("its length does not fit") }
        guard bytes[(at + 8)...].allSatisfy({ $0 == 0 }) else { throw broken("more than one member, or something after it: not yet") }
        return out
    }

    static func broken(_ why: String) -> Refusal { Refusal(.malformed, "the gzip file is broken: \(why)") }

    private static func headerEnd(_ bytes: [UInt8]) throws(Refusal) -> Int {
        guard bytes.count >= 18, isGzip(bytes), bytes[2] == 8, bytes[3] & 0xe0 == 0 else { throw broken("its header is not gzip's") }
        var at = 10
        if bytes[3] & 4 != 0 { at += 2 + Int(bytes[10]) + Int(bytes[11]) << 8 }
        for flag: UInt8 in [8, 16] where bytes[3] & flag != 0 {
            while at < bytes.count, bytes[at] != 0 { at += 1 }
            at += 1
        }
        if bytes[3] & 2 != 0 { at += 2 }
        guard at < bytes.count else { throw broken("it ends in its header") }
        return at
    }

    private static func stored(_ reader: inout BitReader, _ out: inout [UInt8], _ limit: Int) throws(Refusal) {
        let at = reader.byteAligned()
        guard at + 4 <= reader.bytes.count else { throw broken("it ends early") }
        let count = Int(reader.bytes[at]) | Int(reader.bytes[at + 1]) << 8
        let inverse = Int(reader.bytes[at + 2]) | Int(reader.bytes[at + 3]) << 8
        guard count ^ inverse == 0xffff, at + 4 + count <= reader.bytes.count else { throw broken("a stored block's length does not fit") }
        guard out.count + count <= limit else { throw tooLarge(limit) }
        out += reader.bytes[(at + 4)..<(at + 4 + count)]
        reader.move(to: at + 4 + count)
    }

    private static func tooLarge(_ limit: Int) -> Refusal { Refusal(.tooLarge, "inflated it is larger than \(limit) bytes") }

    private static let lengthBase = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258]
    private static let lengthExtra = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0]
    private static let distanceBase = [
        1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
    ]

    private static func compressed(_ reader: inout BitReader, _ out: inout [UInt8], _ limit: Int, _ literals: Huffman, _ distances: Huffman) throws(Refusal) {
        while true {
            let symbol = try literals.next(&reader)
            if symbol == 256 { return }
            if symbol < 256 {
                guard out.count < limit else { throw tooLarge(limit) }
                out.append(UInt8(symbol))
                continue
            }
            guard symbol - 257 < lengthBase.count else { throw broken("a length of no known kind") }
            let length = lengthBase[symbol - 257] + (try reader.bits(lengthExtra[symbol - 257]))
            let code = try distances.next(&reader)
            guard code < distanceBase.count else { throw broken("a distance of no known kind") }
            let distance = distanceBase[code] + (try reader.bits(code < 4 ? 0 : code / 2 - 1))
            guard distance <= out.count else { throw broken("a distance before its start") }
            guard out.count + length <= limit else { throw tooLarge(limit) }
            for _ in 0..<length { out.append(out[out.count - distance]) }
        }
    }

    private static let codeOrder = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]

    private static func dynamicTables(_ reader: inout BitReader) throws(Refusal) -> (Huffman, Huffman) {
        let literalCount = try reader.bits(5) + 257
        let distanceCount = try reader.bits(5) + 1
        let codeCount = try reader.bits(4) + 4
        guard literalCount <= 286, distanceCount <= 30 else { throw broken("too many codes") }
        var codeLengths = [Int](repeating: 0, count: 19)
        for i in 0..<codeCount { codeLengths[codeOrder[i]] = try reader.bits(3) }
        let codes = try Huffman(codeLengths, isCompleteNeeded: true)
        var lengths: [Int] = []
        while lengths.count < literalCount + distanceCount {
            let symbol = try codes.next(&reader)
            switch symbol {
            case 0..<16: lengths.append(symbol)
            case 16:
                guard let last = lengths.last else { throw broken("a repetition of nothing") }
                lengths += Array(repeating: last, count: 3 + (try reader.bits(2)))
            case 17: lengths += Array(repeating: 0, count: 3 + (try reader.bits(3)))
            default: lengths += Array(repeating: 0, count: 11 + (try reader.bits(7)))
            }
        }
        guard lengths.count == literalCount + distanceCount, lengths[256] > 0 else { throw broken("its code lengths do not fit") }
        return (try Huffman(Array(lengths[..<literalCount]), isCompleteNeeded: true), try Huffman(Array(lengths[literalCount...]), isCompleteNeeded: false))
    }

    /// CRC-32 of RFC 1952 §8.
    static func crc32(_ bytes: [UInt8]) -> UInt32 {
        var crc: UInt32 = 0xffff_ffff
        for byte in bytes { crc = crcTable[Int((crc ^ UInt32(byte)) & 0xff)] ^ crc >> 8 }
        return ~crc
    }

    private static let crcTable: [UInt32] = (0..<256).map { n in (0..<8).reduce(UInt32(n)) { c, _ in c & 1 == 1 ? 0xedb8_8320 ^ c >> 1 : c >> 1 } }
}

/// Bits of a DEFLATE stream, least significant first.
struct BitReader {
    let bytes: [UInt8]
    private var at: Int
    private var held: UInt64 = 0
    private var heldCount = 0

    init(bytes: [UInt8], at: Int) {
        self.bytes = bytes
        self.at = at
    }

    mutating func bits(_ count: Int) throws(Refusal) -> Int {
        while heldCount < count {
            guard at < bytes.count else { throw Gunzip.broken("it ends early") }
            held |= UInt64(bytes[at]) << UInt64(heldCount)
            at += 1
            heldCount += 8
        }
        let value = Int(held & (1 << UInt64(count) - 1))
        held >>= UInt64(count)
        heldCount -= count
        return value
    }

    /// Drops the rest of the current byte; where the next whole byte stands.
    mutating func byteAligned() -> Int {
        at -= heldCount / 8
        held = 0
        heldCount = 0
        return at
    }

    mutating func move(to place: Int) { at = place }
}

/// A canonical Huffman code, decoded a bit at a time by counting (the method of zlib's puff).
struct Huffman {
    private var counts = [Int](repeating: 0, count: 16)
    private var symbols: [Int] = []

    init(_ lengths: [Int], isCompleteNeeded: Bool) throws(Refusal) {
        for length in lengths { counts[length] += 1 }
        counts[0] = 0
        var left = 1
        for length in 1...15 {
            left = left << 1 - counts[length]
            guard left >= 0 else { throw Gunzip.broken("a code has too many words") }
        }
        let used = counts.reduce(0, +)
        guard left == 0 || (!isCompleteNeeded && used <= 1) else { throw Gunzip.broken("a code has too few words") }
        for length in 1...15 { for (symbol, l) in lengths.enumerated() where l == length { symbols.append(symbol) } }
    }

    func next(_ reader: inout BitReader) throws(Refusal) -> Int {
        var code = 0, first = 0, index = 0
        for length in 1...15 {
            code |= try reader.bits(1)
            let count = counts[length]
            if code - count < first { return symbols[index + code - first] }
            index += count
            first = (first + count) << 1
            code <<= 1
        }
        throw Gunzip.broken("a word of no code")
    }

    /// SAFETY: RFC 1951 §3.2.6 gives complete codes; the distance code's 32 words of five bits fill it.
    static let fixedLiterals = try! Huffman(
        Array(repeating: 8, count: 144) + Array(repeating: 9, count: 112) + Array(repeating: 7, count: 24) + Array(repeating: 8, count: 8), isCompleteNeeded: true)
    static let fixedDistances = try! Huffman(Array(repeating: 5, count: 32), isCompleteNeeded: true)  // SAFETY: as above
}
