/// The extension type `ipaddr`: an IPv4 or IPv6 address with a prefix length. Equal when address and length are, so
/// `10.0.0.1/24` and `10.0.0.0/24` differ while `10.0.0.1` and `10.0.0.1/32` do not.
package struct IPNetwork: Hashable, Sendable {
    /// 32 or 128 bits of address.
    package let bits: UInt8
    package let address: UInt128
    package let prefix: UInt8

    private init(bits: UInt8, address: UInt128, prefix: UInt8) {
        self.bits = bits
        self.address = address
        self.prefix = prefix
    }

    /// Reads `a.b.c.d` or RFC 4291 groups, each with an optional `/prefix`. No leading zeros, no zone, no IPv4 inside IPv6.
    package init?(parsing text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count <= 43 else { return nil }
        let parts = bytes.split(separator: UInt8(ascii: "/"), maxSplits: 1, omittingEmptySubsequences: false)
        if let address = IPNetwork.v4(parts[0]) {
            self.init(bits: 32, address: address, prefix: 32)
        } else if let address = IPNetwork.v6(parts[0]) {
            self.init(bits: 128, address: address, prefix: 128)
        } else {
            return nil
        }
        if parts.count == 2 {
            let digits = parts[1]
            guard digits.count <= (bits == 32 ? 2 : 3), digits.count == 1 || digits.first != 0x30,
                let length = Digits.signed(digits, negative: false), length <= Int64(bits)
            else { return nil }
            self.init(bits: bits, address: address, prefix: UInt8(length))
        }
    }

    package var isV4: Bool { bits == 32 }

    package func isInRange(_ other: IPNetwork) -> Bool {
        bits == other.bits && first >= other.first && last <= other.last
    }

    package var isLoopback: Bool { isInRange(isV4 ? IPNetwork.loopback4 : IPNetwork.loopback6) }
    package var isMulticast: Bool { isInRange(isV4 ? IPNetwork.multicast4 : IPNetwork.multicast6) }

    private static let loopback4 = IPNetwork(bits: 32, address: 0x7f00_0000, prefix: 8)
    private static let loopback6 = IPNetwork(bits: 128, address: 1, prefix: 128)
    private static let multicast4 = IPNetwork(bits: 32, address: 0xe000_0000, prefix: 4)
    private static let multicast6 = IPNetwork(bits: 128, address: 0xff << 120, prefix: 8)

    private var hostMask: UInt128 { bits == prefix ? 0 : (UInt128.max >> UInt128(128 - (bits - prefix))) }
    private var first: UInt128 { address & ~hostMask }
    private var last: UInt128 { address | hostMask }

    private static func v4(_ text: ArraySlice<UInt8>) -> UInt128? {
        let octets = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard octets.count == 4 else { return nil }
        var address: UInt128 = 0
        for octet in octets {
            guard (1...3).contains(octet.count), octet.count == 1 || octet.first != 0x30, let value = Digits.signed(octet, negative: false), value <= 255 else {
                return nil
            }
            address = address << 8 | UInt128(value)
        }
        return address
    }

    private static func v6(_ text: ArraySlice<UInt8>) -> UInt128? {
        let colon = UInt8(ascii: ":")
        let bytes = Array(text)
        // `::` stands for at least one group of zeros, once.
        var gaps: [Int] = []
        for i in bytes.indices.dropLast() where bytes[i] == colon && bytes[i + 1] == colon { gaps.append(i) }
        guard gaps.count <= 1 else { return nil }
        func groups(_ part: ArraySlice<UInt8>) -> [UInt128]? {
            if part.isEmpty { return [] }
            var out: [UInt128] = []
            for group in part.split(separator: colon, omittingEmptySubsequences: false) {
                guard (1...4).contains(group.count) else { return nil }
                var value: UInt128 = 0
                for digit in group {
                    guard let nibble = hexValue(digit) else { return nil }
                    value = value << 4 | nibble
                }
                out.append(value)
            }
            return out
        }
        var all: [UInt128]
        if let gap = gaps.first {
            guard let head = groups(bytes[..<gap]), let tail = groups(bytes[(gap + 2)...]), head.count + tail.count <= 7 else { return nil }
            all = head + repeatElement(0, count: 8 - head.count - tail.count) + tail
        } else {
            guard let exact = groups(bytes[...]), exact.count == 8 else { return nil }
            all = exact
        }
        return all.reduce(0) { $0 << 16 | $1 }
    }

    private static func hexValue(_ c: UInt8) -> UInt128? {
        switch c {
        case 0x30...0x39: UInt128(c - 0x30)
        case 0x41...0x46: UInt128(c - 0x41 + 10)
        case 0x61...0x66: UInt128(c - 0x61 + 10)
        default: nil
        }
    }
}
