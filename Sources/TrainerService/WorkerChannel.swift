import ForgeCore
import ForgeHTTP
import ForgeOS
import Synchronization

/// One end of the socket between daemon and worker: messages of a 4-byte big-endian count and that many bytes of JSON.
final class WorkerChannel: Sendable {
    static let messageLimit = 16 << 20
    private let descriptor: Int32
    private let buffer = Mutex<[UInt8]>([])
    private let received = Mutex<[Int32]>([])

    /// Takes the socket over.
    init(_ descriptor: Int32) { self.descriptor = descriptor }
    deinit {
        UnixSocket.close(descriptor)
        for unclaimed in received.withLock({ $0 }) { UnixSocket.close(unclaimed) }
    }

    func send(_ message: some Encodable, descriptors: [Int32] = []) throws(Fault) {
        let bytes = try Wire.encode(message)
        let frame = (0..<4).map { UInt8(truncatingIfNeeded: bytes.count >> (24 - 8 * $0)) } + bytes
        if descriptors.isEmpty { try UnixSocket.sendAll(descriptor, frame) } else { try UnixSocket.sendFDs(descriptor, frame, descriptors: descriptors) }
    }

    /// Blocks for the next message; nil at the end. Called from one thread.
    func receive<Message: Decodable>(_ type: Message.Type = Message.self) throws(Fault) -> Message? {
        guard let head = try take(4) else { return nil }
        let count = head.reduce(0) { $0 << 8 | Int($1) }
        guard count <= WorkerChannel.messageLimit, let body = try take(count) else {
            throw Fault(.environment, "worker.channel", "the channel to a worker broke off", why: "a message is cut or too long", retryable: true)
        }
        return try Wire.decode(from: body, "a worker's message")
    }

    /// Descriptors that came with messages so far; whoever takes them closes them.
    func takeDescriptors() -> [Int32] {
        received.withLock { all in
            defer { all = [] }
            return all
        }
    }

    private func take(_ count: Int) throws(Fault) -> [UInt8]? {
        while buffer.withLock({ $0.count }) < count {
            let (bytes, descriptors) = try UnixSocket.receiveFDs(descriptor, count: 65_536, max: 8)
            received.withLock { $0 += descriptors }
            guard !bytes.isEmpty else { return nil }
            buffer.withLock { $0 += bytes }
        }
        return buffer.withLock { held in
            defer { held.removeFirst(count) }
            return Array(held[..<count])
        }
    }
}
