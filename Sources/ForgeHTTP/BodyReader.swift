package import ForgeCore

/// Takes a body in pieces of the reader's own size, whatever pieces it came in. For one reader, one call at a time.
package actor BodyReader {
    private let stream: BodyStream
    private var waiting: [UInt8] = []
    private var taken = 0

    package init(_ stream: BodyStream) { self.stream = stream }

    /// The next `count` bytes; fewer only at the end of the body, and none when it has ended.
    package func read(_ count: Int) async throws(Fault) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(count)
        var pieces = stream.makeAsyncIterator()
        while out.count < count {
            if taken == waiting.count {
                guard let piece = try await pieces.next() else { break }
                (waiting, taken) = (piece, 0)
            }
            let part = waiting[taken..<min(waiting.count, taken + count - out.count)]
            out += part
            taken += part.count
        }
        return out
    }
}
