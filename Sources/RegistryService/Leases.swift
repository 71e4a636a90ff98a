import ForgeCore
import ForgeOS
import Glibc
import Synchronization

/// Who holds weights just now (docs/formats/weights-handover.md §4): the connections a hand-over left open.
package final class Leases: Sendable {
    private let sockets = Mutex<[ID: Int32]>([:])

    package init() {}

    func begin(_ socket: Int32) -> ID {
        let id = ID()
        sockets.withLock { $0[id] = socket }
        return id
    }

    /// Before the socket is closed, so that no word goes to a stranger's descriptor.
    func end(_ id: ID) { sockets.withLock { _ = $0.removeValue(forKey: id) } }

    package var count: Int { sockets.withLock { $0.count } }

    /// Tells every holder to let go, and gives them two seconds.
    /// - Returns: how many still hold on.
    func recall(_ word: String) async -> Int {
        let line = Array(JSON.object(["drop": .string(word)]).text.utf8) + [0x0a]
        sockets.withLock { sockets in
            for socket in sockets.values {
                // A holder whose buffer is full has not read for long; it learns by the connection's end.
                _ = unsafe send(socket, line, line.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
        }
        let end = Clock.monotonic + 2_000_000_000
        while count > 0, Clock.monotonic < end { try? await Task.sleep(for: .milliseconds(10)) }
        return count
    }
}
