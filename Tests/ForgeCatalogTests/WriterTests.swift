import ForgeCatalog
import ForgeCore
import ForgeOS
import Testing

@Suite struct WriterTests {
    func writer(_ scratch: Scratch, reserve: Reserve? = nil) throws -> Writer<UInt64> {
        let database = try Database(scratch.file, .writer)
        return try Writer(database, state: database.leafCount(), reserve: reserve)
    }

    static func append(_ database: Database, _ next: inout UInt64) throws(Fault) -> UInt64 {
        try database.insert(leaf(next))
        next += 1
        return next - 1
    }

    @Test func `what is acknowledged is there after the file is opened again`() async throws {
        let scratch = try Scratch()
        do {
            let writer = try writer(scratch)
            for i in 0..<20 { #expect(try await writer.write(WriterTests.append) == UInt64(i)) }
        }
        let database = try Database(scratch.file, .reader)
        #expect(try database.leafCount() == 20)
        #expect(try database.leaf(7) == Array("{\"seq\":7}".utf8))
        try database.check()
    }

    @Test func `requests that wait share a commit, and each gets its own answer`() async throws {
        let scratch = try Scratch()
        let writer = try writer(scratch)
        let indexes = try await withThrowingTaskGroup(of: UInt64.self) { group in
            for _ in 0..<500 { group.addTask { try await writer.write(WriterTests.append) } }
            return try await group.reduce(into: Set()) { $0.insert($1) }
        }
        #expect(indexes == Set(0..<500))
        #expect(await writer.commits < 250)
        #expect(await writer.requests == 500)
    }

    @Test func `a request that fails undoes itself alone`() async throws {
        let scratch = try Scratch()
        let writer = try writer(scratch)
        await withTaskGroup(of: Void.self) { group in
            for i in 0..<60 {
                group.addTask {
                    do throws(Fault) {
                        _ = try await writer.write { database, next throws(Fault) in
                            let index = try WriterTests.append(database, &next)
                            try database.setMeta("request \(i)", "kept")
                            if i % 3 == 0 { throw Fault(.request, "test.no", "no") }
                            return index
                        }
                        #expect(i % 3 != 0)
                    } catch {
                        #expect(error.code == "test.no" && i % 3 == 0)
                    }
                }
            }
        }
        let count = try await writer.read { database, next throws(Fault) in
            for i in 0..<60 { #expect(try database.meta("request \(i)") == (i % 3 == 0 ? nil : "kept")) }
            return (try database.leafCount(), next)
        }
        #expect(count == (40, 40))
    }

    @Test func `leaves, nodes and versions cannot be changed or removed`() async throws {
        let scratch = try Scratch()
        let writer = try writer(scratch)
        _ = try await writer.write(WriterTests.append)
        _ = try await writer.write { database, _ throws(Fault) in
            try database.insertNode(level: 1, index: 0, Digest(Array(repeating: 1, count: 32))!)
            try database.insertTreeHead(size: 1, root: Digest(Array(repeating: 1, count: 32))!, note: "n", time: 1)
        }
        func refuses(_ body: @escaping @Sendable (Database) throws(Fault) -> Void) async {
            await #expect(throws: Fault.self) { try await writer.write { database, _ throws(Fault) in try body(database) } }
        }
        await refuses { database throws(Fault) in try database.run("UPDATE leaf SET bytes = x'0000'") }
        await refuses { database throws(Fault) in try database.run("DELETE FROM leaf") }
        await refuses { database throws(Fault) in try database.run("UPDATE node SET idx = 9") }
        await refuses { database throws(Fault) in try database.run("DELETE FROM tree_head") }
        await refuses { database throws(Fault) in try database.run("INSERT OR REPLACE INTO leaf (seq, bytes, hash) VALUES (0, x'0000', zeroblob(32))") }
        await refuses { database throws(Fault) in try database.run("INSERT INTO leaf (seq, bytes, hash) VALUES (1, 'text', zeroblob(32))") }
        #expect(try await writer.read { database, _ throws(Fault) in try database.leaf(0) } == Array("{\"seq\":0}".utf8))
    }

    @Test func `a second writer is refused, readers are not, and a reader cannot write or checkpoint`() async throws {
        let scratch = try Scratch()
        let writer = try writer(scratch)
        _ = try await writer.write(WriterTests.append)
        let fault = #expect(throws: Fault.self) { try Database(scratch.file, .writer) }
        #expect(fault?.code == "os.locked")
        let reader = try Database(scratch.file, .reader)
        #expect(try reader.leafCount() == 1)
        #expect(throws: Fault.self) { try reader.setMeta("a", "b") }
        #expect(throws: Fault.self) { try reader.checkpoint() }
        #expect(try reader.pragma("query_only") == "1")
    }

    @Test func `every pragma is what the format page says`() async throws {
        let scratch = try Scratch()
        let database = try Database(scratch.file, .writer)
        let expected = [
            "journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "trusted_schema": "0", "cell_size_check": "1", "secure_delete": "1", "recursive_triggers": "1", "temp_store": "2",
            "wal_autocheckpoint": "0", "application_id": "1179797297", "user_version": "1",
        ]
        for (name, value) in expected { #expect(try database.pragma(name) == value, "\(name)") }
    }

    @Test func `a foreign, a newer and a damaged file are refused and left alone`() throws {
        let scratch = try Scratch()
        do {
            let database = try Database(scratch.file, .writer)
            try database.run("PRAGMA user_version=2")
        }
        #expect(#expect(throws: Fault.self) { try Database(scratch.file, .writer) }?.code == "store.newer")
        let other = try Scratch()
        try Durable.replace(other.file, with: Array("this is not a database, whatever its name says, and it is long enough".utf8))
        let before = try File(other.file, .read).readAll(limit: .mib(1))
        #expect(#expect(throws: Fault.self) { try Database(other.file, .writer) }?.isStoreBroken == true)
        #expect(try File(other.file, .read).readAll(limit: .mib(1)) == before)
    }

    @Test func `open intents are those allowed and unanswered`() async throws {
        let scratch = try Scratch()
        let writer = try writer(scratch)
        let (first, second) = (ID(), ID())
        let open = try await writer.write { database, next throws(Fault) in
            try database.insert(leaf(0, phase: "intent", request: first))
            try database.insert(leaf(1, phase: "intent", request: second))
            try database.insert(leaf(2, phase: "outcome", request: first))
            return try database.openIntents().map(\.request)
        }
        #expect(open == [second])
        #expect(try await writer.read { database, _ throws(Fault) in try database.intent(first, action: "infer")?.isAnswered } == true)
        #expect(try await writer.read { database, _ throws(Fault) in try database.leaves(from: 0, limit: 9, .init(request: first)).map(\.index) } == [0, 2])
    }

    @Test func `the WAL is moved into the file before it grows without bound`() async throws {
        let scratch = try Scratch()
        let writer = try writer(scratch)
        for round in 0..<120 {
            _ = try await writer.write { database, next throws(Fault) in
                for _ in 0..<20 {
                    try database.insert(leaf(next, padding: 4000))
                    next += 1
                }
            }
            _ = round
        }
        // 2400 leaves of a page each would be a WAL of 10 MiB and more; it is reused after each thousand pages.
        #expect(try #require(try Path.information(scratch.file + "-wal")).size < 9 << 20)
        #expect(try #require(try Path.information(scratch.file)).size > 4 << 20)
    }
}
