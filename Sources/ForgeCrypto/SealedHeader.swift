package import ForgeCore

/// The 128 bytes before a sealed file's first segment (docs/formats/sealed-blob.md). They are bound into every segment's key.
package struct SealedHeader: Hashable, Sendable {
    package static let count = 128
    package static let standardSegmentLog2 = 26

    package let blob: ID
    package let project: ID
    package let store: ID
    /// A segment holds `1 << segmentLog2` bytes of plaintext.
    package let segmentLog2: Int

    private static let magic = Array("FORGEBLB".utf8)

    /// - Parameter segmentLog2: 16 to 26; anything but 26 is for tests.
    package init(blob: ID, project: ID, store: ID, segmentLog2: Int = standardSegmentLog2) {
        precondition(16...26 ~= segmentLog2, "a segment holds 64 KiB to 64 MiB")
        self.blob = blob
        self.project = project
        self.store = store
        self.segmentLog2 = segmentLog2
    }

    package init(parsing bytes: [UInt8]) throws(Fault) {
        guard bytes.count == SealedHeader.count, bytes.starts(with: SealedHeader.magic) else { throw SealedHeader.fault("it does not start with `FORGEBLB`") }
        guard bytes[8] == 0, bytes[9] == 1, bytes[10] == 0, bytes[11] == 1 else {
            throw SealedHeader.fault("its format or suite is newer than this program knows")
        }
        guard 16...26 ~= Int(bytes[12]) else { throw SealedHeader.fault("its segment size is out of range") }
        guard bytes[61...].allSatisfy({ $0 == 0 }) else { throw SealedHeader.fault("its reserved bytes are not zero") }
        // The slices have the right counts, so the ids exist.
        self.init(blob: ID(bytes[13..<29])!, project: ID(bytes[29..<45])!, store: ID(bytes[45..<61])!, segmentLog2: Int(bytes[12]))
    }

    package var bytes: [UInt8] {
        let fixed: [UInt8] = SealedHeader.magic + [0, 1, 0, 1, UInt8(segmentLog2)]
        let ids = blob.bytes + project.bytes + store.bytes
        return fixed + ids + [UInt8](repeating: 0, count: SealedHeader.count - fixed.count - ids.count)
    }

    /// Plaintext bytes of every segment but the last.
    package var segmentCount: Int { 1 << segmentLog2 }
    /// Bytes on disk of every segment but the last.
    package var strideCount: Int { Cobblestone.sealedCount(segmentCount) }
    package func offset(ofSegment index: Int) -> Int64 { Int64(SealedHeader.count) + Int64(index) * Int64(strideCount) }

    /// What segment `index` is bound to.
    package func context(ofSegment index: Int) -> [UInt8] {
        Array("forge.blob.v1\0".utf8) + bytes + (0..<8).map { UInt8(truncatingIfNeeded: UInt64(index) >> UInt64(56 - 8 * $0)) }
    }

    /// Bytes on disk of a file that holds `count` bytes.
    package func fileCount(plaintext count: Int64) -> Int64 {
        let full = count >> Int64(segmentLog2)
        return offset(ofSegment: Int(full)) + Int64(Cobblestone.sealedCount(Int(count - full << Int64(segmentLog2))))
    }

    /// Plaintext bytes in a file of this size, or nil when no whole file has this size.
    package func plaintextCount(file count: Int64) -> Int64? {
        guard count >= Int64(SealedHeader.count) else { return nil }
        let full = (count - Int64(SealedHeader.count)) / Int64(strideCount)
        let rest = Int((count - Int64(SealedHeader.count)) % Int64(strideCount))
        guard let last = Cobblestone.plaintextCount(rest), last < segmentCount else { return nil }
        return full << Int64(segmentLog2) + Int64(last)
    }

    private static func fault(_ why: String) -> Fault {
        Fault(.environment, "seal.header", "this is not a sealed file that can be opened", why: why, remedy: CobblestoneFault.remedy)
    }
}
