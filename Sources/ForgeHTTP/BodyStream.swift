package import ForgeCore
import Synchronization

/// A body piece by piece, for one reader, once. What exceeds its limit, stops short or breaks off is a `Fault`.
package struct BodyStream: AsyncSequence, Sendable {
    package typealias Element = [UInt8]
    package typealias Failure = Fault

    private let source: Source

    /// - Parameters:
    ///   - expected: the announced length, if there is one; fewer bytes are a fault.
    ///   - next: gives the next piece, nil at the end; called by one task at a time.
    package init(limit: ByteCount, expected: Int? = nil, _ next: @escaping @Sendable () async throws(Fault) -> [UInt8]?) {
        source = Source(limit: limit.count, expected: expected, next: next)
    }

    package static let empty = BodyStream(limit: 0) { () throws(Fault) in nil }

    package func makeAsyncIterator() -> Iterator { Iterator(source: source) }

    package struct Iterator: AsyncIteratorProtocol {
        fileprivate let source: Source
        package mutating func next() async throws(Fault) -> [UInt8]? { try await source.next() }
        package mutating func next(isolation: isolated (any Actor)?) async throws(Fault) -> [UInt8]? { try await source.next() }
    }

    /// All of it.
    package func collect() async throws(Fault) -> [UInt8] {
        var out: [UInt8] = []
        for try await piece in self { out += piece }
        return out
    }

    /// Whether the end was seen; what is left unread costs the connection.
    var isFinished: Bool { source.isFinished }

    fileprivate final class Source: Sendable {
        private struct State {
            var count: Int64 = 0
            var finished = false
            var reading = false
        }
        private let limit: Int64
        private let expected: Int?
        private let pull: @Sendable () async throws(Fault) -> [UInt8]?
        private let state = Mutex(State())

        init(limit: Int64, expected: Int?, next: @escaping @Sendable () async throws(Fault) -> [UInt8]?) {
            self.limit = limit
            self.expected = expected
            self.pull = next
        }

        var isFinished: Bool { state.withLock { $0.finished } }

        func next() async throws(Fault) -> [UInt8]? {
            let done = state.withLock { state in
                precondition(!state.reading, "a body has one reader at a time")
                state.reading = !state.finished
                return state.finished
            }
            if done { return nil }
            defer { state.withLock { $0.reading = false } }
            guard let piece = try await pull() else {
                let count = state.withLock { state in
                    state.finished = true
                    return state.count
                }
                if let expected, count < expected {
                    throw Fault(.request, "http.body_short", "cannot read the body", why: "it ended after \(count) of \(expected) bytes", retryable: true)
                }
                return nil
            }
            let count = state.withLock { state in
                state.count += Int64(piece.count)
                return state.count
            }
            guard count <= limit else { throw BodyStream.tooLarge(limit) }
            return piece
        }
    }

    static func tooLarge(_ limit: Int64) -> Fault {
        Fault(.request, "http.too_large", "cannot read the body", why: "it is larger than \(ByteCount(limit))", remedy: "send less at a time")
    }
}
