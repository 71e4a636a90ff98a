import ForgeCore
import ForgeHTTP
import Synchronization
import Testing

@Suite struct BodyTests {
    @Test(arguments: [1, 3, 7, 1000]) func `a body is read in pieces of the reader's own size, whatever pieces it came in`(size: Int) async throws {
        let whole = (0..<100).map { UInt8($0) }
        for count in [1, 3, 40, 99, 100, 200] {
            let left = Mutex(whole[...])
            let reader = BodyReader(
                BodyStream(limit: .kib(1)) { () throws(Fault) in
                    left.withLock { left in
                        guard !left.isEmpty else { return nil }
                        defer { left = left.dropFirst(size) }
                        return Array(left.prefix(size))
                    }
                })
            var read: [UInt8] = []
            while true {
                let piece = try await reader.read(count)
                #expect(piece.count == min(count, 100 - read.count), "only the last is short")
                if piece.isEmpty { break }
                read += piece
            }
            #expect(read == whole)
        }
    }

    @Test func `a sender that cannot go on is told why, and at once`() async throws {
        let seen = Mutex(0)
        let route = Route(.put, "/up", body: .streaming(.mib(1)), deadline: nil) { request in
            for try await piece in request.stream { seen.withLock { $0 += piece.count } }
            return .done
        }
        try await withServer([route]) { _, path in
            let client = HTTPClient(socket: path)
            let begun = ContinuousClock.now
            let fault = await #expect(throws: Fault.self) {
                _ = try await client.upload(.put, "/up", headers: ["content-length": "10"]) { write in
                    try await write([1, 2, 3])
                    throw Fault(.request, "os.cut", "cannot read the file")
                }
            }
            #expect(fault?.code == "os.cut" && ContinuousClock.now - begun < .seconds(20))
            let next = try await client.upload(.put, "/up", headers: ["content-length": "3"]) { write in try await write([1, 2, 3]) }
            #expect(next.status == 204)
        }
    }
}
